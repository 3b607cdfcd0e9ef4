"""Re-measure: the incumbent is run again on further seeds now and then, so that nobody believes its luck.

Source: J. E. Smith, R. L. Winkler, "The Optimizer's Curse: Skepticism and Postdecision Surprise in Decision Analysis",
Management Science 52(3), 2006, doi:10.1287/mnsc.1050.0451: the best of many noisy scores is too good on average.
"""

import statistics

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trace import top_scores
from bilevel.trial import Proposal
from bilevel.view import Briefing, View


class Remeasure(Mechanism):
    """Every `every` trials propose the incumbent itself, on `repeats` further seeds, until it has `most` of them.

    The repeats are a trial of their own, at full charge. The researcher is told the mean over all seeds beside the
    score that made the incumbent. Nothing is done where repeats of the baseline were all equal, or scores are relative.
    """

    domain = "selection bias"
    every = 8
    repeats = 2
    most = 6

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        best, seeds = view.trace.incumbent, self._seeds(view)
        if best is None or best.score is None or len(seeds) < 2 or len(view.trace.measured(best.candidate.id)) < 2:
            return briefing
        mean, sd = statistics.mean(seeds.values()), statistics.stdev(seeds.values())
        luck = view.objective.gain(mean, best.score)
        text = (
            f"The best score {best.score:.6g} (trial {best.number}) is {mean:.6g} on average over {len(seeds)} seeds "
            f"(sd {sd:.2g}): {luck:.2g} of it {'was luck' if luck > 0 else 'was bad luck'}."
        )
        return briefing.with_block("re-measured incumbent", text, priority=1)

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        best, noise = view.trace.incumbent, view.trace.noise
        if best is None or best.score is None or view.objective.relative or (noise.n > 1 and noise.sd == 0):
            return proposals
        flying = any(pending.proposal.candidate.id == best.candidate.id for pending in view.pending)
        if view.number % self.every or flying or len(self._seeds(view)) >= self.most:
            return proposals
        why = f"is trial {best.number} as good as it looked? {self.repeats} further seeds"
        return (Proposal(best.candidate, why, repeats=max(self.repeats, 1)), *proposals)

    def _seeds(self, view: View) -> dict[int, float]:
        """The incumbent's score per seed, over all trials that measured it."""
        best, found = view.trace.incumbent, dict[int, float]()
        for trial in view.trace.measured(best.candidate.id)[: self.most] if best is not None else ():
            found.update(top_scores(trial, view.objective.name))
        return found
