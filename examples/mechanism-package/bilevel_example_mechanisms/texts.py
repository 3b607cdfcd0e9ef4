PATIENCE = '''"""Patience: after a while without an improvement the next change starts from the best candidate."""

from bilevel.mechanism import Mechanism


class Patience(Mechanism):
    """Go back to the best once `trials` in a row brought nothing."""

    domain = "optimal stopping"
    trials = 4

    def select(self, view, parent):
        best = view.trace.incumbent
        waited = view.trace.since_improvement()
        return best.candidate if best is not None and waited and waited % self.trials == 0 else parent
'''
