"""Evidence that may be looked at after every pair: e-processes on paired differences, and several claims together.

Null hypothesis: each difference, given the earlier ones, falls on either side of 0 with equal chance for each size (or
is centred below 0 with one peak, which only helps the null). Nothing is said of its spread, which need be neither known
nor normal nor equal from pair to pair. Someone without knowledge of the sign who bets on it cannot expect to win; so by
Ville's inequality the capital ever reaches 20 with a probability of at most 1/20, however often one looks and whenever
one stops.

Sources: G. Shafer, "Testing by betting", Journal of the Royal Statistical Society A 184(2), 2021,
doi:10.1111/rssa.12647; A. Ramdas, J. Ruf, M. Larsson, W. Koolen, "Admissible anytime-valid sequential inference must
rely on nonnegative martingales", 2020, arXiv:2009.03167 (symmetric distributions); R. Wang, A. Ramdas, "False discovery
rate control with e-values", Journal of the Royal Statistical Society B 84(3), 2022, doi:10.1111/rssb.12489. The
t-test of H. Wang and A. Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", 2023, arXiv:2310.03722, was not taken: it needs normal differences, and two that are tied would be infinite
evidence.
"""

import math
from collections.abc import Iterable, Sequence

CONFIRMED = 20.0  # e-value from which on one claim alone is confirmed: an error of at most 1/20
LEAST_PAIRS = 5  # that can reach it
EFFECTS = (1.0, 2.0)  # differences in units of their mean size that the bets are made for


def capital(bets: Iterable[float]) -> float:
    """What one unit becomes by bets on signs: each a share of the capital within (-1, 1), positive where it is won."""
    total = 1.0
    for bet in bets:
        total *= 1.0 + bet
    return total


def e_value(differences: Sequence[float]) -> float:
    """Evidence that paired differences lean to the positive side, after all of them; 1 for none.

    The mean over EFFECTS of a better's capital who stakes tanh(effect * |difference| / mean size so far): for normal
    differences with that mean effect about the best stake. Ties are no bet. It takes at least five pairs to reach 20.
    """
    sizes: list[float] = []
    total = 0.0
    for difference in differences:
        total += abs(difference)
        sizes.append(total / (len(sizes) + 1))
    scaled = [difference / size if size > 0 else 0.0 for difference, size in zip(differences, sizes, strict=True)]
    return sum(capital(math.tanh(effect * value) for value in scaled) for effect in EFFECTS) / len(EFFECTS)


def e_bh(values: Sequence[float], level: float = 1.0 / CONFIRMED) -> tuple[bool, ...]:
    """Which of several claims are confirmed together: e-BH, for e-values that may depend on each other in any way.

    The expected share of false claims among the confirmed ones is at most `level`; where all claims are false, so is
    the chance that any is confirmed.
    """
    order = sorted(range(len(values)), key=lambda n: -values[n])
    most = max((rank for rank, n in enumerate(order, 1) if values[n] * rank >= len(values) / level), default=0)
    chosen = set(order[:most])
    return tuple(n in chosen for n in range(len(values)))


def holm(values: Sequence[float], level: float = 1.0 / CONFIRMED) -> tuple[bool, ...]:
    """Which of several claims are confirmed where not even one may be false: Holm's steps on the e-values."""
    order = sorted(range(len(values)), key=lambda n: -values[n])
    chosen: set[int] = set()
    for done, n in enumerate(order):
        if values[n] < (len(values) - done) / level:
            break
        chosen.add(n)
    return tuple(n in chosen for n in range(len(values)))


def interval(differences: Sequence[float]) -> tuple[float | None, float | None]:
    """The effects that the pairs do not exclude on either side at e >= 20: valid whenever one looks, at 90 % for both.

    It lies above 0 exactly where `e_value` is at least 20. None where a side is open: fewer than five pairs.
    """
    return _bound(differences, 1.0), _bound(differences, -1.0)


def _bound(differences: Sequence[float], sign: float) -> float | None:
    """The largest shift that is still excluded from below (sign 1) or the smallest from above (sign -1)."""
    values = [sign * difference for difference in differences]
    if not values:
        return None
    width = max(values) - min(values)
    low, high = min(values) - 100.0 * width, sum(values) / len(values)
    if width == 0.0:
        return sign * high if len(values) >= LEAST_PAIRS else None
    if e_value([value - low for value in values]) < CONFIRMED:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        if e_value([value - middle for value in values]) >= CONFIRMED:
            low = middle
        else:
            high = middle
    return sign * low
