"""Smoke run: the short rung first; what fails or diverges there, or is clearly hopeless, never costs the long one.

Source: the stopping rules of D. Golovin et al., "Google Vizier: A Service for Black-Box Optimization", 2017,
doi:10.1145/3097983.3098043; what is hopeless is said by the outer fence of J. W. Tukey, "Exploratory Data Analysis",
1977 (the third quartile plus a multiple of the distance between the quartiles).
"""

import statistics
from typing import Any, TypeAlias

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Run, Status, Step, Trial
from bilevel.view import View

REMEMBERED = 200  # candidates that were stopped
Memory: TypeAlias = tuple[dict[str, tuple[Run, ...]], dict[str, int]]
NOTHING: Memory = ({}, {})


class SmokeRun(Mechanism):
    """Run each candidate on a short rung first, and stop there if it fails or its score lies outside the fence.

    `rung` is the name of that rung; empty, the default, means the task's cheapest. Where that is the rung that scores,
    nothing changes. A failure ends a trial anyway, now at the price of the short rung. The fence is `fence` times the
    interquartile range beyond the worse quartile of the newest `window` scores on that rung; with fewer than `least` of
    them nothing is hopeless. A draft that was stopped here before is turned back: the host counts a pruned trial as not
    measured.
    """

    domain = "early stopping"
    rung = ""
    fence = 1.5
    least = 6
    window = 40

    def remember(self, memory: Any, trial: Trial) -> Memory:
        """Per rung its newest ok runs, and which trials stopped which candidates."""
        seen, stopped = memory or NOTHING
        mine = [run for run in trial.runs if run.rung == (self.rung or run.rung) and run.status is Status.OK]
        for run in mine:
            seen = {**seen, run.rung: (*seen.get(run.rung, ()), run)[-self.window :]}
        if mine and trial.status is Status.PRUNED:
            stopped = {**stopped, trial.candidate.id: trial.number}
        return seen, dict([*stopped.items()][-REMEMBERED:])

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        stopped = (view.memory or NOTHING)[1]
        return tuple(
            p.drop(
                f"stopped on rung {self._short(view)} in trial {stopped[p.candidate.id]}: its score there was hopeless"
            )
            if p.candidate.id in stopped and not p.repeats and not p.dropped
            else p
            for p in proposals
        )

    def plan(
        self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]
    ) -> tuple[Step, ...]:
        rung = self._short(view)
        if not rung or proposal.repeats:
            return steps
        if not partial:
            short = Step(rung, 0)
            return steps if short in steps else (short, *steps)
        runs = (view.memory or NOTHING)[0].get(rung, ())
        if len(partial) == 1 and partial[0].rung == rung and self._hopeless(view, partial[0], runs):
            return ()
        return steps

    def _short(self, view: View) -> str:
        """The name of the short rung; empty where the task has none below the one that scores."""
        rung = self.rung or (view.rungs or ("",))[0]
        return "" if rung in view.rungs[-1:] else rung

    def _hopeless(self, view: View, run: Run, runs: tuple[Run, ...]) -> bool:
        losses = [loss for loss in (self._loss(view, other) for other in runs) if loss is not None]
        mine = self._loss(view, run)
        if mine is None or len(losses) < max(self.least, 2):
            return False
        lower, _, upper = statistics.quantiles(losses, n=4)
        return mine > upper + self.fence * (upper - lower)

    def _loss(self, view: View, run: Run) -> float | None:
        """The objective's metric, greater is worse."""
        if run.metrics is None or view.objective.name not in run.metrics:
            return None
        return view.objective.gain(run.metrics[view.objective.name], 0.0)
