"""What one run came to: whether its score is one, why it failed, and whether a search can go on after it."""

from collections.abc import Sequence
from dataclasses import replace

from bilevel.errors import BilevelError, HarnessError, InputError
from bilevel.guardrails import breach
from bilevel.objective import is_score
from bilevel.task import Task
from bilevel.trace import Trace
from bilevel.trial import Pending, Run, Status

MOST_INFRASTRUCTURE = 4  # trials in a row that the machine may fail; with one more the run stops


def checked(task: Task, run: Run) -> Run:
    """The run; an ok one whose score is missing, NaN or infinite becomes an invalid one."""
    if run.status is not Status.OK:
        return run
    score, name = _score(task, run), task.objective.name
    if score is not None and is_score(score):
        metrics = {key: value for key, value in (run.metrics or {}).items() if is_score(value)}
        return replace(run, metrics={name: score, **metrics})
    log = f"{name} is missing or not a finite number\n{run.log}"
    return replace(run, status=Status.INVALID_METRIC, metrics=None, log=log)


def must_go_on(task: Task, pending: Pending, run: Run, trace: Trace) -> None:
    """Raise where a search cannot go on: without a baseline, or on a machine that fails each time. Nothing is stored.

    Raises InputError for a baseline that fails, HarnessError for a machine that does.
    """
    if pending.number == 0 and run.status is Status.OK and (broken := breach(task.objective.guardrails, [run], [])):
        raise InputError(
            f"the baseline of task {task.name!r} does not hold its own guardrails ({broken.reason}); loosen the bound, "
            "or mend the task, and start again in another folder"
        )
    if run.status is Status.OK or task.remembers:
        return
    what = f"{run.status.value}: {failure_reason(run)}"
    if pending.number == 0 and run.status is Status.INFRASTRUCTURE:
        raise HarnessError(f"the baseline of task {task.name!r} cannot be measured here ({what})")
    if pending.number == 0:
        raise InputError(
            f"the baseline of task {task.name!r} fails ({what}); mend the task (`bilevel check` helps) and start again "
            "in another folder"
        )
    before = trace[max(0, len(trace) - MOST_INFRASTRUCTURE) :]
    failing = [trial for trial in before if trial.status is Status.INFRASTRUCTURE]
    if run.status is Status.INFRASTRUCTURE and len(failing) == MOST_INFRASTRUCTURE:
        raise HarnessError(
            f"the machine failed in {MOST_INFRASTRUCTURE + 1} trials in a row ({what}); mend it, then go on with "
            "`bilevel resume`"
        )


def scoring_runs(runs: Sequence[Run], top: str) -> tuple[Run, ...]:
    """The runs that a trial's score is made of: the ok ones on the top rung."""
    return tuple(run for run in runs if run.rung == top and run.status is Status.OK)


def status_of(
    task: Task,
    runs: Sequence[Run],
    baseline: Sequence[Run],
    top: str,
    parent_runs: Sequence[Run] = (),
    version: int = 2,
) -> tuple[Status, str]:
    """How a trial that was not refused stands after its runs, and why; `baseline`: the runs of trial 0.

    A parent that the machine failed leaves the race undecided: that is the machine's failure too. `version`: see
    `guardrails.breach`.
    """
    measured = {run.rung for run in runs if run.status is Status.OK}
    lost = [run for run in runs if run.status is Status.INFRASTRUCTURE and run.rung in measured]  # and made up for
    failed = next((run for run in runs if run.status is not Status.OK and run not in lost), None)
    failed = failed or next((run for run in parent_runs if run.status is Status.INFRASTRUCTURE), None)
    if failed is not None:
        return failed.status, failure_reason(failed)
    scoring = scoring_runs(runs, top)
    if not scoring:
        return Status.PRUNED, "stopped before the top rung"
    broken = breach(task.objective.guardrails, scoring, scoring_runs(baseline, top), version)
    return (broken.status, broken.reason) if broken else (Status.OK, "")


def mean_score(task: Task, runs: Sequence[Run], top: str) -> float:
    """The score of a trial whose status is ok: the mean over the seeds of the top rung."""
    scores = [task.evaluate(run) for run in scoring_runs(runs, top)]
    return sum(scores) / len(scores)


def failure_reason(run: Run) -> str:
    """Why a run failed, in a line: what its task says, or the last line of its log."""
    lines = run.log.strip().splitlines()
    return str(run.data.get("reason") or (lines[-1] if lines else run.status.value))[:300]


def _score(task: Task, run: Run) -> float | None:
    try:
        return task.evaluate(run)
    except (ArithmeticError, AttributeError, BilevelError, LookupError, TypeError, ValueError):
        return None
