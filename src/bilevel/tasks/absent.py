"""The stand-in for a task that cannot be opened, made of what a run's folder keeps of it: to look at, no more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from bilevel import codec
from bilevel.errors import InputError
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective
from bilevel.space import Bool, Candidate, Choice, Derived, Float, Int, Space
from bilevel.task import Rung, Task
from bilevel.tasks.function import score
from bilevel.trial import Run
from bilevel.view import Below

KINDS = {kind.__name__: kind for kind in (Float, Int, Choice, Bool, Derived)}


@dataclass(frozen=True)
class Kept:
    """What is kept of a task."""

    name: str
    objective: Objective
    space: Space
    rungs: tuple[str, ...]
    self_reported: bool
    evaluations: int = 1

    @staticmethod
    def of(task: Task) -> "Kept":
        names = tuple(rung.name for rung in task.rungs)
        return Kept(task.name, task.objective, Space(task.space.domains), names, task.self_reported, task.evaluations)

    @property
    def data(self) -> dict[str, Any]:
        """All of it, as JSON has it; `from_data` gives it back."""
        domains = [[name, type(one).__name__, codec.plain(one)] for name, one in self.space.domains.items()]
        return {
            "name": self.name, "objective": codec.plain(self.objective), "self_reported": self.self_reported,
            "evaluations": self.evaluations, "rungs": list(self.rungs), "domains": domains,
        }  # fmt: skip

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> "Kept":
        space = Space({name: codec.build(KINDS[kind], one) for name, kind, one in data["domains"]})
        objective = codec.build(Objective, data["objective"])
        return Kept(data["name"], objective, space, tuple(data["rungs"]), data["self_reported"], data["evaluations"])


@dataclass(frozen=True)
class Absent:
    """A task of which there is only what was kept. `why`: why it cannot be opened; `start`: the baseline as it was
    measured; `harness`: what measured the run."""

    kept: Kept
    why: str
    harness: str
    start: Candidate
    brief: str = ""
    guidance: str = ""
    remembers: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return self.kept.name

    @property
    def objective(self) -> Objective:
        return self.kept.objective

    @property
    def space(self) -> Space:
        return self.kept.space

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return tuple(Rung(name) for name in self.kept.rungs)

    @property
    def self_reported(self) -> bool:
        return self.kept.self_reported

    @property
    def evaluations(self) -> int:
        return self.kept.evaluations

    def baseline(self) -> Candidate:
        return self.start

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        return []

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None

    def evaluate(self, run: Run) -> float:
        """The objective's metric. Raises InputError for a run without it."""
        return score(run, self.objective)

    def run(self, candidate: Candidate, bench: Bench) -> NoReturn:
        """Raises InputError."""
        self.refuse("nothing can be measured")

    def refuse(self, what: str) -> NoReturn:
        """Raises InputError with what cannot be done, why, and the way out."""
        raise InputError(f"{what}: the task of this run cannot be opened ({self.why}); {BACK}")


BACK = "put it, or a link to it, back in its place"
