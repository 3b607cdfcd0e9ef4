"""Go back to the best configuration after three failures."""

from bilevel.mechanism import Mechanism


class Backtrack(Mechanism):
    """Select the best candidate when the last three trials failed."""

    domain = "backtracking"

    def select(self, view, parent):
        best = view.trace.get_best_trial()
        recent = list(view.trace)[-3:]
        if best is not None and all(not trial.decision.keep for trial in recent):
            return best.candidate
        return parent
