"""Regression cap: whatever the others want to keep, it may not be much worse than the best."""

from bilevel.mechanism import Mechanism
from bilevel.trial import Decision, Trial
from bilevel.view import View


class RegressionCap(Mechanism):
    """Discard what is kept so far and is more than `cap` (in the objective's unit) worse than the incumbent."""

    domain = "safeguards"
    cap = 0.05

    def decide(self, view: View, trial: Trial) -> Decision:
        best = view.trace.incumbent
        if not trial.decision.keep or trial.score is None or best is None or best.score is None:
            return trial.decision
        lost = view.objective.gain(trial.score, best.score)
        if view.objective.relative or lost <= self.cap:
            return trial.decision
        return Decision(False, f"{lost:.4g} worse than the best (trial {best.number}); at most {self.cap:g} is allowed")
