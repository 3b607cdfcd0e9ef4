"""Relative improvements."""

import math

from bilevel.mechanism import Mechanism
from bilevel.trial import Decision


class LogImprovement(Mechanism):
    """Keep what improves the logarithm of the score by at least one percent."""

    domain = "relative improvement"

    def decide(self, view, trial):
        best = view.trace.incumbent
        if trial.score is None or best is None or best.score is None:
            return trial.decision
        gain = math.log(best.score) - math.log(trial.score)
        return trial.decision if gain > 0.01 else Decision(False, f"only {gain:.1%} better")
