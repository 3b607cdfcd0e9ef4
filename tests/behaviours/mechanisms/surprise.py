"""Surprise: an improvement against the momentum is followed up first."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Float, Int
from bilevel.trial import Proposal, Trial
from bilevel.view import Briefing, View


class Surprise(Mechanism):
    """The last trial is a surprise if it was kept although single changes of a parameter in that direction failed
    `least` times and never helped. Then one more step in that direction is proposed before all others, and told."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "curiosity"
    least = 2
    window = 100

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        name = self._surprising(view)
        if not name:
            return briefing
        text = f"trial {len(view.trace) - 1} improved against all experience with {name}: follow it up first"
        return briefing.with_block("surprise", text, priority=8)

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        name = self._surprising(view)
        if not name or name not in view.space.active:
            return proposals
        change, domain = view.trace[-1].changes[name], view.space.domains[name]
        further = domain.at(2 * domain.unit(change.new) - domain.unit(change.old))
        follow = parent.with_params(**{name: view.space.clip(name, parent.params[name], further)})
        if follow.id == parent.id or view.trace.of(follow.id) is not None:
            return proposals
        return (Proposal(follow, f"trial {len(view.trace) - 1} was a surprise: one more step"), *proposals)

    def _surprising(self, view: View) -> str:
        last = view.trace.last
        if last is None or not last.number or not last.decision.keep:
            return ""
        for name, change in last.changes.items():
            if isinstance(view.space.domains[name], Float | Int):
                up = self._up(view, name, last)
                before = [trial for trial in view.trace[-self.window : -1] if tuple(trial.changes) == (name,)]
                same = [trial for trial in before if trial.score is not None and self._up(view, name, trial) == up]
                if change.old != change.new and len(same) >= self.least and not any(t.decision.keep for t in same):
                    return name
        return ""

    def _up(self, view: View, name: str, trial: Trial) -> bool:
        domain, change = view.space.domains[name], trial.changes[name]
        return domain.unit(change.new) > domain.unit(change.old)
