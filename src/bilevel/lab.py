"""The lab: the only object with side effects; and the bench, one run's share of it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from bilevel.acts import Act
from bilevel.budget import Limits, Meter
from bilevel.call import Ask, Call, CallKey, Event, LanguageModel, Reply, Request
from bilevel.calls import CallRecords, Calls, CallStore, CallSummary
from bilevel.codec import derive_seed
from bilevel.errors import LimitReached, StoreError
from bilevel.objective import Objective
from bilevel.space import Candidate
from bilevel.stints import Clock
from bilevel.trace import Trace
from bilevel.trial import Pending, Run, Trial

SAVE_EVERY = 5.0  # seconds; a kill -9 loses the wall time of what was under way, and so much more at most
Words = Callable[[str, str, str, int], Mapping[str, str]]  # brief, guidance, branch, trial -> texts by name
WARNINGS = (0.5, 0.8, 1.0)  # shares of a limit that are told when they are spent
UNITS = {"seconds": "seconds", "tokens": "tokens", "money": "US dollars"}


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


class Records(CallRecords, Protocol):
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


class Store(Records, CallStore, Protocol):
    """Where everything is written, whole records only. Every method that writes is durable when it returns."""

    def open_branch(self, branch: Branch) -> None:
        """Write a branch, unless it is there already."""
        ...

    def add_pending(self, branch_id: str, pending: Pending) -> None: ...
    def add_trial(self, branch_id: str, trial: Trial) -> None:
        """Write a trial and remove its pending record, in one transaction."""
        ...

    def add_run(self, key: RunKey, run: Run) -> None: ...
    def put_meta(self, key: str, value: str) -> None:
        """Write a fact about the whole run; one of that key is replaced."""
        ...


@dataclass(frozen=True)
class Question:
    """What a run waits for a person to allow: `kind` is "keep", "mechanism" or "spend"."""

    kind: str
    branch: str
    number: int
    said: str

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.branch}#{self.number}"


class Steers(Protocol):
    """What a lab hears from persons while a run goes on."""

    @property
    def paused(self) -> bool: ...
    def due(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """The acts that a loop takes up with trial `number` of a branch, beyond those that are known."""
        ...

    def asking(self, branch: str, number: int) -> None:
        """That trial is asked for with what was due: what comes now is for the next one, also after a kill."""
        ...

    def late(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """The acts beyond those that are known which bear on whether that trial is kept, once it was measured."""
        ...

    def answer(self, question: Question) -> Act | None:
        """A person's answer, waited for; None where nobody wants to be asked. Raises Stopped where the run is stopped
        meanwhile: then nothing is allowed."""
        ...

    def attend(self, branch: str, number: int) -> None:
        """Take up what concerns the run itself, before that trial is asked for."""
        ...

    def spend(self) -> None:
        """Return when a person allows to spend more, at once where nobody is to be asked. Raises LimitReached where the
        answer is no, Stopped where the run is stopped meanwhile."""
        ...

    def wait(self) -> None:
        """Return after a moment, or when there may be news."""
        ...


class Nobody:
    """Nobody steers."""

    paused = False

    def due(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        return ()

    def asking(self, branch: str, number: int) -> None: ...
    def late(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        return ()

    def answer(self, question: Question) -> Act | None:
        return None

    def attend(self, branch: str, number: int) -> None: ...
    def spend(self) -> None: ...
    def wait(self) -> None: ...


def words_now(brief: str, guidance: str, branch: str, trial: int) -> Mapping[str, str]:
    """What a person has written for a trial: the task's texts as they are now."""
    return {"brief": brief, "guidance": guidance}


def summary_of(call: Call) -> CallSummary:
    """A call without its texts."""
    reply = call.reply
    return CallSummary(
        call.number, call.level, call.branch, call.trial, call.purpose, call.asked, reply.model, reply.finish.value,
        reply.tokens_in, reply.tokens_out, reply.money, call.at, call.seconds,
    )  # fmt: skip


