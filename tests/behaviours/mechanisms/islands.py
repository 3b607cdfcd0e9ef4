"""Islands: several searches side by side, each from its own best, with a migrant now and then.

Source: D. Whitley, S. Rana, R. B. Heckendorn, "The Island Model Genetic Algorithm", 1999.
"""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Trial
from bilevel.view import View


class Islands(Mechanism):
    """Trial n belongs to island n modulo `islands` and starts from what was kept there last, at first the baseline;
    every `migrate` trials it starts from the incumbent instead, wherever that lives."""

    domain = "island model"
    islands = 2
    migrate = 5

    def remember(self, memory: Any, trial: Trial) -> tuple[Candidate, ...]:
        """What was kept last on each island."""
        if memory is None:
            return (trial.candidate,) * self.islands
        here = trial.number % self.islands
        return (*memory[:here], trial.candidate, *memory[here + 1 :]) if trial.decision.keep else memory

    def select(self, view: View, parent: Candidate) -> Candidate:
        best = view.trace.incumbent
        if best is not None and view.number % self.migrate == 0:
            return best.candidate
        home = view.memory[view.number % self.islands] if view.memory else parent
        known = view.trace.of(home.id)
        return home if known is not None and known.score is not None else parent
