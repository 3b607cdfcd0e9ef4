"""Lazarus: a change that was discarded is tried again once what surrounds it has changed."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class Lazarus(Mechanism):
    """After `patience` trials without an improvement, repeat the newest discarded change that was tried where at least
    `context` other parameters had other values than now."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "second chances"
    patience = 1
    context = 1
    window = 60

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if view.trace.since_improvement() < self.patience:
            return proposals
        for trial in reversed(view.trace[-self.window :]):
            if trial.score is None or trial.decision.keep or not trial.changes:
                continue
            again = parent.with_params(**{name: change.new for name, change in trial.changes.items()})
            if self._context(trial, parent) >= self.context and self._fresh(view, again, parent):
                why = f"the change of trial {trial.number} was discarded in another context"
                return (Proposal(again, why, notes={"lazarus": trial.number}), *proposals)
        return proposals

    def _context(self, trial: Trial, parent: Candidate) -> int:
        return len(trial.parent.changes_from(parent).keys() - trial.changes.keys())

    def _fresh(self, view: View, again: Candidate, parent: Candidate) -> bool:
        measured = view.trace.of(again.id) is not None
        return again.id != parent.id and not measured and not view.space.problems(again, parent)
