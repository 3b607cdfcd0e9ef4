"""Port: a task, that is anything with a measurable objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from bilevel.acts import Steering
from bilevel.guardrails import BUILT_IN, DIFF, built_in, diff_size
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective
from bilevel.space import Candidate, Space
from bilevel.trace import Trace
from bilevel.trial import Climb, Decision, Run, Trial
from bilevel.view import Below


@dataclass(frozen=True)
class Rung:
    """One size of measurement, cheapest first in a task's list: its name and what the task's adapter needs to know."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)


class Rules(Protocol):
    """What an ask needs to know of a task: what may be proposed."""

    @property
    def remembers(self) -> bool: ...
    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """Why the task's own rules forbid a candidate, beyond types, bounds and locks; checked after all guests."""
        ...


@runtime_checkable
class Task(Rules, Protocol):
    """What a loop searches.

    `self_reported`: the candidate's own program printed its score, nobody checked it. `remembers`: the task has a state
    that moves on from run to run (a loop as a task), so measuring a candidate again is not a repetition. `harness`: a
    hash of all that measures; results of different harnesses are never mixed.
    """

    @property
    def name(self) -> str: ...
    @property
    def objective(self) -> Objective: ...
    @property
    def space(self) -> Space: ...
    @property
    def brief(self) -> str:
        """What is to be improved and what is fixed, in a person's words; looked at again before each trial."""
        ...

    @property
    def guidance(self) -> str:
        """What a person wants to say to the researcher meanwhile; empty if nothing. Looked at before each trial."""
        ...

    @property
    def rungs(self) -> tuple[Rung, ...]: ...
    @property
    def self_reported(self) -> bool: ...
    @property
    def harness(self) -> str: ...
    @property
    def evaluations(self) -> int:
        """How many measurements of the innermost task one run takes: 1 unless the task is a loop."""
        ...

    def baseline(self) -> Candidate:
        """Where the search starts."""
        ...

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure a candidate once. A candidate's failure is a status in the run; only our own failures raise."""
        ...

    def below(self, traces: Traces, state: str | None) -> Below | None:
        """Where the task is itself a loop: its innermost loop as it stands; otherwise None."""
        ...

    def evaluate(self, run: Run) -> float:
        """The score of an ok run. Sees the record only: no view, no trace, no lesson."""
        ...


@runtime_checkable
class Patching(Protocol):
    """A task with files that can say what a candidate changed."""

    def patch(self, candidate: Candidate) -> str:
        """A unified diff from the baseline's files to the candidate's."""
        ...


@runtime_checkable
class Sealing(Protocol):
    """A task with metrics that no search may see: measured at the end of a run, for its report only."""

    @property
    def seals(self) -> tuple[str, ...]:
        """The names of the sealed metrics; empty where nothing is sealed."""
        ...

    def sealed(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure the sealed metrics of a candidate once."""
        ...


BESIDE = "beside what it would replace: "  # how the reason of a decision begins that a comparison made


@runtime_checkable
class Comparing(Protocol):
    """A task that can hold two candidates side by side, where scores alone are a weak judge."""

    def worse(self, candidate: Candidate, other: Candidate, bench: Bench) -> str:
        """Why a candidate that the keep rule would keep may not take the other's place; empty where it may."""
        ...


@dataclass(frozen=True)
class Judging:
    """What a judge is asked: `first` questions for each measurement of the baseline, `later` for each of a candidate
    whose other parts it knows, `beside` for each comparison; with prompts of so many characters at most and answers of
    so many tokens."""

    first: int
    later: int
    beside: int
    characters: int
    tokens: int


@runtime_checkable
class Judged(Protocol):
    """A task that asks the level `judge` when it measures."""

    @property
    def judging(self) -> Judging: ...


STEERED = "steered: "  # how the reason of a decision begins that a person's word made


@runtime_checkable
class Steerable(Protocol):
    """A task whose candidates persons can have a word on: a loop as a task, whose candidates hold mechanisms."""

    def as_steered(self, candidate: Candidate, steering: Steering) -> Candidate:
        """The candidate without what a person took out of it."""
        ...

    def barred(self, candidate: Candidate, parent: Candidate, steering: Steering) -> list[str]:
        """Why a person's word is against a candidate in the place of its parent, in sentences for its author."""
        ...

    def news(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        """Names of the mechanisms that a candidate adds or changes."""
        ...


@runtime_checkable
class Climbing(Protocol):
    """A task whose candidates hold mechanisms, which climb a ladder: a loop as a task."""

    def climb(self, candidate: Candidate, parent: Candidate, traces: Traces, state: str | None) -> tuple[Climb, ...]:
        """The rungs before the live trial, for each mechanism that a candidate adds or changes, in order; a mechanism
        that fails one goes no further. The same arguments give the same outcomes."""
        ...

    def climbed(self, trial: Trial, trace: Trace) -> tuple[Climb, ...]:
        """What a trial, told after `trace`, says of the mechanisms that it tested."""
        ...


def as_steered(task: "Task", candidate: Candidate, steering: Steering) -> Candidate:
    """A candidate without what a person took out of it."""
    return task.as_steered(candidate, steering) if isinstance(task, Steerable) and steering.retired else candidate


def steered(task: Steerable, trial: Trial, steering: Steering) -> Decision:
    """The decision on a trial, which a person's word may be against: then it is not kept."""
    reasons = task.barred(trial.candidate, trial.parent, steering) if trial.number and trial.decision.keep else []
    return Decision(False, STEERED + "; ".join(reasons)) if reasons else trial.decision


def with_built_in(task: Task, candidate: Candidate, run: Run) -> Run:
    """The run with the metrics that the host measures itself, those that the task's objective asks for."""
    objective = task.objective
    asked = {guardrail.metric for guardrail in objective.guardrails} | {further.name for further in objective.also}
    names = frozenset(asked & {*BUILT_IN})
    if run.metrics is None or not names:
        return run
    diff = diff_size(task.patch(candidate)) if names & set(DIFF) and isinstance(task, Patching) else {}
    return replace(run, metrics={**run.metrics, **built_in(names, run, diff)})