class MemoryStore:
    """A store that forgets everything at the end of the process."""

    def __init__(self) -> None:
        self._branches: dict[str, Branch] = {}
        self._trials: dict[str, list[Trial]] = {}
        self._pendings: dict[str, dict[int, Pending]] = {}
        self._runs: dict[RunKey, Run] = {}
        self._calls: dict[CallKey, Call] = {}
        self._events: list[Event] = []
        self.meta: dict[str, str] = {}

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

    def find_call(self, key: CallKey) -> Call | None:
        return self._calls.get(key)

    def call(self, number: int) -> Call:
        found = next((call for call in self._calls.values() if call.number == number), None)
        if found is None:
            raise StoreError(f"there is no call {number}; there are {len(self._calls)}")
        return found

    def calls(self, after: int = 0) -> Sequence[CallSummary]:
        return [summary_of(call) for call in self._calls.values() if call.number > after]

    def add_call(self, call: Call) -> None:
        self._calls.setdefault(call.key, call)

    def events(self, after: int = 0) -> Sequence[tuple[int, Event]]:
        return list(enumerate(self._events, 1))[after:]

    def add_event(self, event: Event) -> None:
        self._events.append(event)

    def put_meta(self, key: str, value: str) -> None:
        self.meta[key] = value


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
    end what is running too. `models` answer for the levels of their names. `elapsed` is the wall time of earlier
    sessions of the same run, in seconds. `isolation` says what stands between this process and guests and candidates.
    `words` gives what a person has written, `recorded` another run's calls: both are for a replay. `persons` says what
    persons told the run to do; `clock` takes down when trials were measured, of a live run in a folder only.
    `kept_back`: seconds of the limit of time that are not for what goes on now.
    """

    store: Store = field(default_factory=MemoryStore)
    meter: Meter = field(default_factory=lambda: Meter("run"))
    workers: int = 1
    stop: threading.Event = field(default_factory=threading.Event)
    cancel: threading.Event = field(default_factory=threading.Event)
    models: Mapping[str, LanguageModel] = field(default_factory=dict)
    limits: Limits = Limits()
    elapsed: float = 0.0
    isolation: str = ""
    redact: Callable[[str], str] = lambda text: text
    kept_back: float = 0.0
    recorded: CallRecords | None = None
    words: Words = words_now
    persons: Steers = field(default_factory=Nobody)
    clock: Clock | None = None
    traces: Traces = field(init=False, repr=False)
    calls: Calls = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.traces = Traces(self.store)
        self.calls = Calls(
            self.models, self.store, self.meter, self.cancel, self.stop, self.recorded, self.may_spend, self.redact,
            priced=self.limits.money is not None,
        )  # fmt: skip
        self._began = self._saved = time.monotonic()
        self._warning = threading.Lock()
        self._under_way: dict[RunKey, threading.Lock] = {}
        self._warned = self._spent_shares()  # by an earlier session: it was told then

    def add_trial(self, branch_id: str, trial: Trial) -> Trace:
        """Store a finished trial; returns the branch's trace with it."""
        self.store.add_trial(branch_id, trial)
        self._save_now_and_then()
        return self.traces.add(branch_id, trial)

    def alone(self, key: RunKey) -> threading.Lock:
        """Held while something is measured, so that another trial that needs the same waits for it and pays no second
        time (a parent on a further seed, say)."""
        with self._warning:
            return self._under_way.setdefault(key, threading.Lock())

    def asks(self, level: str, branch: str, trial: int) -> Ask | None:
        """How guests of a loop's trial ask their level's model; None where it has none."""
        return partial(self.calls.ask, level, branch, trial) if level in self.models else None

    def without_secrets(self, run: Run) -> Run:
        """The run, no secret in what it printed and in its facts."""
        return replace(run, log=self.redact(run.log), data=_redacted(run.data, self.redact))

    def set_limits(self, limits: Limits) -> None:
        """Put other limits in force from now on; of what they are spent already nobody is warned."""
        self.limits = limits
        self.calls.priced = self.calls.priced or limits.money is not None
        self._warned = self._spent_shares()

    def hold(self, branch: str, number: int) -> None:
        """Take up what persons told the run, and wait as long as it is paused; a stop ends the wait."""
        self.persons.attend(branch, number)
        while self.persons.paused and not self.stop.is_set():
            self.persons.wait()
            self.persons.attend(branch, number)

    def leave_out(self, seconds: float) -> None:
        """Count so much time as none: the run was paused."""
        self._began += seconds

    @property
    def seconds(self) -> float:
        """The wall time of the run so far, that of earlier sessions included."""
        return self.elapsed + time.monotonic() - self._began

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save_seconds()

    def save_seconds(self) -> None:
        """Store the wall time, for a later session."""
        self._saved = time.monotonic()
        self.store.put_meta("elapsed", f"{self.seconds:.3f}")

    def _spent_shares(self) -> set[tuple[str, float]]:
        """The shares that are warned of, by limit, as far as they are spent."""
        shares = self.limits.shares(self.meter.spent, self.seconds)
        return {(name, warning) for name, share in shares.items() for warning in WARNINGS if share >= warning}

    @property
    def spent_up(self) -> bool:
        """Whether a limit is reached, nothing kept back."""
        return any(share >= 1.0 for share in self.limits.shares(self.meter.spent, self.seconds).values())

    def may_spend(self) -> None:
        """Wait until a person allows what the gate holds back, then look at the limits. Raises as those do."""
        self.persons.spend()
        self.check_limits()

    def check_limits(self) -> None:
        """Raise LimitReached where a limit is spent; store a warning at 50 and at 80 %."""
        self._save_now_and_then()
        with self._warning:  # a judge is asked from several threads
            news = self._spent_shares() - self._warned
            self._warned |= news
        left = self.limits.shares(self.meter.spent, self.seconds + self.kept_back)
        for name, share in self.limits.shares(self.meter.spent, self.seconds).items():
            most = getattr(self.limits, name)
            if any(name == of for of, _ in news):
                text = f"{share:.0%} of the limit of {limit_text(name, most)} is spent"
                self.store.add_event(Event(time.time(), "limit", "", text))
            if left[name] >= 1.0:
                kept = f" but for the {self.kept_back:.3g} seconds kept back" if share < 1.0 else ""
                raise LimitReached(
                    f"the limit of {limit_text(name, most)} is reached{kept}; everything that was paid for is stored, "
                    f"and `bilevel resume RUN --max-{name} N` goes on with a higher one"
                )


def limit_text(name: str, most: float) -> str:
    """A limit with its unit: 2,000,000 tokens."""
    return f"{most:,.12g} {UNITS[name]}"


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _redacted(item, redact) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_redacted(item, redact) for item in value])
    return value


@dataclass(frozen=True)
class Bench:
    """One run's share of the lab.

    `seed` is the evaluation seed itself, common to all candidates and arms. `parent`, `state`, `branch` and `number`
    are for tasks that are loops: what the candidate is paired with, where the last run ended, and under which name to
    store the trials below; `most`: how many measurements the run may take, as far as they are repeats. A task's scorer
    and judge are told none of these.
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
    most: int | None = None

    def judge(self, request: Request, purpose: str = "judge") -> Reply:
        """A judge model's reply to what the task asks about the candidate. It is told nothing else."""
        seed = derive_seed(self.seed, purpose)
        return self.lab.calls.ask("judge", self.branch, self.number, request, purpose, seed, 0)
