"""Two arms on the same replicates: an exact test of their differences, its correction, effect sizes, and power.

A difference is that of two runs which share a seed. Nothing here assumes a distribution, but `replicates_needed`.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

MOST_EXACT = 16  # pairs up to which all sign patterns are enumerated
DRAWS = 100_000  # random patterns beyond
LEVEL, POWER = 0.05, 0.80
FEWEST = 6  # pairs with which the exact test can be significant at LEVEL: 2 / 2^6


def sign_flip_test(differences: Sequence[float], seed: int = 0) -> float | None:
    """The two-sided p of the sign-flip permutation test of "the differences are symmetric around 0"; None without any.

    The share of the sign patterns whose mean lies as far from 0 as the one seen: of all 2^n up to MOST_EXACT pairs,
    else of DRAWS random ones and the one seen. Sources: R. A. Fisher, "The Design of Experiments", 1935, section 21;
    for the random patterns B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", Statistical
    Applications in Genetics and Molecular Biology 9(1), 2010, doi:10.2202/1544-6115.1585.
    """
    n = len(differences)
    if n == 0:
        return None
    values = np.asarray(differences, dtype=float)
    seen = abs(float(values.sum()))
    near = seen - 1e-9 * float(np.abs(values).sum())  # sums of the same numbers in another order
    if n <= MOST_EXACT:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= near))
    rng, extreme, left = np.random.default_rng(seed), 0, DRAWS
    while left:
        some = min(left, 10_000)
        signs = rng.integers(0, 2, size=(some, n)) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= near))
        left -= some
    return (1 + extreme) / (1 + DRAWS)


def smallest_p(pairs: int) -> float | None:
    """The smallest p that the exact test can give with so many pairs, whatever the differences."""
    return None if pairs == 0 else 2.0 ** (1 - pairs) if pairs <= MOST_EXACT else 1 / (1 + DRAWS)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, so that all wrong claims together stay at the level.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2),
    1979.
    """
    corrected, least = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = least
    return corrected


def cohens_d(differences: Sequence[float]) -> float | None:
    """The mean difference in standard deviations of the differences (d_z); None where they do not vary.

    Source: J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, 1988, section 2.3.5.
    """
    if len(differences) < 2:
        return None
    values = np.asarray(differences)
    sd = float(np.std(values, ddof=1))
    return float(np.mean(values)) / sd if sd > 1e-12 * float(np.abs(values).max()) else None  # less is rounding


def superiority(differences: Sequence[float]) -> float | None:
    """The share of the pairs in which the arm was better, ties counted half; None without pairs.

    Source: R. J. Grissom and J. J. Kim, "Effect Sizes for Research", 2005, chapter 5 (PS for dependent groups); the
    half for ties: A. Vargha and H. D. Delaney, Journal of Educational and Behavioral Statistics 25(2), 2000,
    doi:10.3102/10769986025002101.
    """
    if not differences:
        return None
    won = sum(1.0 if difference > 0 else 0.5 if difference == 0 else 0.0 for difference in differences)
    return won / len(differences)


def replicates_needed(differences: Sequence[float]) -> int | None:
    """How many replicates a two-sided test at 5 % would need to find the difference seen with a chance of 80 %.

    By the normal approximation on paired differences, ((z_0.975 + z_0.80) / d)^2 rounded up, and at least FEWEST: with
    fewer the exact test finds nothing, however large the effect is. Without a correction for several arms (Cohen 1988,
    section 2.4). It takes the effect that was seen for the true one: rough. None where there is no effect, or no
    spread.
    """
    effect = cohens_d(differences)
    if not effect:
        return None
    normal = NormalDist()
    need = ((normal.inv_cdf(1 - LEVEL / 2) + normal.inv_cdf(POWER)) / effect) ** 2
    return max(FEWEST, math.ceil(need))
