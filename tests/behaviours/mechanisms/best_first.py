"""Best-first tree search: the best candidate that is not expanded yet is the next parent.

Source: J. Pearl, "Heuristics", 1984, chapter 2.
"""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Trial
from bilevel.view import View


class BestFirst(Mechanism):
    """A candidate is expanded once it had `width` children; among the others the one with the best score is next,
    also one that was discarded."""

    domain = "tree search"
    width = 3
    window = 300

    def remember(self, memory: Any, trial: Trial) -> dict[str, int]:
        """Candidate -> how many children it had."""
        children: dict[str, int] = memory or {}
        if trial.number == 0:
            return children
        return {**children, trial.parent.id: children.get(trial.parent.id, 0) + 1}

    def select(self, view: View, parent: Candidate) -> Candidate:
        children, best = view.memory or {}, None
        for trial in view.trace[-self.window :]:
            if trial.score is None or children.get(trial.candidate.id, 0) >= self.width:
                continue
            known = view.trace.of(trial.candidate.id)
            if known is trial and view.objective.better(trial.score, best and best.score):
                best = trial
        return parent if best is None else best.candidate
