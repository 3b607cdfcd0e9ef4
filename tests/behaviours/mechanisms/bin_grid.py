"""A grid of bins per parameter: every so often the least visited bin is tried."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Domain
from bilevel.trial import Proposal
from bilevel.view import View


class BinGrid(Mechanism):
    """Every `every` trials, move one parameter to the middle of the bin that the fewest candidates were in."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "stratified exploration"
    bins = 4
    every = 2
    window = 200

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if view.number % self.every or not len(view.trace):
            return proposals
        trials = view.trace[-self.window :]
        cells = []
        for name in view.space.active:
            domain = view.space.domains[name]
            visits = [0] * self.bins
            for trial in trials:
                visits[self._bin(domain, trial.candidate.params[name])] += 1
            cells += [(count, view.space.active.index(name), place) for place, count in enumerate(visits)]
        for visits_of_cell, index, place in sorted(cells):
            name = view.space.active[index]
            middle = view.space.domains[name].at((place + 0.5) / self.bins)
            tried = parent.with_params(**{name: view.space.clip(name, parent.params[name], middle)})
            if tried.id != parent.id and view.trace.of(tried.id) is None:
                why = f"bin {place + 1} of {self.bins} of {name} was visited {visits_of_cell} times"
                return (Proposal(tried, why), *proposals)
        return proposals

    def _bin(self, domain: Domain, value: object) -> int:
        return min(int(domain.unit(value) * self.bins), self.bins - 1)
