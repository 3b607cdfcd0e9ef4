"""Quantiles of Student's t and of chi-square, for whole degrees of freedom; the standard library has neither."""

import functools
import math
from collections.abc import Callable
from statistics import NormalDist

MANY = 300  # degrees of freedom from which on an approximation is as good as the sums, which grow with them
NORMAL = NormalDist()


@functools.lru_cache(maxsize=4096)
def student(p: float, degrees: int) -> float:
    """The value below which Student's t lies with probability p, in (0, 1).

    By bisection on the finite sums of Abramowitz & Stegun (1964), 26.7.3 and 26.7.4; from `MANY` degrees on by the
    first two terms of the expansion 26.7.5, right to 6 digits there.
    """
    _check(p, degrees)
    if p < 0.5:
        return -student(1 - p, degrees)
    if degrees >= MANY:
        z = NORMAL.inv_cdf(p)
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return _inverse(lambda t: 0.5 + _between(t, degrees) / 2, p)


@functools.lru_cache(maxsize=4096)
def chi_square(p: float, degrees: int) -> float:
    """The value below which chi-square lies with probability p, in (0, 1).

    By bisection on the finite sums of Abramowitz & Stegun (1964), 26.4.4 and 26.4.5; from `MANY` degrees on by the cube
    of Wilson & Hilferty (1931), 26.4.17 there, right to 4 digits.
    """
    _check(p, degrees)
    if degrees >= MANY:
        spread = 2 / (9 * degrees)
        return degrees * (1 - spread + NORMAL.inv_cdf(p) * math.sqrt(spread)) ** 3
    return _inverse(lambda x: 1 - _above(x, degrees), p)


def sd_interval(sd: float, degrees: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of a standard deviation that was estimated with so many degrees of freedom, central at `level`.

    Exact for normal data (sd^2 * degrees / sigma^2 is chi-square). Raises ValueError without a degree of freedom.
    """
    tail = (1 - level) / 2
    low, high = chi_square(1 - tail, degrees), chi_square(tail, degrees)
    return sd * math.sqrt(degrees / low), sd * math.sqrt(degrees / high)


def _check(p: float, degrees: int) -> None:
    if not 0 < p < 1 or degrees < 1:
        raise ValueError(f"no quantile at {p!r} with {degrees!r} degrees of freedom")


def _between(t: float, degrees: int) -> float:
    """How probable it is that Student's t lies within (-t, t)."""
    angle = math.atan2(t, math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= square * (k - 1) / k
        total += term
    if not odd:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if degrees > 1 else 0.0))


def _above(x: float, degrees: int) -> float:
    """How probable it is that chi-square exceeds x."""
    if x <= 0:
        return 1.0
    if degrees % 2:
        root = math.sqrt(x)
        term, total = root, 0.0
        for k in range(1, degrees - 1, 2):
            total += term
            term *= x / (k + 2)
        return math.erfc(root / math.sqrt(2)) + 2 * NORMAL.pdf(root) * total
    term, total = 1.0, 0.0
    for k in range(degrees // 2):
        total += term
        term *= x / 2 / (k + 1)
    return math.exp(-x / 2) * total


def _inverse(share: Callable[[float], float], p: float) -> float:
    """Where an increasing function of [0, infinity) reaches p."""
    low, high = 0.0, 1.0
    while share(high) < p:
        low, high = high, 2 * high
        if math.isinf(high):
            return low
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if share(middle) < p else (low, middle)
    return high
