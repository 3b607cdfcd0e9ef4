"""Intervals in which everything failed: told, and no draft goes there again."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Float, Int
from bilevel.trial import Proposal
from bilevel.view import Briefing, View


class FailedIntervals(Mechanism):
    """Each number's range is cut into `bins`; one in which `least` changes or more ended and none was kept is bad."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "learned constraints"
    bins = 5
    least = 2
    window = 200

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        lines = []
        for (name, place), count in self._bad(view).items():
            domain = view.space.domains[name]
            ends = f"{domain.at(place / self.bins)!r} to {domain.at((place + 1) / self.bins)!r}"
            lines.append(f"{name} from {ends}: {count} changes, none was kept")
        return briefing.with_block("failed intervals", "\n".join(lines[:10]), priority=3) if lines else briefing

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        bad = self._bad(view)
        return tuple(self._judged(view, parent, proposal, bad) for proposal in proposals)

    def _judged(self, view: View, parent: Candidate, proposal: Proposal, bad: dict[tuple[str, int], int]) -> Proposal:
        for name, change in proposal.candidate.changes_from(parent).items():
            if (name, self._bin(view, name, change.new)) in bad and not proposal.repeats:
                return proposal.drop(f"{name} = {change.new!r} lies in an interval in which every change failed")
        return proposal

    def _bad(self, view: View) -> dict[tuple[str, int], int]:
        tried: dict[tuple[str, int], int] = {}
        kept = set()
        for trial in view.trace[-self.window :]:
            for name, change in trial.changes.items():
                if trial.runs and isinstance(view.space.domains[name], Float | Int):
                    cell = (name, self._bin(view, name, change.new))
                    tried[cell] = tried.get(cell, 0) + 1
                    kept |= {cell} if trial.decision.keep else set()
        return {cell: count for cell, count in tried.items() if count >= self.least and cell not in kept}

    def _bin(self, view: View, name: str, value: object) -> int:
        domain = view.space.domains[name]
        if not isinstance(domain, Float | Int) or domain.check(value):
            return -1
        return min(int(domain.unit(value) * self.bins), self.bins - 1)
