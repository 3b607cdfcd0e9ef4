"""A minimal gain: a change that brings less than a threshold is not worth its complexity."""

from bilevel.mechanism import Mechanism
from bilevel.trial import Decision, Trial
from bilevel.view import View


class MinimalGain(Mechanism):
    """Discard what is kept so far and gains less than `least` over its parent, in the objective's unit."""

    domain = "parsimony"
    least = 0.01

    def decide(self, view: View, trial: Trial) -> Decision:
        gain = view.trace.gain_of(trial)
        if not trial.decision.keep or gain is None or gain >= self.least:
            return trial.decision
        return Decision(False, f"a gain of {gain:.4g} is less than the least that counts ({self.least:g})")
