"""Revert: go back to the best candidate when the search has wandered off without finding anything.

Source: the "restart from best" step of iterated local search, H. R. Lourenço, O. C. Martin, T. Stützle, "Iterated Local
Search", in Handbook of Metaheuristics, 2003, arXiv:math/0102188.
"""

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.view import View


class Revert(Mechanism):
    """Select the incumbent after every `patience` trials that did not improve on it.

    It matters where something leads away from the incumbent: a restart, annealing, or an improvement too small to be
    kept. Between two reverts the search stays where the others have put it.
    """

    domain = "iterated local search"
    patience = 5

    def select(self, view: View, parent: Candidate) -> Candidate:
        best, misses = view.trace.incumbent, view.trace.since_improvement()
        if best is None or best.score is None or misses == 0 or misses % self.patience:
            return parent
        return best.candidate
