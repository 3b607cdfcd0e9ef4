"""How much a score moves when nothing but the seed changes."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bilevel.quantiles import student

ONE_SIDED_5_PERCENT = 1.645  # quantile of the standard normal distribution
ENOUGH = 8  # degrees of freedom from which on the paired differences speak for themselves


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a score over seeds, in the objective's unit, and from how many repeats it comes."""

    sd: float
    n: int
    degrees: int | None = None  # of freedom; None: as older versions estimated, from the baseline alone
    paired_sd: float = 0.0  # of the difference of two candidates on one seed
    paired_degrees: int = 0

    @property
    def margin(self) -> float:
        """The smallest gain between two single measurements that is kept.

        It is the one-sided 5 % quantile of their difference, by Student's t with the degrees of freedom that there
        are. A normal quantile is too small for few repeats: if both have the same true mean and the baseline is one of
        the repeats, it keeps 10.9 % of the challengers after 3 repeats and 7.7 % after 5; Student's t 3.8 % of them
        (`tests/core/test_noise.py` simulates both). It filters one comparison; it proves nothing over many.
        """
        if self.degrees is None:
            return ONE_SIDED_5_PERCENT * math.sqrt(2) * self.sd
        sd, degrees = self.of_difference
        return student(0.95, degrees) * sd if degrees else 0.0

    @property
    def of_difference(self) -> tuple[float, int]:
        """The sd of the difference of two candidates on the same seed, and the degrees of freedom behind it.

        Measured on pairs where there are `ENOUGH`: what a seed does to all candidates alike is no noise in a
        comparison on it. Else as if the two were independent, which overstates it where seeds act alike.
        """
        if self.paired_degrees >= ENOUGH:
            return self.paired_sd, self.paired_degrees
        return math.sqrt(2) * self.sd, self.degrees if self.degrees is not None else max(self.n - 1, 0)

    @property
    def deterministic(self) -> bool:
        """Whether no seed has ever changed a score: then one measurement says all, and repeats tell nothing new."""
        known = self.n - 1 if self.degrees is None else self.degrees
        return known > 0 and self.sd == 0


UNKNOWN = Noise(0.0, 0, 0)  # nothing is known yet, and it is learned as repeats come


def estimate(scores: Sequence[float]) -> Noise:
    """The noise seen in repeats of one candidate; sd 0 with fewer than two."""
    squares = _squares(scores)
    degrees = max(len(scores) - 1, 0)
    return Noise(math.sqrt(squares / degrees) if degrees else 0.0, len(scores), degrees)


def of_baseline(scores: Sequence[float]) -> Noise:
    """The same without degrees of freedom, so that its margin is a normal quantile: what older records went by."""
    return Noise(statistics.stdev(scores) if len(scores) > 1 else 0.0, len(scores))


class Repeats(NamedTuple):
    """Sums over candidates measured on several seeds: of squares within a candidate, and within pairs of candidates.

    `n` counts the measurements of candidates that have at least two.
    """

    n: int = 0
    squares: float = 0.0
    degrees: int = 0
    paired_squares: float = 0.0
    paired_degrees: int = 0

    @classmethod
    def of(cls, scores: Mapping[int, float], parent: Mapping[int, float]) -> "Repeats":
        """What the scores by seed of one candidate, and of another that it is compared with, add."""
        shared = [scores[seed] - parent[seed] for seed in scores.keys() & parent.keys()]
        own = list(scores.values()) if len(scores) > 1 else []
        return cls(len(own), _squares(own), max(len(own) - 1, 0), _squares(shared), max(len(shared) - 1, 0))

    def changed(self, old: "Repeats", new: "Repeats") -> "Repeats":
        """These sums with a candidate's new part in place of its old one."""
        return Repeats(
            self.n - old.n + new.n,
            max(self.squares - old.squares + new.squares, 0.0),
            self.degrees - old.degrees + new.degrees,
            max(self.paired_squares - old.paired_squares + new.paired_squares, 0.0),
            self.paired_degrees - old.paired_degrees + new.paired_degrees,
        )

    def with_known(self, known: Noise) -> Noise:
        """The noise of these repeats and of what was known before, each with the weight of its degrees of freedom."""
        before = known.degrees or 0
        degrees, squares = self.degrees + before, self.squares + known.sd**2 * before
        pairs = self.paired_degrees + known.paired_degrees
        paired = self.paired_squares + known.paired_sd**2 * known.paired_degrees
        return Noise(
            math.sqrt(squares / degrees) if degrees else 0.0,
            self.n + known.n,
            degrees,
            math.sqrt(paired / pairs) if pairs else 0.0,
            pairs,
        )


def _squares(values: Collection[float]) -> float:
    """The sum of squares about the mean; exactly 0 where all are equal."""
    if len(values) < 2 or min(values) == max(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)
