"""Random restarts within assumed bounds."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class BoundedRestart(Mechanism):
    """Draw each parameter from its bounds, or from 0 to 10 where they are not known."""

    needs: ClassVar = frozenset({"numeric"})
    domain = "random restarts"
    bounds: ClassVar = {"learning_rate": (1e-5, 1e-1), "depth": (2, 24)}

    def propose(self, view, parent, proposals):
        rng = view.rng("restart")
        drawn = {name: rng.uniform(*self.bounds.get(name, (0.0, 10.0))) for name in view.space.active}
        return [Proposal(parent.with_params(**drawn), "restart within the bounds")]
