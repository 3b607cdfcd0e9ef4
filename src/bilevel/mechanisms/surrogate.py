"""Surrogate: a Gaussian process of the scores ranks the drafts and, when nothing is found any more, proposes itself.

Source: D. R. Jones, M. Schonlau, W. J. Welch, "Efficient Global Optimization of Expensive Black-Box Functions", Journal
of Global Optimization 13, 1998, doi:10.1023/A:1008306431147 (expected improvement); the kernel is half additive after
D. Duvenaud, H. Nickisch, C. E. Rasmussen, "Additive Gaussian Processes", 2011, arXiv:1112.4394.
"""

import math
from typing import Any, ClassVar

import numpy as np

from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Candidate, Choice, Space, same_value
from bilevel.trial import Proposal, Status, Trial
from bilevel.view import View


class Surrogate(Mechanism):
    """Local first, then surrogate: put the drafts in the order of expected improvement; once `patience` trials in a row
    brought no improvement (0: always) add the best `offers` of `pool` candidates drawn around the incumbent.

    It needs `least` scores. Numbers lie on their unit scale, a category is one column per option, and a trial that
    failed counts as the worst score. Half of the pool stays within `radius` (a share of a parameter's range). It is
    fitted to the newest `window` measurements, so that a call never costs more. Trials in flight count as average.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "Bayesian optimisation"
    patience = 3
    least = 6
    window = 80
    pool = 120
    offers = 4
    radius = 0.2

    def remember(self, memory: Any, trial: Trial) -> tuple[int, ...]:
        """The numbers of the newest trials that were measured."""
        unknown = trial.status in (Status.REFUSED, Status.INFRASTRUCTURE, Status.PRUNED)
        return (*(memory or ()), *(() if unknown else (trial.number,)))[-self.window :]

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        trials = [view.trace[number] for number in view.memory or ()]
        if view.objective.relative or sum(trial.score is not None for trial in trials) < self.least:
            return proposals
        left = [p for p in proposals if p.repeats or p.dropped or view.space.problems(p.candidate, parent)]
        drafts = [p for p in proposals if p not in left]
        own = self._own(view, parent, drafts) if view.trace.since_improvement() >= self.patience else {}
        if len(own) + len(drafts) < 2 or not view.space.unlocked:
            return proposals
        gains = self._expected(view, trials, [*(draft.candidate for draft in drafts), *own.values()])
        why = f"surrogate: the greatest expected improvement of {len(own)} candidates around the incumbent"
        pairs = zip(gains, [*drafts, *(Proposal(new, why) for new in own.values())], strict=True)
        ranked = [proposal for _, proposal in sorted(pairs, key=lambda pair: -pair[0])]
        offered = [p.candidate.id for p in ranked if p.candidate.id in own][: self.offers]
        return (*(p for p in ranked if p.candidate.id not in own or p.candidate.id in offered), *left)

    def _own(self, view: View, parent: Candidate, drafts: list[Proposal]) -> dict[str, Candidate]:
        """New candidates by id: one to three parameters of the incumbent drawn anew, in half of them near by."""
        space, rng, best = view.space, view.rng("surrogate"), view.trace.incumbent
        base = {name: (parent if best is None else best.candidate).params[name] for name in space.active}
        known = {parent.id, *(p.candidate.id for p in [*drafts, *(pending.proposal for pending in view.pending)])}
        found: dict[str, Candidate] = {}
        for number in range(self.pool if space.active else 0):
            names, near = rng.sample(space.active, min(rng.randint(1, 3), len(space.active))), space
            for name in names if number % 2 else ():
                near = near if isinstance(space.domains[name], Choice | Bool) else near.cap(name, self.radius)
            drawn = {**base, **{name: near.draw(rng, name, base[name]) for name in names}}
            moved = [(name, parent.params[name], value) for name, value in drawn.items()]
            clipped = {name: space.clip(name, old, new) for name, old, new in moved if not same_value(old, new)}
            new = parent.with_params(**clipped)
            if new.id not in known and view.trace.of(new.id) is None:
                found[new.id] = new
        return found

    def _expected(self, view: View, trials: list[Trial], candidates: list[Candidate]) -> list[float]:
        """The expected improvement of each candidate on the best prediction so far, in the objective's unit."""
        start, gain = next(t.score for t in trials if t.score is not None), view.objective.gain
        scored = np.array([np.nan if t.score is None else gain(start, t.score) for t in trials])
        best, middle, worst = np.nanmax(scored), np.nanmedian(scored), np.nanmin(scored)
        floor = middle - 3 * (best - middle) if best > middle else worst  # one disaster must not flatten the rest
        y = np.maximum(np.nan_to_num(scored, nan=worst), floor)
        mean, scale = y.mean(), y.std() or 1.0
        flying = [pending.proposal.candidate for pending in view.pending]
        y = np.concatenate([(y - mean) / scale, np.zeros(len(flying))])
        x, new = _encoded(view.space, [*(t.candidate for t in trials), *flying]), _encoded(view.space, candidates)
        fits = [_fitted(_kernel(x, x, length), y, noise, length) for length in (0.2, 0.5) for noise in (0.1, 0.4)]
        _, length, root, weights = max(fits, key=lambda fit: float(fit[0]))
        across = _kernel(new, x, length)
        better = across @ weights - (_kernel(x, x, length) @ weights).max()
        sd = np.sqrt(np.maximum(1 - (np.linalg.solve(root, across.T) ** 2).sum(0), 1e-9))
        normal = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in better / sd])
        expected = better * normal + sd * np.exp(-0.5 * (better / sd) ** 2) / math.sqrt(2 * math.pi)
        return [float(value) for value in scale * expected]


def _encoded(space: Space, candidates: list[Candidate]) -> Any:
    """One row per candidate; a category becomes a column per option, so that all are equally far from each other."""
    columns: list[list[float]] = []
    for name in space.unlocked:
        domain, values = space.domains[name], [candidate.params[name] for candidate in candidates]
        options = domain.options if isinstance(domain, Choice) else ()
        columns += [[float(same_value(option, value)) for value in values] for option in options]
        columns += [] if options else [[domain.unit(value) for value in values]]
    return np.array(columns).T.reshape(len(candidates), -1)


def _kernel(a: Any, b: Any, length: float) -> Any:
    """How alike two sets of rows are: the mean over the columns, and all columns together, half of each."""
    squares = ((a[:, None, :] - b[None, :, :]) / length) ** 2
    return 0.5 * np.exp(-0.5 * squares).mean(2) + 0.5 * np.exp(-0.5 * squares.mean(2))


def _fitted(kernel: Any, y: Any, noise: float, length: float) -> tuple[float, float, Any, Any]:
    """(log marginal likelihood, length scale, Cholesky root, weights)."""
    root = np.linalg.cholesky(kernel + noise**2 * np.eye(len(y)))
    weights = np.linalg.solve(root.T, np.linalg.solve(root, y))
    return float(-0.5 * y @ weights - np.log(np.diag(root)).sum()), length, root, weights
