"""A comparison of which a task can no longer be opened: what its runs keep of it, and what needs the task itself."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from bilevel.compare.folder import COMPARISON, Folder
from bilevel.errors import InputError
from bilevel.objective import Objective
from bilevel.run import TASK
from bilevel.store.folder import RunFolder
from bilevel.task import Sealing, Task
from bilevel.tasks.absent import BACK, Absent, Kept
from bilevel.tasks.catalog import find as find_task

OPTIMUM, SEALS = "optimum", "seals"  # parts of a run's COMPARISON


@runtime_checkable
class KnowsItsOptimum(Protocol):
    """A task whose best value is known."""

    def optimum(self) -> "Optimum": ...


class Optimum(Protocol):
    @property
    def value(self) -> float: ...


def kept_of(task: Task) -> dict[str, Any]:
    """What a comparison asks of a task beside what every run keeps of it: for the facts of its runs."""
    return {
        OPTIMUM: task.optimum().value if isinstance(task, KnowsItsOptimum) else None,
        SEALS: list(task.seals) if isinstance(task, Sealing) else [],
    }


def optimum_of(task: Task, facts: Mapping[str, Any]) -> float | None:
    """The best value there is, None where it is not known; `facts` are those of a run, for a task that is gone."""
    known = facts if isinstance(task, Absent) else kept_of(task)
    value: float | None = known.get(OPTIMUM)
    return value


def seals_of(task: Task, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the sealed metrics, empty where they are not known; `facts` as for `optimum_of`."""
    known = facts if isinstance(task, Absent) else kept_of(task)
    return tuple(known.get(SEALS) or ())


def objective_of(folder: Folder, task: str) -> Objective:
    """What a task is judged by, also where only its runs still know. Raises InputError where they do not."""
    if task not in folder.gone():
        return find_task(task).objective
    for kept, _ in _of_runs(folder, task):
        if kept is not None:
            return Kept.from_data(kept).objective
    raise InputError(
        f"{str(folder.path)!r} cannot be told by its records: {said(folder)}, and no run of it keeps what it is "
        f"judged by; {BACK}"
    )


def said(folder: Folder) -> str:
    """Which tasks cannot be opened, and why; empty where all can."""
    gone, of = folder.gone(), len(folder.plan.harnesses)
    if not gone:
        return ""
    whose = "the task of this comparison" if of == 1 else f"{len(gone)} of the {of} tasks of this comparison"
    return f"{whose} cannot be opened ({'; '.join(gone.values())})"


def note_of(folder: Folder) -> str:
    """That a task is gone, and what a reader of the numbers misses by it; empty where none is."""
    gone = folder.gone()
    if not gone:
        return ""
    old = any(OPTIMUM not in facts for task in gone for _, facts in _of_runs(folder, task))
    regret = "no regret (these runs do not keep whether the optimum is known), " if old else ""
    return (
        f"{said(folder)}, so this is what the records of its runs hold: no patch against a task's files, {regret}"
        f"and nobody knows whether the task has changed since. {BACK[0].upper()}{BACK[1:]} to go on with the "
        "comparison, or to verify it."
    )


def refuse_without(folder: Folder, what: str) -> None:
    """Raises InputError where a task is gone: what cannot be done, why, and the way out."""
    found, path = said(folder), shlex.quote(str(folder.path))
    if found:
        raise InputError(
            f"{what}: {found}; {BACK}. Nothing was changed: `bilevel status {path}` shows what the records "
            f"hold, and `bilevel report {path} --to FOLDER` writes it down"
        )


def _of_runs(folder: Folder, task: str) -> Iterator[tuple[Mapping[str, Any] | None, Mapping[str, Any]]]:
    """What each run on a task keeps of it, and the run's facts; not of one that was killed before it had any."""
    for job in folder.jobs:
        if job.task == task and folder.exists(job):
            opened = RunFolder.read(folder.run_folder(job))
            try:
                facts = opened.meta(COMPARISON)
                if facts is not None:
                    yield opened.meta(TASK), facts
            finally:
                opened.close()
