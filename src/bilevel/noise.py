"""How much a score moves when nothing but the seed changes."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ONE_SIDED_5_PERCENT = 1.645  # quantile of the standard normal distribution


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a score over seeds, in the objective's unit, and from how many repeats it comes."""

    sd: float
    n: int

    @property
    def margin(self) -> float:
        """The smallest gain between two single measurements that is kept: 1.645 standard errors of their difference.

        If both have the same true mean and the sd is right, about one comparison in twenty exceeds it. With an sd from
        few repeats it is rougher than that: it filters, it proves nothing.
        """
        return ONE_SIDED_5_PERCENT * math.sqrt(2) * self.sd


def estimate(scores: Sequence[float]) -> Noise:
    """The noise seen in repeats of one candidate; sd 0 with fewer than two."""
    if len(scores) < 2:
        return Noise(0.0, len(scores))
    return Noise(statistics.stdev(scores), len(scores))
