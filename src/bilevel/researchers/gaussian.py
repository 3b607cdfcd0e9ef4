"""A Gaussian process of few measurements: several scales by their posterior, and expected improvement. numpy only.

Source: C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press, 2006; J. Snoek, H.
Larochelle, R. P. Adams, "Practical Bayesian Optimization of Machine Learning Algorithms", NeurIPS 2012, arXiv:1206.2944
(the mean over several scales); C. Hvarfner, E. Hellsten, L. Nardi, "Vanilla Bayesian Optimization Performs Great in
High Dimensions", ICML 2024, arXiv:2402.02229 (length scales that grow with the root of the number of parameters).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
DRAWN, MUTATED, ROUNDS, KEPT = 48, 24, 3, 8  # scales drawn from the prior, then made from the best, how often; kept
LENGTH, LENGTH_SD = 1.0 / 3.0, 0.9  # a length's prior: median at one parameter (of its range); sd of its logarithm
NOISE, NOISE_SD = 0.1, 1.0  # the noise's: median, in sd of the signal; sd of its logarithm
PRIOR_WEIGHT = 2.0  # how many measurements the prior of the signal's variance counts as
JITTER = 1e-6


@dataclass(frozen=True)
class Process:
    """What is believed after some measurements, once for each of several scales; `chances` are their probabilities.

    `rows`: where was measured; columns with one `owner` share a length scale. Values are in the unit of `fit`'s. The
    first axis of `lengths`, `values`, `noises` (variances, by row), `roots`, `weights` and `variances` is the scale.
    """

    rows: Array
    owner: Array
    chances: Array
    lengths: Array
    values: Array
    noises: Array
    variances: Array
    roots: Array
    weights: Array

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and sd of the true value at each row, without noise: one line per scale."""
        across = _matern(rows, self.rows, self.owner, self.lengths)
        half = np.linalg.solve(self.roots, across.transpose(0, 2, 1))
        left = np.maximum(1.0 - (half * half).sum(1), 1e-9)
        return (across @ self.weights[:, :, None])[:, :, 0], np.sqrt(left * self.variances[:, None])

    def mean(self, rows: Array) -> Array:
        """The mean at each row over all scales."""
        return self.chances @ self.predict(rows)[0]

    def expected(self, rows: Array, bold: float = 0.0) -> Array:
        """The expected improvement at each row on the greatest mean at a measured one; `bold` sd are added to it."""
        mean, sd = self.predict(rows)
        best = self.predict(self.rows)[0].max(1)
        better = mean - best[:, None] + bold * sd
        z = better / sd
        below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.ravel()]).reshape(z.shape)
        gains: Array = better * below + sd * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        return self.chances @ gains

    def believing(self, rows: Array) -> "Process":
        """As if its own means had been measured at `rows`: so that what comes next lies elsewhere."""
        values = np.concatenate([self.values, self.predict(rows)[0]], axis=1)
        noises = np.concatenate([self.noises, np.full((len(self.noises), len(rows)), JITTER)], axis=1)
        rows = np.concatenate([self.rows, rows])
        roots, weights = _solved(_matern(rows, rows, self.owner, self.lengths), values, noises)[:2]
        return replace(self, rows=rows, values=values, noises=noises, roots=roots, weights=weights)


def fit(rows: Array, values: Array, repeats: Array, owner: Array, rng: Any) -> Process:
    """The belief after `values`, of mean 0 and sd 1, at `rows`; each is the mean of so many `repeats`.

    Scales are drawn from the prior by `rng`, a generator of numpy, and improved in rounds; the best of them are kept.
    """
    count = int(owner.max()) + 1
    middle = np.array([*[math.log(LENGTH * math.sqrt(count))] * count, math.log(NOISE)])
    sd = np.array([*[LENGTH_SD] * count, NOISE_SD])
    scales = middle + sd * rng.standard_normal((DRAWN, count + 1))
    scales[0] = middle

    def judged(scales: Array) -> tuple[Array, ...]:
        prior = -0.5 * (((scales - middle) / sd) ** 2).sum(1)
        return _judged(rows, values, repeats, owner, scales, prior)

    found = judged(scales)
    for number in range(1, ROUNDS + 1):
        order = np.argsort(-found[0], kind="stable")[:KEPT]
        parents = scales[order][rng.integers(len(order), size=MUTATED)]
        moved = rng.random(parents.shape) < 0.5
        new = parents + moved * sd / (2 * number) * rng.standard_normal(parents.shape)
        scales = np.concatenate([scales[order], new])
        found = tuple(np.concatenate([old[order], more]) for old, more in zip(found, judged(new), strict=True))
    order = np.argsort(-found[0], kind="stable")[:KEPT]
    likely, noises, variances, roots, weights = (part[order] for part in found)
    chances = np.exp(likely - likely[0])
    everywhere = np.broadcast_to(values, (len(order), len(values)))
    lengths = np.exp(scales[order, :count])
    return Process(rows, owner, chances / chances.sum(), lengths, everywhere, noises, variances, roots, weights)


def levelled(values: Array) -> Array:
    """Values, the larger the better, with mean 0 and sd 1: below the median on a logarithm, so that a disaster does not
    flatten the rest; what has no value (NaN: a failure) counts as the worst."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values))
    best, middle, worst = known.max(), np.median(known), known.min()
    far = (middle - np.where(np.isnan(values), worst, values)) / ((best - middle) or known.std() or 1.0)
    level = np.where(far > 0, -np.log1p(np.maximum(far, 0.0)), -far)
    spread = level.std()
    return (level - level.mean()) / (spread if spread > 1e-12 else 1.0)


def _judged(
    rows: Array, values: Array, repeats: Array, owner: Array, scales: Array, prior: Array
) -> tuple[Array, ...]:  # fmt: skip
    """For each scale: its log posterior, the noises, the signal's variance, root and weights."""
    kernels = _matern(rows, rows, owner, np.exp(scales[:, :-1]))
    noises = np.exp(2 * scales[:, -1:]) / repeats + JITTER
    roots, weights, squares = _solved(kernels, np.broadcast_to(values, (len(scales), len(values))), noises)
    count = len(values) + PRIOR_WEIGHT
    variances = (squares + PRIOR_WEIGHT) / count
    likely = -0.5 * count * np.log(variances) - np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(1)
    return likely + prior, noises, variances, roots, weights


def _solved(kernels: Array, values: Array, noises: Array) -> tuple[Array, Array, Array]:
    """Cholesky roots, weights, and the values' squares in the metric of the covariance."""
    roots = np.linalg.cholesky(kernels + noises[:, :, None] * np.eye(noises.shape[1]))
    half = np.linalg.solve(roots, values[:, :, None])
    return roots, np.linalg.solve(roots.transpose(0, 2, 1), half)[:, :, 0], (half[:, :, 0] ** 2).sum(1)


def _matern(a: Array, b: Array, owner: Array, lengths: Array) -> Array:
    """Matérn 5/2 between two sets of rows: scale x a x b."""
    shrunk = 1.0 / lengths[:, None, owner]
    a, b = a * shrunk, b * shrunk
    squared = (a * a).sum(2)[:, :, None] + (b * b).sum(2)[:, None, :] - 2 * a @ b.transpose(0, 2, 1)
    r = np.sqrt(5.0 * np.maximum(squared, 0.0))
    return (1.0 + r + r * r / 3.0) * np.exp(-r)
