"""Multi-armed bandit proposal selection."""

import math


class BanditSelector:
    """UCB over parameters."""

    def __init__(self, exploration=1.4):
        self.exploration = exploration
        self.counts = {}
        self.rewards = {}

    def select_parameter(self, names):
        total = sum(self.counts.values()) + 1
        return max(names, key=lambda n: self._ucb(n, total))

    def _ucb(self, name, total):
        count = self.counts.get(name, 0)
        if not count:
            return float("inf")
        return self.rewards[name] / count + self.exploration * math.sqrt(math.log(total) / count)

    def update(self, name, reward):
        self.counts[name] = self.counts.get(name, 0) + 1
        self.rewards[name] = self.rewards.get(name, 0.0) + reward
