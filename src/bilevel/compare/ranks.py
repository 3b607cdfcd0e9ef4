"""Arms ranked on each of several tasks: average ranks, Friedman's test, and Nemenyi's critical difference.

Here a task is one observation, so this speaks of tasks like these; the paired tests speak of these tasks only. Source
of the procedure: J. Demsar, "Statistical comparisons of classifiers over multiple data sets", Journal of Machine
Learning Research 7, 2006.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.compare.paired import LEVEL

PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Ranks:
    """The average rank of each arm over `tasks` tasks, 1 the best. `p` of Friedman's test that all arms are alike; two
    arms whose ranks lie closer than `critical_difference` cannot be told apart at 5 %."""

    tasks: int
    average: Mapping[str, float]
    by_task: Mapping[str, Mapping[str, float]]
    p: float | None
    critical_difference: float | None


def ranked(scores: Mapping[str, Mapping[str, float]], seed: int) -> Ranks | None:
    """The ranks of arms by their scores (higher is better) on each task; ties share the mean of their ranks.

    `scores` by task, then arm: every task must have the same arms. None for fewer than two tasks or arms, where ranks
    say nothing.
    """
    arms = list(next(iter(scores.values()), {}))
    if len(scores) < 2 or len(arms) < 2:
        return None
    table = np.array([_ranks([-of[arm] for arm in arms]) for of in scores.values()])
    return Ranks(
        tasks=len(table),
        average=dict(zip(arms, map(float, table.mean(axis=0)), strict=True)),
        by_task={task: dict(zip(arms, map(float, row), strict=True)) for task, row in zip(scores, table, strict=True)},
        p=friedman(table, seed),
        critical_difference=critical_difference(len(arms), len(table)),
    )


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, the smallest is 1."""
    return [sum(other < value for other in values) + (sum(o == value for o in values) + 1) / 2 for value in values]


def friedman(table: NDArray[np.float64], seed: int) -> float:
    """The p of Friedman's test on ranks, tasks by arms: how often shuffled ranks spread the sums as far.

    By PERMUTATIONS random shuffles within tasks and the one seen, in place of the chi-squared approximation, which is
    poor for few tasks. Source: M. Friedman, "The use of ranks to avoid the assumption of normality implicit in the
    analysis of variance", Journal of the American Statistical Association 32(200), 1937,
    doi:10.1080/01621459.1937.10503522.
    """

    def spread(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((sums - sums.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1))

    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.broadcast_to(table, (PERMUTATIONS, *table.shape)), axis=-1)
    as_far = np.count_nonzero(spread(drawn.sum(axis=1)) >= spread(table.sum(axis=0)) - 1e-9)
    return (1 + int(as_far)) / (1 + PERMUTATIONS)


def critical_difference(arms: int, tasks: int) -> float:
    """Nemenyi's critical difference of average ranks at 5 %: q sqrt(k (k + 1) / (6 N)), q the studentised range's
    quantile over the square root of 2 (Demsar 2006, table 5a and section 3.2.2)."""
    return range_quantile(arms) / math.sqrt(2) * math.sqrt(arms * (arms + 1) / (6 * tasks))


def range_quantile(count: int, level: float = LEVEL) -> float:
    """The value that the range of so many standard normal numbers exceeds with probability `level`.

    P(range < q) is the integral of k phi(z) (Phi(z) - Phi(z - q))^(k - 1) over z, by the trapezium rule.
    """
    grid = np.linspace(-8.0, 8.0, 1601)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    below = _normal(grid)

    def held(q: float) -> float:
        found = count * density * (below - _normal(grid - q)) ** (count - 1)
        return float(found.sum() * (grid[1] - grid[0]))

    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if held(middle) < 1 - level else (low, middle)
    return (low + high) / 2


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard normal distribution function."""
    return np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in values])
