"""The folder of a comparison: the plan, on what it was started, and one run folder per arm and replicate."""

import fcntl
import functools
import hashlib
import json
import os
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bilevel
from bilevel.codec import content_hash, derive_seed, plain
from bilevel.compare.plan import Plan, load, written
from bilevel.errors import BilevelError, Diverged, InputError, StoreError
from bilevel.machine import differences as differing
from bilevel.machine import facts as machine
from bilevel.recipe import resolve
from bilevel.showing import missing
from bilevel.store.reader import FILE
from bilevel.tasks.catalog import find as find_task

PLAN, STARTED = "plan.json", "started.json"
COMPARISON = "comparison"  # the fact of a run folder that says what it belongs to


@dataclass(frozen=True)
class Job:
    """One run of a comparison; replicates count from 1. `leads`: it measures the baseline for all arms of its task and
    replicate."""

    replicate: int
    arm: str
    leads: bool = False
    task: str = ""

    def __str__(self) -> str:
        return f"{self.arm}, replicate {self.replicate}"

    @property
    def pair(self) -> tuple[str, int]:
        """What it shares with the other arms: task and replicate."""
        return self.task, self.replicate


@dataclass(frozen=True)
class Folder:
    """A comparison's folder with its plan."""

    path: Path
    plan: Plan

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All runs in the order in which they begin: replicate by replicate, the tasks, and the arms of each, in an
        order of its own."""
        found = []
        for replicate in range(1, len(self.plan.seeds) + 1):
            tasks = list(self.plan.harnesses)
            random.Random(derive_seed(self.plan.seed, "order of tasks", replicate)).shuffle(tasks)
            for task in tasks:
                arms = list(self.plan.arms)
                name = (task,) if self.plan.tasks else ()
                random.Random(derive_seed(self.plan.seed, "order", replicate, *name)).shuffle(arms)
                found += [Job(replicate, arm, leads=arm == arms[0], task=task) for arm in arms]
        return tuple(found)

    def run_folder(self, job: Job) -> Path:
        digits = max(2, len(str(len(self.plan.seeds))))
        return self.place(job.task) / f"replicate-{job.replicate:0{digits}}" / job.arm

    def place(self, task: str) -> Path:
        """Where the runs of a task are: a folder of its own where there are several, numbered as in the plan."""
        if not self.plan.tasks:
            return self.path
        number = list(self.plan.tasks).index(task) + 1
        name = re.sub(r"[^A-Za-z0-9]+", "-", Path(task).name).strip("-")[:40]
        return self.path / f"task-{number}-{name}"

    def failure_file(self, job: Job) -> Path:
        run = self.run_folder(job)
        return run.with_name(f"{run.name}.failed.txt")

    def exists(self, job: Job) -> bool:
        return (self.run_folder(job) / FILE).is_file()

    def measured_otherwise(self) -> list[str]:
        """The tasks that are measured otherwise now than when this was planned, as far as they can be opened."""
        gone, planned = self.gone(), self.plan.harnesses.items()
        return [task for task, harness in planned if task not in gone and find_task(task).harness != harness]

    def gone(self) -> dict[str, str]:
        """The tasks that can no longer be opened, and why."""
        found = {}
        for task in self.plan.harnesses:
            try:
                find_task(task)
            except BilevelError as error:
                found[task] = missing(task) or str(error)
        return found

    @property
    def started(self) -> Mapping[str, Any]:
        """The plan's hash, the machine and the program when the first run was about to begin."""
        return dict(_read(self.path / STARTED)) if (self.path / STARTED).is_file() else {}

    def begin(self) -> None:
        """Write down what the comparison starts on, before its first run; later, check that it still is.

        Raises Diverged where runs that are still to come could not be compared with those that are there.
        """
        facts = {"plan": self.plan.hash, "machine": machine(), "program": program()}
        before = self.started
        if not before:
            _write(self.path / STARTED, facts)
            return
        for task in self.measured_otherwise():
            raise Diverged(
                f"what measures task {task!r} has changed since {self.path} was planned (its harness), so old and "
                "new scores cannot be compared; put it back, or compare again in another --folder"
            )
        other = differing(before["machine"], machine())
        if other:
            raise Diverged(
                f"{self.path} was started on another machine ({'; '.join(other)}); go on there, or compare again in "
                "another --folder"
            )


def create(path: Path, plan: Plan) -> Folder:
    """A new comparison. Raises InputError for a folder with other things in it."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{str(path)!r} is not an empty folder; use another --folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        _write(path / PLAN, written(plan))
    except OSError as error:
        raise InputError(f"folder {str(path)!r} cannot be made: {error.strerror}") from error
    return Folder(path, plan)


def is_comparison(path: Path) -> bool:
    return (path / PLAN).is_file()


def open_folder(path: Path) -> Folder:
    """A comparison that is there. Raises Diverged where its plan is no longer the one that it was started with."""
    if not is_comparison(path):
        raise InputError(f"there is no comparison in {str(path)!r}: it has no {PLAN}")
    data = _read(path / PLAN)
    folder = Folder(path, load(data))
    began = folder.started.get("plan")
    if began is not None and began != content_hash(data):
        raise Diverged(
            f"{path / PLAN} has changed since the comparison was started (hash {began[:12]} then, "
            f"{content_hash(data)[:12]} now); put it back as it was, or compare again in another --folder"
        )
    return folder


@contextmanager
def locked(folder: Folder) -> Iterator[int]:
    """Within the block no other process works on the comparison; gives the lock's file descriptor.

    The lock goes with the process, and with those that were given the descriptor."""
    handle = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StoreError(
            f"comparison {str(folder.path)!r} is in use by another process; wait for it or stop it"
        ) from None
    try:
        yield handle
    finally:
        os.close(handle)


def differences(old: Plan, new: Plan) -> list[str]:
    """The names of what differs between two plans; keys of recipes that an older version did not know are as it was."""
    a, b = plain(old), plain(new)
    found = [key for key in a if key != "arms" and a[key] != b[key]]
    one, other = ({name: resolve(recipe) for name, recipe in plan["arms"].items()} for plan in (a, b))
    arms = [f"arm {name}" for name in {**one, **other} if one.get(name) != other.get(name)]
    return sorted(found) + arms


@functools.cache
def program() -> str:
    """A hash of this program's own files."""
    root, found = Path(bilevel.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".toml", ".md", ".csv") and "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error}") from error


def _write(path: Path, data: object) -> None:
    """Whole or not at all."""
    write_text(path, json.dumps(data, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """A file, whole or not at all, also after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, "utf-8")
    os.replace(beside, path)
