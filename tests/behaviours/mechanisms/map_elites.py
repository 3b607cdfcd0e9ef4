"""MAP-Elites: the best candidate of each cell of a grid is kept alive, and any of them may be the next parent.

Source: J.-B. Mouret, J. Clune, "Illuminating search spaces by mapping elites", 2015, arXiv:1504.04909.
"""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Trial
from bilevel.view import View


class MapElites(Mechanism):
    """A cell is the pair of bins of two parameters (the first two that may be changed, or `axes`)."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "quality diversity"
    axes = ()
    bins = 3
    window = 300

    def select(self, view: View, parent: Candidate) -> Candidate:
        axes = [name for name in self.axes or view.space.active[:2] if name in view.space.domains]
        elites: dict[tuple[int, ...], Trial] = {}
        for trial in view.trace[-self.window :]:
            cell = tuple(self._bin(view, name, trial.candidate) for name in axes)
            held = elites.get(cell)
            if trial.score is not None and view.objective.better(trial.score, held and held.score):
                elites[cell] = trial
        if not elites:
            return parent
        cell = view.rng("map elites").choice(sorted(elites))
        return elites[cell].candidate

    def _bin(self, view: View, name: str, candidate: Candidate) -> int:
        return min(int(view.space.domains[name].unit(candidate.params[name]) * self.bins), self.bins - 1)
