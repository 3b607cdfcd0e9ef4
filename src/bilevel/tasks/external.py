"""A task that somebody else measures: it has everything of another task but its way to measure."""

from dataclasses import dataclass, fields
from typing import NoReturn

from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective
from bilevel.space import Candidate, Space
from bilevel.task import Rung, Task
from bilevel.tasks.folder import FolderTask
from bilevel.trial import Run
from bilevel.view import Below


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


@dataclass(frozen=True)
class Delegating:
    """A task that is another one in everything; for those that change one thing of it."""

    task: Task

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def objective(self) -> Objective:
        return self.task.objective

    @property
    def space(self) -> Space:
        return self.task.space

    @property
    def brief(self) -> str:
        return self.task.brief

    @property
    def guidance(self) -> str:
        return self.task.guidance

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return self.task.rungs

    @property
    def self_reported(self) -> bool:
        return self.task.self_reported

    @property
    def remembers(self) -> bool:
        return self.task.remembers

    @property
    def harness(self) -> str:
        return self.task.harness

    @property
    def evaluations(self) -> int:
        return self.task.evaluations

    def baseline(self) -> Candidate:
        return self.task.baseline()

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        return self.task.problems(candidate, parent)

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return self.task.below(traces, state)

    def evaluate(self, run: Run) -> float:
        return self.task.evaluate(run)

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        return self.task.run(candidate, bench)


class External(Delegating):
    """A task that somebody else measures. Its scores are never mixed with those of the task's own measuring."""

    @property
    def harness(self) -> str:
        return content_hash(["external", self.task.harness])[:16]

    @property
    def self_reported(self) -> bool:
        return True

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Raises InputError."""
        _outside(self.name)
