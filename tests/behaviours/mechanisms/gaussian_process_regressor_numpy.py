"""A Gaussian process written with numpy takes over: the candidate with the highest upper bound is proposed first.

Source: C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1; N. Srinivas
et al., "Gaussian Process Optimization in the Bandit Setting", 2010, arXiv:0912.3995 (the bound).
"""

from typing import Any, ClassVar

import numpy as np

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class GaussianProcess(Mechanism):
    """Fit a process to the last `window` measured candidates (on their unit scales) once there are `least`, draw `pool`
    candidates around the parent and far from it, and propose the `offers` best by mean + `beta` standard deviations."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "Bayesian optimisation"
    least = 4
    window = 40
    pool = 80
    offers = 3
    length = 0.3
    noise = 0.03
    beta = 1.5

    def remember(self, memory: Any, trial: Trial) -> tuple[tuple[Candidate, float], ...]:
        """What was measured: the last candidates with their scores."""
        known = memory or ()
        return known if trial.score is None else (*known, (trial.candidate, trial.score))[-self.window :]

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        known = view.memory or ()
        if len(known) < self.least or not view.space.active:
            return proposals
        sign = -1.0 if view.objective.minimize else 1.0
        scores = sign * np.array([score for _, score in known])
        spread = float(scores.std()) or 1.0
        points = self._units(view, [candidate for candidate, _ in known])
        pool = self._pool(view, parent)
        if not pool:
            return proposals
        lower = np.linalg.cholesky(self._kernel(points, points) + self.noise * np.eye(len(points)))
        across = self._kernel(points, self._units(view, pool))
        half = np.linalg.solve(lower, across)
        mean = half.T @ np.linalg.solve(lower, (scores - scores.mean()) / spread)
        bound = mean + self.beta * np.sqrt(np.maximum(1.0 - (half**2).sum(axis=0), 0.0))
        best = np.argsort(-bound, kind="stable")[: self.offers]
        mine = [Proposal(pool[i], f"upper bound {bound[i]:+.3g} standard deviations of the scores") for i in best]
        return (*mine, *proposals)

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
        return np.exp(-squared / (2 * self.length**2))

    def _units(self, view: View, candidates: list[Candidate]) -> np.ndarray:
        names = view.space.unlocked
        return np.array([[view.space.domains[n].unit(c.params[n]) for n in names] for c in candidates])

    def _pool(self, view: View, parent: Candidate) -> list[Candidate]:
        rng, drawn = view.rng("pool"), []
        for place in range(self.pool):
            names = rng.sample(view.space.active, min(2, len(view.space.active))) if place % 2 else view.space.active
            drawn.append(parent.with_params(**{n: view.space.draw(rng, n, parent.params[n]) for n in names}))
        distinct = {candidate.id: candidate for candidate in drawn if candidate.id != parent.id}
        return [candidate for candidate in distinct.values() if view.trace.of(candidate.id) is None]
