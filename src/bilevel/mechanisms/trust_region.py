"""Trust region: stay within a radius of the parent that grows with success and shrinks with failure.

Source: D. Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization" (TuRBO), 2019,
arXiv:1910.01739, section 2: the rule by which the side length is doubled and halved.
"""

from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Candidate, Choice, Int, Space
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class TrustRegion(Mechanism):
    """Cap the step of every number at a radius (a share of its range, logarithmic where the parameter is).

    The radius starts at `radius`, is multiplied by `grow` after a kept trial and by `shrink` after `patience` discarded
    ones in a row, within [least, 1]. Drafts that go farther are clipped to it. Choices and flags have no radius, and a
    whole number may always move by one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "trust region"
    radius = 0.2
    grow = 2.0
    shrink = 0.5
    patience = 3
    least = 0.02

    def remember(self, memory: Any, trial: Trial) -> tuple[float, int]:
        """(radius, discarded trials in a row)."""
        radius, misses = memory or (self.radius, 0)
        if trial.number == 0 or not trial.runs:
            return radius, misses
        if trial.decision.keep:
            return min(radius * self.grow, 1.0), 0
        if misses + 1 >= self.patience:
            return max(radius * self.shrink, self.least), 0
        return radius, misses + 1

    def constrain(self, view: View, space: Space) -> Space:
        radius = self._radius(view)
        for name in space.active:
            if not isinstance(space.domains[name], Choice | Bool):
                space = space.cap(name, max(radius, self._one_step(view, space, name)))
        return space

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        return tuple(self._clipped(view, parent, proposal) for proposal in proposals)

    def _clipped(self, view: View, parent: Candidate, proposal: Proposal) -> Proposal:
        space = view.space
        clipped = {
            name: space.clip(name, change.old, change.new)
            for name, change in proposal.candidate.changes_from(parent).items()
            if name in space.active and space.domains[name].check(change.new) is None
        }
        candidate = proposal.candidate.with_params(**clipped)
        if candidate.id == proposal.candidate.id or candidate.id == parent.id:
            return proposal
        why = f"{proposal.why} (clipped to a radius of {self._radius(view):.3g})"
        return Proposal(candidate, why, proposal.author, proposal.notes)

    def _radius(self, view: View) -> float:
        return float((view.memory or (self.radius, 0))[0])

    def _one_step(self, view: View, space: Space, name: str) -> float:
        """The smallest step that a whole number can make; 0 for real ones."""
        domain, current = space.domains[name], view.trace.current
        if not isinstance(domain, Int) or current is None or domain.check(current.params[name]):
            return 0.0
        old = current.params[name]
        return max((space.step(name, old, new) for new in domain.neighbours(old)), default=0.0)
