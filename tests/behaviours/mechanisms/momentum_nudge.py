"""Momentum: numbers of a draft are nudged in the direction that has helped, by a calibrated step."""

from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Float, Int
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class MomentumNudge(Mechanism):
    """Add to each changed number `rate` times its momentum, the mean signed step of the kept changes among the last
    `window` trials, on the parameter's own scale. After `patience` nudged trials in a row that were discarded it
    switches itself off for good."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "momentum"
    rate = 0.5
    window = 20
    patience = 3

    def remember(self, memory: Any, trial: Trial) -> int:
        """How many nudged trials in a row were discarded."""
        misses: int = memory or 0
        if misses >= self.patience or "nudged" not in trial.proposal.notes:
            return misses
        return 0 if trial.decision.keep else misses + 1

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if (view.memory or 0) >= self.patience:
            return proposals
        return tuple(self._nudged(view, parent, proposal) for proposal in proposals)

    def _nudged(self, view: View, parent: Candidate, proposal: Proposal) -> Proposal:
        nudges = {}
        for name, change in proposal.candidate.changes_from(parent).items():
            domain, momentum = view.space.domains[name], self._momentum(view, name)
            if (
                momentum
                and name in view.space.active
                and isinstance(domain, Float | Int)
                and domain.check(change.new) is None
            ):
                aim = domain.at(domain.unit(change.new) + self.rate * momentum)
                nudges[name] = view.space.clip(name, change.old, aim)
        candidate = proposal.candidate.with_params(**nudges)
        if candidate.id in (proposal.candidate.id, parent.id):
            return proposal
        notes = {**proposal.notes, "nudged": sorted(nudges)}
        return Proposal(candidate, f"{proposal.why} (nudged by momentum)", proposal.author, notes)

    def _momentum(self, view: View, name: str) -> float:
        domain = view.space.domains[name]
        recent = view.trace[-self.window :]
        kept = [trial.changes[name] for trial in recent if trial.decision.keep and name in trial.changes]
        steps = [domain.unit(change.new) - domain.unit(change.old) for change in kept]
        return sum(steps) / len(steps) if steps else 0.0
