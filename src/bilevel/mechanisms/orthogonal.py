"""Space-filling exploration: the next proposals come from one Latin hypercube, so that they differ in every parameter.

Source: M. D. McKay, R. J. Beckman, W. J. Conover, "A Comparison of Three Methods for Selecting Values of Input
Variables in the Analysis of Output from a Computer Code", Technometrics 21(2), 1979, doi:10.2307/1268522.
"""

import random
from typing import Any, ClassVar

from bilevel.codec import derive_seed
from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Candidate, Choice, Value
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class Orthogonal(Mechanism):
    """Take over the next `points` proposals with a Latin hypercube over the active parameters.

    Along each parameter the points lie in `points` different strata of a window of `radius` (a share of its range; 1 is
    all of it) around the parent. A new design begins after `patience` trials without improvement (0: only one design).
    A point that the host refuses is skipped; the researcher's drafts come last.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "design of experiments"
    points = 8
    radius = 0.5
    patience = 10

    def remember(self, memory: Any, trial: Trial) -> tuple[int, int, int]:
        """(round, next point, trials since the design ended)."""
        rounds, after, idle = memory or (0, 0, 0)
        mine = trial.proposal.notes.get("latin hypercube")
        if mine is not None:
            return int(mine["round"]), int(mine["point"]) + 1, 0
        return rounds, after, idle + 1

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        rounds, after, idle = view.memory or (0, 0, 0)
        if after >= self.points and self.patience and idle >= self.patience:
            if view.trace.since_improvement() < self.patience:
                return proposals
            rounds, after = rounds + 1, 0
        for pending in view.pending:
            mine = pending.proposal.notes.get("latin hypercube")
            if mine is not None:
                rounds, after = int(mine["round"]), int(mine["point"]) + 1
        design = self._design(view, parent, rounds)
        mine_first = [
            Proposal(
                candidate,
                f"point {point + 1} of {self.points} of a space-filling design",
                notes={"latin hypercube": {"round": rounds, "point": point}},
            )
            for point, candidate in enumerate(design)
            if point >= after and candidate not in (parent, *design[:point]) and view.trace.of(candidate.id) is None
        ]
        return (*mine_first[:16], *proposals)

    def _design(self, view: View, parent: Candidate, rounds: int) -> list[Candidate]:
        columns = {name: self._column(view, parent, name, rounds) for name in view.space.active}
        rows = [{name: column[row] for name, column in columns.items()} for row in range(self.points)]
        return [parent.with_params(**row) for row in rows]

    def _column(self, view: View, parent: Candidate, name: str, rounds: int) -> list[Value]:
        """One parameter's values, drawn for the whole design at once: it depends on no trial's number."""
        rng = random.Random(derive_seed(view.seed, "orthogonal", rounds, name))
        strata = list(range(self.points))
        rng.shuffle(strata)
        units = [(stratum + rng.random()) / self.points for stratum in strata]
        domain, old = view.space.domains[name], parent.params[name]
        if isinstance(domain, Choice | Bool):
            return [domain.at(unit) for unit in units]
        low = min(max(domain.unit(old) - self.radius / 2, 0.0), 1.0 - self.radius)
        return [view.space.clip(name, old, domain.at(low + unit * self.radius)) for unit in units]
