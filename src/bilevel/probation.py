"""Probation: what is in force is left out now and then, in a fork, so that evidence on it goes on growing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bilevel import addenda
from bilevel.codec import content_hash
from bilevel.evidence import Verdict, forks_of, verdict
from bilevel.mechanism import Guest
from bilevel.researcher import Researcher
from bilevel.space import Candidate
from bilevel.steered import key_of
from bilevel.surfaces import GUIDANCE, addendum_name, guests_of, mechanism_set
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

AUTHOR = "probation"


@dataclass(frozen=True)
class OnProbation:
    """A researcher of mechanisms, whose turn is now and then taken for a fork without one that is in force.

    At most `share` of the outer loop's trials go there (the proof share): the arms of such a fork are search as well,
    since the search goes on from the better end. First comes the mechanism that is most likely to hurt, then the
    undecided one with the fewest forks; a confirmed one has nothing left to prove. What the fork means is decided on
    the evidence of all forks of that mechanism (`keep`).
    """

    researcher: Researcher
    share: float = 0.25
    compose: Callable[[tuple[Guest, ...]], Candidate] = mechanism_set

    @property
    def name(self) -> str:
        return self.researcher.name

    @property
    def reads_advice(self) -> bool:
        return self.researcher.reads_advice

    @property
    def free(self) -> bool:
        return self.researcher.free

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        """The ablation that is due, alone and without asking the researcher; else what the researcher proposes."""
        if briefing.attempt == 0 and self._may_spend(view):
            due = self._due(view, parent)
            if due is not None:
                return [self._ablation(parent, *due)]
        return self.researcher.propose(view, parent, briefing)

    def _may_spend(self, view: View) -> bool:
        spent = sum(1 for trial in view.trace if trial.proposal.author == AUTHOR and trial.proposal.notes.get(AUTHOR))
        return spent + 1 <= self.share * view.number

    def _due(self, view: View, parent: Candidate) -> tuple[str, Verdict] | None:
        judged = [
            (name, verdict(forks_of(view.trace, name, content_hash(text))))
            for name, text in self.in_force(parent).items()
            if not self.pinned(view, parent, name)
        ]
        open_cases = [(name, found) for name, found in judged if not found.confirmed]
        return min(open_cases, key=lambda case: (case[1].word != "hurt", case[1].forks), default=None)

    def _ablation(self, parent: Candidate, name: str, found: Verdict) -> Proposal:
        why = f"{name} is on probation ({found.sentence}): one fork without it"
        return Proposal(self.without(parent, name), why, AUTHOR, {AUTHOR: name})

    def in_force(self, parent: Candidate) -> dict[str, str]:
        """The texts of what is in force, by the names under which forks are evidence on them."""
        return {guest.name: guest.source for guest in guests_of(parent)}

    def pinned(self, view: View, parent: Candidate, name: str) -> bool:
        """Whether a person has said that one of them stays."""
        return any(guest.name == name and key_of(guest) in view.trace.steering.pinned for guest in guests_of(parent))

    def without(self, parent: Candidate, name: str) -> Candidate:
        """The same but for one of them."""
        return self.compose(tuple(other for other in guests_of(parent) if other.name != name))


@dataclass(frozen=True)
class AddendaOnProbation(OnProbation):
    """The same for a researcher of settings, and the addenda to the steps of the inner researcher."""

    steps: tuple[str, ...] = ()

    def in_force(self, parent: Candidate) -> dict[str, str]:
        found = addenda.parts(parent.files.get(GUIDANCE, ""), self.steps)
        return {addendum_name(step): text for step, text in found.items()}

    def pinned(self, view: View, parent: Candidate, name: str) -> bool:
        return False

    def without(self, parent: Candidate, name: str) -> Candidate:
        guidance = parent.files.get(GUIDANCE, "")
        step = next(step for step in (*self.steps, addenda.ALL) if addendum_name(step) == name)
        return Candidate(parent.params, {**parent.files, GUIDANCE: addenda.without(guidance, step, self.steps)})
