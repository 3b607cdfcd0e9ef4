"""A task that somebody else measures: it has everything of another task but its way to measure."""

from dataclasses import fields
from typing import NoReturn

from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.lab import Bench
from bilevel.space import Candidate
from bilevel.task import Task
from bilevel.tasks.delegating import Delegating
from bilevel.tasks.folder import FolderTask
from bilevel.trial import Run


def external(task: Task) -> Task:
    """The same task, measured from outside; one with files keeps them."""
    if not isinstance(task, FolderTask):
        return External(task)
    reference = getattr(task, "reference", None)  # the name by which some tasks are found again
    names = {} if reference is None else {"reference": f"external:{reference}"}
    kind = type(f"External{type(task).__name__}", (ExternalFolder, type(task)), names)
    made: Task = kind(**{part.name: getattr(task, part.name) for part in fields(task) if part.init})
    return made


def _outside(name: str) -> NoReturn:
    raise InputError(
        f"task {name!r} is measured from outside here: `bilevel suggest RUN` says what to measure, `bilevel record "
        "RUN` takes the result"
    )


class ExternalFolder(FolderTask):
    """A folder task that somebody else measures. Its scores are never mixed with those of its own command."""

    @property
    def harness(self) -> str:
        return content_hash(["external", super().harness])[:16]

    @property
    def self_reported(self) -> bool:
        return True

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Raises InputError."""
        _outside(self.name)


class External(Delegating):
    """A task that somebody else measures. Its scores are never mixed with those of the task's own measuring; nothing is
    compared here, since who compares is who measures."""

    @property
    def harness(self) -> str:
        return content_hash(["external", self.task.harness])[:16]

    @property
    def self_reported(self) -> bool:
        return True

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Raises InputError."""
        _outside(self.name)

    def worse(self, candidate: Candidate, other: Candidate, bench: Bench) -> str:
        return ""
