"""Jump to the other end of a parameter's range."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class Opposition(Mechanism):
    """Opposition-based learning: mirror one parameter at the middle of its bounds."""

    needs: ClassVar = frozenset({"numeric"})
    domain = "opposition-based learning"

    def propose(self, view, parent, proposals):
        name = view.rng("opposition").choice(view.space.active)
        domain = view.space.domains[name]
        mirrored = domain.low + domain.high - parent.params[name]
        return [Proposal(parent.with_params(**{name: mirrored}), f"mirror {name}"), *proposals]
