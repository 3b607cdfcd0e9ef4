"""The lab: the only object with side effects; and the bench, one run's share of it."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bilevel.budget import Meter
from bilevel.objective import Objective
from bilevel.space import Candidate
from bilevel.trace import Trace
from bilevel.trial import Pending, Run, Trial


@dataclass(frozen=True)
class Branch:
    """One line of a search: the first `at` trials are those of `parent`, the others its own.

    `level` is the name of the loop that writes it.
    """

    id: str
    level: str
    parent: str | None = None
    at: int = 0


@dataclass(frozen=True)
class RunKey:
    """What identifies a measurement: equal keys are measured once and charged each time."""

    harness: str
    candidate: str
    rung: str
    seed: int


class Records(Protocol):
    """What a store can be asked; watchers need no more than this."""

    def branches(self) -> Sequence[Branch]:
        """All branches, in the order in which they were opened."""
        ...

    def branch(self, branch_id: str) -> Branch: ...
    def trials(self, branch_id: str) -> Sequence[Trial]:
        """A branch's own trials in order."""
        ...

    def pendings(self, branch_id: str) -> Sequence[Pending]:
        """What was asked for and has no trial yet, in order."""
        ...

    def find_run(self, key: RunKey) -> Run | None: ...


class Store(Records, Protocol):
    """Where everything is written, whole records only. Every method that writes is durable when it returns."""

    def open_branch(self, branch: Branch) -> None:
        """Write a branch, unless it is there already."""
        ...

    def add_pending(self, branch_id: str, pending: Pending) -> None: ...
    def add_trial(self, branch_id: str, trial: Trial) -> None:
        """Write a trial and remove its pending record, in one transaction."""
        ...

    def add_run(self, key: RunKey, run: Run) -> None: ...


class MemoryStore:
    """A store that forgets everything at the end of the process."""

    def __init__(self) -> None:
        self._branches: dict[str, Branch] = {}
        self._trials: dict[str, list[Trial]] = {}
        self._pendings: dict[str, dict[int, Pending]] = {}
        self._runs: dict[RunKey, Run] = {}

    def open_branch(self, branch: Branch) -> None:
        self._branches.setdefault(branch.id, branch)
        self._trials.setdefault(branch.id, [])
        self._pendings.setdefault(branch.id, {})

    def branches(self) -> Sequence[Branch]:
        return list(self._branches.values())

    def branch(self, branch_id: str) -> Branch:
        return self._branches[branch_id]

    def trials(self, branch_id: str) -> Sequence[Trial]:
        return self._trials[branch_id]

    def pendings(self, branch_id: str) -> Sequence[Pending]:
        return [self._pendings[branch_id][number] for number in sorted(self._pendings[branch_id])]

    def add_pending(self, branch_id: str, pending: Pending) -> None:
        self._pendings[branch_id][pending.number] = pending

    def add_trial(self, branch_id: str, trial: Trial) -> None:
        self._trials[branch_id].append(trial)
        self._pendings[branch_id].pop(trial.number, None)

    def find_run(self, key: RunKey) -> Run | None:
        return self._runs.get(key)

    def add_run(self, key: RunKey, run: Run) -> None:
        self._runs[key] = run


class Traces:
    """The whole traces of a store's branches, each put together once."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self._known: dict[str, Trace] = {}

    def trace(self, branch_id: str, objective: Objective) -> Trace:
        """A branch's trace, the trials that it shares with its ancestors included."""
        if branch_id not in self._known:
            branch = self.records.branch(branch_id)
            trace = Trace(objective)
            if branch.parent is not None:
                trace = self.trace(branch.parent, objective).upto(branch.at)
            for trial in self.records.trials(branch_id):
                trace = trace + trial
            self._known[branch_id] = trace
        return self._known[branch_id]

    def add(self, branch_id: str, trial: Trial) -> Trace:
        """Take in a trial that was just stored; returns the branch's trace with it."""
        self._known[branch_id] = self._known[branch_id] + trial
        return self._known[branch_id]


@dataclass
class Lab:
    """Everything a loop needs from the world.

    `workers`: how many runs of the innermost task go on at once. `stop` asks to end after what is running, `cancel` to
    end what is running too.
    """

    store: Store = field(default_factory=MemoryStore)
    meter: Meter = field(default_factory=lambda: Meter("run"))
    workers: int = 1
    stop: threading.Event = field(default_factory=threading.Event)
    cancel: threading.Event = field(default_factory=threading.Event)
    traces: Traces = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.traces = Traces(self.store)

    def add_trial(self, branch_id: str, trial: Trial) -> Trace:
        """Store a finished trial; returns the branch's trace with it."""
        self.store.add_trial(branch_id, trial)
        return self.traces.add(branch_id, trial)


@dataclass(frozen=True)
class Bench:
    """One run's share of the lab.

    `seed` is the evaluation seed itself, common to all candidates and arms. `parent`, `state`, `branch` and `number`
    are for tasks that are loops: what the candidate is paired with, where the last run ended, and under which name to
    store the trials below. A task's scorer is told none of these.
    """

    lab: Lab
    rung: str
    seed_index: int
    seed: int
    options: Mapping[str, object] = field(default_factory=dict)
    parent: Candidate | None = None
    state: str | None = None
    branch: str = "root"
    number: int = 0
