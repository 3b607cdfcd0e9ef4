"""Of several drafts the one that a surrogate of the trace expects most of goes first."""

import math

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class PickerSurrogate(Mechanism):
    """Order the drafts by a kernel regression (Nadaraya, Watson) over the last `window` trials that have a score.

    `width` is the kernel's: a share of the parameters' ranges.
    """

    domain = "surrogate model"
    window = 60
    width = 0.15

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        known = [trial for trial in view.trace[-self.window :] if trial.score is not None]
        if len(known) < 3:
            return proposals
        sign = -1 if view.objective.minimize else 1
        expected = [sign * self._expected(view, proposal.candidate, known) for proposal in proposals]
        order = sorted(range(len(proposals)), key=lambda place: -expected[place])
        return tuple(proposals[place] for place in order)

    def _expected(self, view: View, candidate: Candidate, known: list[Trial]) -> float:
        weights = [math.exp(-self._squared(view, candidate, trial.candidate)) for trial in known]
        scores = [trial.score or 0.0 for trial in known]
        total = sum(weights)
        if total < 1e-300:
            return sum(scores) / len(scores)
        return sum(weight * score for weight, score in zip(weights, scores, strict=True)) / total

    def _squared(self, view: View, a: Candidate, b: Candidate) -> float:
        steps = (view.space.step(name, a.params[name], b.params[name]) for name in view.space.domains)
        return sum((step / self.width) ** 2 for step in steps) / 2
