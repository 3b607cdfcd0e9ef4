"""Probation: a mechanism in force is left out now and then, in a fork, so that evidence on it goes on growing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bilevel.codec import content_hash
from bilevel.evidence import Fork, Verdict, forks_of, verdict
from bilevel.mechanism import Guest
from bilevel.researcher import Researcher
from bilevel.space import Candidate
from bilevel.steered import key_of
from bilevel.surfaces import guests_of, mechanism_set
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

    def _due(self, view: View, parent: Candidate) -> tuple[Guest, Verdict] | None:
        judged = [(guest, verdict(self._forks(view, guest))) for guest in guests_of(parent)]
        pinned = view.trace.steering.pinned
        open_cases = [(one, found) for one, found in judged if not found.confirmed and key_of(one) not in pinned]
        return min(open_cases, key=lambda case: (case[1].word != "hurt", case[1].forks), default=None)

    def _forks(self, view: View, guest: Guest) -> list[Fork]:
        return forks_of(view.trace, guest.name, content_hash(guest.source))

    def _ablation(self, parent: Candidate, guest: Guest, found: Verdict) -> Proposal:
        rest = tuple(other for other in guests_of(parent) if other.name != guest.name)
        why = f"{guest.name} is on probation ({found.sentence}): one fork without it"
        return Proposal(self.compose(rest), why, AUTHOR, {AUTHOR: guest.name})
