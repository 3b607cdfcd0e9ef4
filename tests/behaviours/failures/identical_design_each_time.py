"""Stratified samples at the middles of the strata."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class Strata(Mechanism):
    """Propose the middle of each parameter's stratum."""

    needs: ClassVar = frozenset({"numeric"})
    domain = "stratified sampling"
    strata = 3

    def propose(self, view, parent, proposals):
        designs = []
        for stratum in range(self.strata):
            middle = (self.strata // 2 + 0.5) / self.strata
            drawn = {name: view.space.domains[name].at(middle) for name in view.space.active}
            designs.append(Proposal(parent.with_params(**drawn), f"stratum {stratum}"))
        return designs
