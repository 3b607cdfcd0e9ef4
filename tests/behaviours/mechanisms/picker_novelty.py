"""Of several drafts the one farthest from all that was tried goes first."""

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import View


class PickerNovelty(Mechanism):
    """Order the drafts by their distance to the nearest of the last `window` trials, the farthest first.

    The distance is the mean step of all parameters.
    """

    domain = "novelty search"
    window = 50

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        return tuple(sorted(proposals, key=lambda proposal: -self._novelty(view, proposal.candidate)))

    def _novelty(self, view: View, candidate: Candidate) -> float:
        recent = view.trace[-self.window :]
        return min((self._distance(view, candidate, trial.candidate) for trial in recent), default=0.0)

    def _distance(self, view: View, a: Candidate, b: Candidate) -> float:
        steps = [view.space.step(name, a.params[name], b.params[name]) for name in view.space.domains]
        return sum(steps) / max(len(steps), 1)
