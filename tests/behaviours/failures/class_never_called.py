"""Multi-armed bandit proposal selection, with its manager."""

import math

from bilevel.mechanism import Mechanism


class BanditSelector:
    """UCB over parameters."""

    def __init__(self):
        self.counts = {}

    def best(self, names):
        total = sum(self.counts.values()) + 1
        return max(names, key=lambda n: math.sqrt(math.log(total) / max(self.counts.get(n, 0), 1)))


class BanditMechanism(Mechanism):
    """Use the bandit to choose which parameter to change."""

    domain = "multi-armed bandit"

    def propose(self, view, parent, proposals):
        return proposals
