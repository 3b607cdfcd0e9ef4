"""Cosine restarts of the learning rate."""

import math

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class LearningRateRestarts(Mechanism):
    """Propose a learning rate from a cosine schedule with warm restarts."""

    domain = "learning rate schedules"
    cycle = 5

    def propose(self, view, parent, proposals):
        phase = (view.number % self.cycle) / self.cycle
        rate = 1e-5 + 0.5 * (1e-2 - 1e-5) * (1 + math.cos(math.pi * phase))
        candidate = parent.with_params(learning_rate=rate, weight_decay=0.1 * rate)
        return [Proposal(candidate, "cosine restart of the learning rate"), *proposals]
