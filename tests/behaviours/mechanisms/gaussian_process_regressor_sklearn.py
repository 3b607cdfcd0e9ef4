"""A Gaussian process takes over: the candidate with the greatest expected improvement is proposed first.

Source: J. Mockus, "On Bayesian methods for seeking the extremum", 1975; D. R. Jones, M. Schonlau, W. J. Welch,
"Efficient Global Optimization of Expensive Black-Box Functions", 1998, doi:10.1023/A:1008306431147.
"""

from typing import Any, ClassVar

import numpy as np
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class GaussianProcess(Mechanism):
    """Fit a process to the last `window` measured candidates (on their unit scales) once there are `least`, draw `pool`
    candidates around the parent and far from it, and propose the `offers` best by expected improvement."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "Bayesian optimisation"
    least = 4
    window = 40
    pool = 80
    offers = 3
    length = 0.3

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
        model = GaussianProcessRegressor(Matern(self.length, nu=2.5) + WhiteKernel(1e-3), optimizer=None)
        model.fit(self._units(view, [candidate for candidate, _ in known]), (scores - scores.mean()) / spread)
        pool = self._pool(view, parent)
        if not pool:
            return proposals
        mean, sd = model.predict(self._units(view, pool), return_std=True)
        gain = mean - (scores.max() - scores.mean()) / spread
        z = gain / np.maximum(sd, 1e-9)
        improvement = gain * norm.cdf(z) + sd * norm.pdf(z)
        best = np.argsort(-improvement, kind="stable")[: self.offers]
        mine = [Proposal(pool[i], f"expected improvement {improvement[i] * spread:.3g}") for i in best]
        return (*mine, *proposals)

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
