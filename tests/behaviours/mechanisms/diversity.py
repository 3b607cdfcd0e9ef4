"""Diversity: a draft is perturbed until it is far enough from the latest trials."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import View


class Diversity(Mechanism):
    """Redraw the values that a draft changes until no one of the last `window` candidates lies within `least` of it.

    The distance is the largest step of any parameter. After `tries` draws the draft stays as it is.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "novelty search"
    least = 0.2
    window = 5
    tries = 20

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        return tuple(self._moved(view, parent, proposal, place) for place, proposal in enumerate(proposals))

    def _moved(self, view: View, parent: Candidate, proposal: Proposal, place: int) -> Proposal:
        changed = [name for name in proposal.candidate.changes_from(parent) if name in view.space.active]
        if proposal.repeats or not changed or self._far(view, proposal.candidate):
            return proposal
        rng = view.rng(f"diversity {place}")
        for _ in range(self.tries):
            drawn = {name: view.space.draw(rng, name, parent.params[name]) for name in changed}
            moved = proposal.candidate.with_params(**drawn)
            if moved.id != parent.id and self._far(view, moved):
                why = f"{proposal.why} (moved away from the last {self.window} trials)"
                return Proposal(moved, why, proposal.author, proposal.notes)
        return proposal

    def _far(self, view: View, candidate: Candidate) -> bool:
        recent = view.trace[-self.window :]
        return all(view.space.distance(candidate, trial.candidate) >= self.least for trial in recent)
