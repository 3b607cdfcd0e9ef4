"""A task that is another one in everything, for those that change one thing of it."""

from dataclasses import dataclass

from bilevel.lab import Bench, Traces
from bilevel.objective import Objective
from bilevel.space import Candidate, Space
from bilevel.task import Comparing, Rung, Task
from bilevel.trial import Run
from bilevel.view import Below


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

    def worse(self, candidate: Candidate, other: Candidate, bench: Bench) -> str:
        """As the task says; nothing where it compares nothing."""
        return self.task.worse(candidate, other, bench) if isinstance(self.task, Comparing) else ""
