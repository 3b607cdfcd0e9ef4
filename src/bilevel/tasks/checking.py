"""What is wrong with a folder task that could be opened: one sentence each, with the key of task.toml."""

import shutil
from collections.abc import Iterator

from bilevel.codec import derive_seed
from bilevel.errors import BilevelError
from bilevel.execution.environment import allowed
from bilevel.execution.workspace import matches, snapshot
from bilevel.guardrails import breach
from bilevel.lab import Bench, Lab
from bilevel.task import Task, with_built_in
from bilevel.tasks.measuring import Measuring
from bilevel.tasks.model import TaskModel, commands
from bilevel.trial import Status


def without_running(measuring: Measuring) -> Iterator[str]:
    """Globs that match nothing, programs that are not installed, variables that a run may not have."""
    model, source, conditions = measuring.model, measuring.source, measuring.conditions
    place = "start/" if measuring.tree is None else f"the source {str(measuring.tree.origin)!r}"
    files = list(snapshot(source.start))
    for path in model.candidate.editable:
        if "*" not in path and path not in files:
            yield f"candidate.editable: there is no file {path!r} in {place}"
        if matches(path, model.candidate.protected):
            yield f"candidate.editable: {path!r} is protected too, and that wins"
    search = conditions.search_path(conditions.given())
    for key, command in commands(model).items():
        here = command[0].startswith("{") or (source.start / command[0]).is_file()
        if not here and shutil.which(command[0], path=search) is None:
            yield f"{key}: there is no program {command[0]!r} on the PATH"
    for rung in model.rungs:
        try:
            given = {**model.env.give, **model.command.env, **rung.env}
            allowed(conditions.names, given, scratch=source.start, secret_ok=conditions.secret_ok)
        except BilevelError as error:
            yield f"env: {error}"
            break


def after_running(task: Task, model: TaskModel) -> Iterator[str]:
    """A baseline that fails on the cheapest rung, or whose metrics cannot be read."""
    rung = task.rungs[0]
    bench = Bench(Lab(), rung.name, 0, derive_seed(0, "evaluation", 0), rung.options)
    try:
        run = task.run(task.baseline(), bench)
    except BilevelError as error:
        yield str(error)
        return
    if run.status is not Status.OK or run.metrics is None:
        log = "".join(f"\n    {line}" for line in run.log.splitlines()[-15:])
        yield f"the baseline on rung {rung.name!r} ended with {run.status.value}; the end of its output:{log}"
        return
    sealed = model.seal.metrics if model.seal else ()
    for name in model.metrics:
        if name not in run.metrics and name not in sealed:
            yield f"metrics.{name}: the baseline ran, but this metric could not be read"
    if len(model.rungs) > 1:
        return  # guardrails are held on the rung that scores
    if broken := breach(model.aim.guardrails, [with_built_in(task, task.baseline(), run)], []):
        yield f"guardrails: the baseline on rung {rung.name!r} does not hold its own; {broken.reason}"
