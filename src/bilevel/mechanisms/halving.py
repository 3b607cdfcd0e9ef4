"""Successive halving: a candidate goes on to the next rung only if it is among the best seen on this one.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2015,
arXiv:1502.07943; in the form without rounds of L. Li et al., "A System for Massively Parallel Hyperparameter Tuning"
(ASHA), 2018, arXiv:1810.05934.
"""

from typing import Any, ClassVar, TypeAlias

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Run, Status, Step, Trial
from bilevel.view import View

REMEMBERED = 200  # candidates that were stopped
Memory: TypeAlias = tuple[dict[str, tuple[Run, ...]], dict[str, int]]
NOTHING: Memory = ({}, {})


class Halving(Mechanism):
    """Climb `rungs` one after the other, and stop below the top unless the score is in the best 1/`eta` of this rung.

    `rungs` are names of the task's rungs, cheapest first, the one that scores left out; empty, the default, means all
    that the task has. With one rung nothing changes. The share is taken over the newest `window` scores of the rung,
    this one included; while there are fewer than `eta` of them the best goes on. Scores of different rungs are never
    compared. A trial that was stopped is pruned: it has no score and counts as not measured, so its candidate is turned
    back here when it is drafted again. A repeat on purpose is not stopped.
    """

    domain = "successive halving"
    rungs: ClassVar[tuple[str, ...]] = ()
    eta = 3
    window = 60

    def remember(self, memory: Any, trial: Trial) -> Memory:
        """Per rung its newest ok runs, and which trials stopped which candidates."""
        seen, stopped = memory or NOTHING
        mine = [run for run in trial.runs if run.rung in (self.rungs or (run.rung,)) and run.status is Status.OK]
        for run in mine:
            seen = {**seen, run.rung: (*seen.get(run.rung, ()), run)[-self.window :]}
        if mine and trial.status is Status.PRUNED:
            stopped = {**stopped, trial.candidate.id: trial.number}
        return seen, dict([*stopped.items()][-REMEMBERED:])

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        stopped = (view.memory or NOTHING)[1]
        return tuple(
            p.drop(f"stopped below the top rung in trial {stopped[p.candidate.id]}: not among the best 1/{self.eta}")
            if p.candidate.id in stopped and not p.repeats and not p.dropped
            else p
            for p in proposals
        )

    def plan(
        self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]
    ) -> tuple[Step, ...]:
        rungs = self.rungs or view.rungs[:-1]
        if not rungs or proposal.repeats:
            return steps
        if not partial:
            planned = [step.rung for step in steps]
            below = tuple(Step(rung, 0) for rung in rungs if rung not in planned)
            return (*below, *steps)
        last = partial[-1]
        if last.rung not in rungs or not steps or last.status is not Status.OK:
            return steps
        return steps if self._promoted(view, last, (view.memory or NOTHING)[0].get(last.rung, ())) else ()

    def _promoted(self, view: View, run: Run, seen: tuple[Run, ...]) -> bool:
        metric, metrics = view.objective.name, run.metrics or {}
        scores = [other.metrics[metric] for other in seen if other.metrics and metric in other.metrics]
        if metric not in metrics:
            return True
        better = sum(view.objective.better(score, metrics[metric]) for score in scores)
        return better < max(1, (len(scores) + 1) // max(self.eta, 1))
