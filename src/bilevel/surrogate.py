"""A model of a task, fitted to what a search has measured: smooth between candidates, the mean far from all of them.

Kernel ridge regression with a Gaussian kernel, its width chosen by the leave-one-out error (G. Wahba, "Spline Models
for Observational Data", 1990, doi:10.1137/1.9781611970128, chapter 4). Standard library only: for tens of candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bilevel.rules import mean
from bilevel.space import Candidate, Space
from bilevel.trace import Trace

LEAST = 6  # candidates with a score, below which nothing is fitted
MOST = 60  # the newest ones that are used
WIDTHS = (0.15, 0.3, 0.6, 1.2)
RIDGE = 1e-3


@dataclass(frozen=True)
class Surrogate:
    """What a search knows of its task, as a function. Failures are not modelled.

    `error` is the root mean square of the leave-one-out errors and `spread` the scores' standard deviation, both in the
    objective's unit: where they are equal the model knows no more than the mean.
    """

    space: Space
    points: tuple[Candidate, ...]
    weights: tuple[float, ...]
    centre: float
    width: float
    error: float
    spread: float

    def __call__(self, candidate: Candidate) -> float:
        """The score that is expected of a candidate."""
        near = (_kernel(self.space, self.width, candidate, point) for point in self.points)
        return self.centre + sum(k * weight for k, weight in zip(near, self.weights, strict=True))


def fit(space: Space, trace: Trace) -> Surrogate | None:
    """The model of what `trace` measured; None where too few candidates have a score, or all have the same."""
    scored = {t.candidate.id: t.candidate for t in trace if t.score is not None}
    found = [(candidate, _score(trace, name)) for name, candidate in scored.items()][-MOST:]
    scores = [score for _, score in found]
    if len(found) < LEAST or not space.unlocked:
        return None
    centre = mean(scores)
    spread = math.sqrt(mean([(score - centre) ** 2 for score in scores]))
    if spread == 0:
        return None
    points = tuple(candidate for candidate, _ in found)
    values = [score - centre for score in scores]
    fits = [(*_fitted(space, width, points, values), width) for width in WIDTHS]
    error, weights, width = min(fits)
    return Surrogate(space, points, weights, centre, width, error, spread)


def _score(trace: Trace, name: str) -> float:
    scores = trace.scores(name)
    if scores:
        return mean([*scores.values()])
    return next(t.score for t in reversed(trace[:]) if t.candidate.id == name and t.score is not None)


def _fitted(
    space: Space, width: float, points: Sequence[Candidate], values: Sequence[float]
) -> tuple[float, tuple[float, ...]]:
    """The leave-one-out error and the weights: with the inverse of the kernel, each error is weight / its diagonal."""
    rows = [[_kernel(space, width, a, b) + (RIDGE if a is b else 0.0) for b in points] for a in points]
    inverse = _inverse(rows)
    weights = tuple(sum(a * b for a, b in zip(row, values, strict=True)) for row in inverse)
    errors = [(weight / row[n]) ** 2 for n, (weight, row) in enumerate(zip(weights, inverse, strict=True))]
    return math.sqrt(mean(errors)), weights


def _kernel(space: Space, width: float, a: Candidate, b: Candidate) -> float:
    names = space.unlocked
    square = sum(space.step(name, a.params[name], b.params[name]) ** 2 for name in names)
    return math.exp(-square / (2 * width**2 * math.sqrt(len(names))))


def _inverse(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Of a symmetric positive definite matrix, by Gauss and Jordan; without pivots, which such a one does not need."""
    size = len(rows)
    wide = [[*row, *(float(n == m) for m in range(size))] for n, row in enumerate(rows)]
    for n in range(size):
        pivot = wide[n][n]
        wide[n] = [value / pivot for value in wide[n]]
        for m in range(size):
            if m != n and wide[m][n]:
                factor = wide[m][n]
                wide[m] = [a - factor * b for a, b in zip(wide[m], wide[n], strict=True)]
    return [row[size:] for row in wide]
