"""Adaptive exploration."""

from bilevel.mechanism import Mechanism


class AdaptiveExploration(Mechanism):
    """Explore more after failures: freeze all but three parameters while the search goes well."""

    domain = "adaptive exploration"

    def __init__(self):
        self._failures = 0
        self._successes = []

    def constrain(self, view, space):
        if self._failures == 0 and not self._successes:
            return space
        return space.freeze(space.active[3:], "exploitation")
