"""How one proposal comes about: select, constrain, advise, ask the researcher, let the mechanisms propose, check.

The same function runs once in earnest and again with one hook left out, to see whether the outcome would have been
another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bilevel.errors import BilevelError, GuestError
from bilevel.fold import EVERYTHING, Fold, Record, Without, check_proposals
from bilevel.researcher import Researcher
from bilevel.space import Candidate, Space
from bilevel.task import Task
from bilevel.trial import Fault, Proposal, TurnedBack
from bilevel.view import Briefing, View


@dataclass(frozen=True)
class Draft:
    """The outcome of an ask: what will run, from which parent; or nothing, and why."""

    parent: Candidate
    proposal: Proposal | None
    turned_back: tuple[TurnedBack, ...] = ()
    overruled: bool = False
    last: Proposal | None = None  # the last proposal that was turned back

    @property
    def projection(self) -> tuple[str, int] | None:
        """What counts as the decision: the candidate that runs, and how often it is repeated."""
        return None if self.proposal is None else (self.proposal.candidate.id, self.proposal.repeats)


@dataclass
class Drafting:
    """One ask of one loop: the view is pinned, and the researcher's answers are kept so that asking twice is free."""

    task: Task
    researcher: Researcher
    fold: Fold
    view: View
    start: Candidate
    in_flight: Sequence[Candidate] = ()
    shadow: float = 0.0  # how often a researcher that costs something is asked again without a mechanism's advice
    _answers: dict[object, tuple[Proposal, ...]] = field(default_factory=dict)
    _earnest: dict[int, tuple[Proposal, ...]] = field(default_factory=dict)

    def draft(self, record: Record) -> Draft:
        """The draft with all mechanisms, their effect counted in `record`."""
        final = self._run(record, EVERYTHING)
        self.fold.count_decisive(
            "select",
            record,
            final.parent.id,
            lambda w: self.fold.select(self.view, self.start, Record(), w).id,
        )
        for hook in ("constrain", "propose"):
            self.fold.count_decisive(hook, record, final.projection, lambda w: self._run(Record(), w).projection)
        if self.researcher.reads_advice and self._may_ask_without_advice():
            self.fold.count_decisive(
                "advise", record, final.projection, lambda w: self._run(Record(), w, again=True).projection
            )
        return final

    def _may_ask_without_advice(self) -> bool:
        return self.researcher.free or self.view.rng("shadow").random() < self.shadow

    def _run(self, record: Record, without: Without, again: bool = False) -> Draft:
        """One draft without a hook. `again`: the researcher may be asked, whatever it costs."""
        view, fold = self.view, self.fold
        parent = fold.select(view, self.start, record, without)
        space = fold.constrain(view, view.space, record, without)
        first = Briefing(history_window=view.settings.history_window, guidance=view.settings.guidance)
        briefing = fold.advise(view, first, record, without)
        turned_back: list[TurnedBack] = []
        drafts: list[Proposal] = []
        last: Proposal | None = None
        for attempt in range(view.settings.redrafts + 1):
            asked = replace(briefing, attempt=attempt, turned_back=tuple(turned_back))
            earnest = without is EVERYTHING
            answers = self._ask(replace(view, space=space), parent, asked, record, earnest, earnest or again)
            drafts += answers

            def dropped(proposal: Proposal, reason: str) -> None:
                turned_back.append(TurnedBack(proposal.candidate.id, reason, proposal.author))

            proposals = fold.propose(replace(view, space=space), parent, answers, record, dropped, without)
            for proposal in proposals:
                problem = self._problem(proposal, parent, space)
                if problem is None:
                    return Draft(parent, proposal, tuple(turned_back))
                dropped(proposal, problem)
            last = proposals[-1] if proposals else answers[-1] if answers else last
        # Every draft was turned back. The mechanisms may have gone too far: the first that the host admits runs.
        for proposal in drafts:
            if self._problem(proposal, parent, view.space) is None:
                return Draft(parent, proposal, tuple(turned_back), overruled=True)
        return Draft(parent, None, tuple(turned_back), last=last)

    def _ask(
        self, view: View, parent: Candidate, briefing: Briefing, record: Record, earnest: bool, may_cost: bool
    ) -> tuple[Proposal, ...]:
        """The researcher's drafts; none, and a fault, where it breaks its contract.

        A researcher that costs something is not asked for a leave-one-out, shadow asks apart: its recorded drafts of
        the same attempt stand in, so that a constraint counts where it bound one of them.
        """
        key = (parent.id, _space_key(view.space), briefing)
        if key not in self._answers:
            if not may_cost and not self.researcher.free:
                return self._earnest.get(briefing.attempt, ())
            self._answers[key] = self._answer(view, parent, briefing, record)
        if earnest:
            self._earnest[briefing.attempt] = self._answers[key]
        return self._answers[key]

    def _answer(self, view: View, parent: Candidate, briefing: Briefing, record: Record) -> tuple[Proposal, ...]:
        name = self.researcher.name
        try:
            return check_proposals(self.researcher.propose(view, parent, briefing), name)
        except BilevelError as error:
            if not isinstance(error, GuestError):
                raise  # ours, or the user's: no model, no key, asked to stop
            fault = Fault(f"researcher {name}", "propose", str(error)[:500])
        except Exception as error:
            fault = Fault(f"researcher {name}", "propose", f"{type(error).__name__}: {error}"[:500])
        if fault not in record.faults:  # asked again, it may well say the same again
            record.faults.append(fault)
        return ()

    def _problem(self, proposal: Proposal, parent: Candidate, space: Space) -> str | None:
        candidate = proposal.candidate
        found = space.problems(candidate, parent) or self.task.problems(candidate, parent)
        if found:
            return "; ".join(found[:5])
        if self.task.remembers or proposal.repeats > 0:
            return None
        measured = self.view.trace.of(candidate.id)
        if measured is not None:
            outcome = f"score {measured.score:.6g}" if measured.score is not None else measured.status.value
            return f"already measured as trial {measured.number} ({outcome})"
        if any(candidate.id == other.id for other in self.in_flight):
            return "already being measured"
        return None


def _space_key(space: Space) -> object:
    return (
        tuple(space.domains.items()),
        tuple(sorted(space.frozen.items())),
        tuple(sorted(space.caps.items())),
        tuple(sorted(space.weights.items())),
    )
