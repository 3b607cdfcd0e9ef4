"""Bayesian optimisation with scikit-optimize."""

from skopt import Optimizer

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class SkoptBayes(Mechanism):
    """Ask a Gaussian-process optimizer for the next point."""

    domain = "Bayesian optimisation"

    def propose(self, view, parent, proposals):
        optimizer = Optimizer([(0.0, 1.0)] * len(view.space.active))
        for trial in view.trace:
            if trial.score is not None:
                optimizer.tell(
                    [view.space.domains[n].unit(trial.candidate.params[n]) for n in view.space.active], trial.score
                )
        point = optimizer.ask()
        drawn = {n: view.space.domains[n].at(u) for n, u in zip(view.space.active, point, strict=True)}
        return [Proposal(parent.with_params(**drawn), "expected improvement"), *proposals]
