"""What a trial is planned to run, and what bounds a search: its budget, and a target that the best holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from bilevel.description import LoopSpec
from bilevel.keep import MOST_REPEATS, first_steps, next_steps
from bilevel.trace import Trace
from bilevel.trial import Pending, Proposal, Run, Status, Step, Trial

HELD = 3  # after so many trials in a row the best must stand at the target


def default_steps(spec: LoopSpec, trace: Trace, proposal: Proposal) -> tuple[Step, ...]:
    """The plan of a trial before any mechanism is asked, and before anything is known of it."""
    return first_steps(spec.rule, trace, proposal, spec.top)


def planned_runs(spec: LoopSpec, asked: Pending | Trial) -> int:
    """How many runs a trial is planned with: what is known of its cost before it is told."""
    if asked.number == 0:
        return spec.calibration
    if isinstance(asked, Pending):
        return len(asked.steps)
    refused = asked.status is Status.REFUSED and not asked.runs
    return 0 if refused else min(asked.proposal.repeats, MOST_REPEATS) or (asked.rule.at_once if asked.rule else 1)


def steps_after(
    spec: LoopSpec, trace: Trace, asked: Pending | Trial, runs: tuple[Run, ...], parent_runs: tuple[Run, ...],
    left: tuple[Step, ...],
) -> tuple[Step, ...]:  # fmt: skip
    """The plan of a trial after these runs, before any mechanism is asked; `left` is what is left of the last one."""
    if runs and runs[-1].status is not Status.OK:
        return ()  # a failure ends a trial, unless a mechanism plans otherwise
    if left or not runs:
        return left
    return next_steps(spec.rule, trace, asked.proposal, asked.parent, runs, parent_runs, spec.top)


@dataclass
class Spending:
    """What the trials of one loop have taken; `told` counts the measurements of those that are finished.

    The branch's own trials begin at `at`.
    """

    spec: LoopSpec
    at: int
    told: int

    def before(self, number: int, sees: int, trace: Trace, flight: Mapping[int, Pending]) -> int:
        """What the trials before one have taken, as it can know: those that it does not see count as planned."""
        late = trace[max(sees, self.at) : number]
        flying: list[Pending | Trial] = [*late]
        flying += [flight[n] for n in range(len(trace), number) if n in flight]
        told = self.told - sum(trial.cost.evaluations for trial in trace[number:])
        spent = told - sum(trial.cost.evaluations for trial in late)
        return spent + sum(planned_runs(self.spec, trial) for trial in flying) * self.spec.task.evaluations


def put_aside(spec: LoopSpec, number: int, until: int | None) -> int:
    """How many measurements the trials after one need that are to come before the trace has `until`."""
    return 0 if until is None else max(until - number - 1, 0) * spec.task.evaluations


def converged(trace: Trace, seen: int, target: float) -> bool:
    """Whether the best has held a score after each of the last trials that one sees."""
    traces = [trace.upto(seen - back) for back in range(HELD)]
    return all(len(trace) > 0 and _holds(trace, target) for trace in traces)


def _holds(trace: Trace, target: float) -> bool:
    """Whether the best candidate's score, over all its seeds, is at the target or better."""
    best = trace.incumbent
    scores = [*trace.scores(best.candidate.id).values()] if best is not None else []
    return bool(scores) and trace.objective.gain(target, sum(scores) / len(scores)) >= 0
