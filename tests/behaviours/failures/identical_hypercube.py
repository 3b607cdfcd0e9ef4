"""Latin hypercube exploration."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class LatinHypercube(Mechanism):
    """Propose four points of a Latin hypercube."""

    needs: ClassVar = frozenset({"numeric"})
    domain = "design of experiments"
    points = 4

    def propose(self, view, parent, proposals):
        mine = []
        for _ in range(self.points):
            rng = view.rng("latin hypercube")
            drawn = {name: view.space.draw(rng, name, parent.params[name]) for name in view.space.active}
            mine.append(Proposal(parent.with_params(**drawn), "a point of the hypercube"))
        return [*mine, *proposals]
