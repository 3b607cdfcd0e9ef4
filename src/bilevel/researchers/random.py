"""Random search: the researcher to beat before anything else is believed.

Source: J. Bergstra, Y. Bengio, "Random Search for Hyper-Parameter Optimization", Journal of Machine Learning Research
13, 2012, https://www.jmlr.org/papers/v13/bergstra12a.html.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from bilevel.space import Candidate, Space
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

NARROW = 0.1  # the largest step of strategy "exploit", a share of a parameter's range


@dataclass(frozen=True)
class Random:
    """Draws one to three parameters anew; strategy "explore" all of them, "exploit" one and near its old value.

    Draws are uniform on each parameter's own scale, within freezes and caps; parameters are picked by their weights.
    """

    name: str = field(default="random", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        rng = view.rng(f"random {briefing.attempt}")
        space = view.space
        if not space.active:
            return []
        return [self._proposal(rng, view, space, parent) for _ in range(max(view.settings.drafts, 1))]

    def _proposal(self, rng: random.Random, view: View, space: Space, parent: Candidate) -> Proposal:
        strategy = view.settings.strategy
        if strategy == "explore":
            return Proposal(space.sample(rng, parent), "every parameter drawn anew", self.name)
        names = _pick(rng, space, 1 if strategy == "exploit" else rng.randint(1, 3))
        if strategy == "exploit":
            for name in names:
                space = space.cap(name, NARROW)
        drawn = {name: space.draw(rng, name, parent.params[name]) for name in names}
        return Proposal(parent.with_params(**drawn), f"drawn anew: {', '.join(names)}", self.name)


def _pick(rng: random.Random, space: Space, count: int) -> list[str]:
    """Distinct active parameters, each with a chance in proportion to its weight."""
    left = {name: space.weights.get(name, 1.0) for name in space.active}
    picked: list[str] = []
    while left and len(picked) < count:
        weights = list(left.values()) if any(left.values()) else [1.0] * len(left)
        name = rng.choices(list(left), weights)[0]
        picked.append(name)
        del left[name]
    return picked
