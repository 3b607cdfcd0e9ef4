"""What was proposed, what happened, and what was decided.

A `Run` holds facts; a `Decision` is ours. A run that failed has a status and no metrics: never a number.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bilevel.acts import Act
from bilevel.budget import Cost
from bilevel.codec import freeze
from bilevel.noise import Noise
from bilevel.rules import Rule
from bilevel.space import Candidate, Change


class Status(StrEnum):
    """How a run ended, or how a trial stands."""

    OK = "ok"
    EXIT = "exit"  # the command ended with an error
    TIME_OUT = "time-out"  # wall or CPU time
    OUT_OF_MEMORY = "out-of-memory"
    OUTPUT_LIMIT = "output-limit"
    INVALID_METRIC = "invalid-metric"  # missing, not a number, NaN or infinite
    DIVERGED = "diverged"  # the task says that its training diverged
    REFUSED = "refused"  # turned back before it ran, or refused by the scorer
    GUARDRAIL = "guardrail"  # measured, and beyond a bound on something beside the objective; a trial's status only
    PRUNED = "pruned"  # stopped before the top rung; a trial's status only
    INFRASTRUCTURE = "infrastructure"  # the machine's fault, never the candidate's


@dataclass(frozen=True)
class Proposal:
    """A candidate that somebody wants to try, why, and who.

    `repeats` > 0 asks on purpose to measure an already measured candidate on that many further seeds. `dropped` is set
    by a mechanism that turns the proposal back, or a researcher that withdraws it: the reason, which the researcher is
    told.
    """

    candidate: Candidate
    why: str = ""
    author: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 0
    dropped: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", freeze(self.notes))

    def drop(self, reason: str) -> "Proposal":
        """This proposal, turned back for a reason."""
        return replace(self, dropped=reason)


@dataclass(frozen=True)
class Step:
    """One planned run of a trial: a rung's name and the index of its seed in the task's list of evaluation seeds.

    `of_parent`: it is the parent that is run, since the trial's candidate is ahead on all seeds that both have.
    """

    rung: str
    seed: int = 0
    of_parent: bool = False


@dataclass(frozen=True)
class Run:
    """Facts about one execution. `metrics` is None unless the status is ok. `state` names where a task with memory (a
    loop as a task) ended, so that its next run can start there. `log` is the end of what it printed."""

    rung: str
    seed: int
    status: Status
    metrics: Mapping[str, float] | None = None
    cost: Cost = Cost()
    log: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None

    def __post_init__(self) -> None:
        if (self.metrics is not None) != (self.status is Status.OK):
            raise ValueError(f"a run has metrics exactly when it is ok, not with status {self.status.value!r}")
        object.__setattr__(self, "metrics", freeze(self.metrics))
        object.__setattr__(self, "data", freeze(self.data))


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is kept, and why."""

    keep: bool
    reason: str


@dataclass(frozen=True)
class Count:
    """How often a mechanism's hook was called, answered differently (touched), would have been missed (decisive: the
    final projection without it is another), and failed (faults)."""

    calls: int = 0
    touched: int = 0
    decisive: int = 0
    faults: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.calls + other.calls,
            self.touched + other.touched,
            self.decisive + other.decisive,
            self.faults + other.faults,
        )


@dataclass(frozen=True)
class Fault:
    """Guest code broke its contract: who, in which hook, and what came."""

    guest: str
    hook: str
    message: str


@dataclass(frozen=True)
class TurnedBack:
    """A draft that the host or a mechanism did not let through, and why."""

    candidate: str  # id
    reason: str
    author: str = ""


@dataclass(frozen=True)
class Fallen:
    """A candidate (an id) that was measured before, and is out: all its runs together break a guardrail, and why."""

    candidate: str
    reason: str


@dataclass(frozen=True)
class Lesson:
    """What a researcher learned from a cycle of trials, for the next one.

    `kind` is one of KINDS_OF_LESSON; `rule` says when to use it and how; `trials` are the numbers of the trials that
    support it, which the host has checked to exist.
    """

    kind: str
    summary: str
    rule: str
    confidence: float  # 0 to 1
    trials: tuple[int, ...] = ()

    @property
    def is_skill(self) -> bool:
        """Whether it is sure enough, and supported, to be shown before all others."""
        return self.confidence >= 0.85 and bool(self.trials)


@dataclass(frozen=True)
class Shadow:
    """The researcher asked once more on the side, and how its drafts differ from those of the trial.

    `kind` is "without" (the advice of `mechanism`) or "again" (with all of it; `mechanism` is empty, for it serves all
    of a trial). `how` is one of HOW_DRAFTS_DIFFER; `distance` the largest step of a number, on the space's unit scale.
    """

    mechanism: str
    kind: str
    differs: bool
    how: str
    distance: float | None = None


NO_ANSWER = "no answer"  # one of the two asks failed: nothing to compare
HOW_DRAFTS_DIFFER = (
    "same", "other count", "other values", "other parameters", "other files", "nothing proposed", NO_ANSWER,
)  # fmt: skip


@dataclass(frozen=True)
class Climb:
    """How a mechanism fared on one rung of the ladder that it climbs before, and while, it steers a search.

    `rung` is one of LADDER; `outcome` one of OUTCOMES; `reason` says why in a sentence for its author. `source` is the
    content hash of its text. `evidence` holds what the outcome rests on (counts, gains); `seconds` and `evaluations`
    are what the rung cost.
    """

    mechanism: str
    source: str
    rung: str
    outcome: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    evaluations: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", freeze(self.evidence))


LADDER = ("door", "replay", "rehearsal", "trial", "probation", "library")
OUTCOMES = ("passed", "refused", "off", "inert", "helped", "hurt", "undecided", "confirmed", "removed")


KINDS_OF_LESSON = ("works", "fails", "interaction", "limit", "method")


@dataclass(frozen=True)
class Pending:
    """A trial that was asked for and is not finished: everything that decides it, written before it runs.

    `sees` is the number of finished trials that its view holds; `steps` is the plan before any mechanism was asked.
    `refused` is set where nothing could be proposed: then nothing runs. `moved`: a mechanism chose another parent than
    the place where the search stood. `state`: see `Run.state`. `told`: what a person wrote since the trials it sees, by
    name ("brief", "guidance"); `acts`: what a person told the run since then. `learned`: the lessons drawn just before
    it was asked for. `climbs`: the rungs of the ladder that mechanisms climbed, or failed to, before this trial could
    be asked for. `shadows`: what asking the researcher on the side came to.
    """

    number: int
    sees: int
    parent: Candidate
    proposal: Proposal
    steps: tuple[Step, ...]
    changes: Mapping[str, Change] = field(default_factory=dict)
    state: str | None = None
    refused: str | None = None
    overruled: bool = False
    turned_back: tuple[TurnedBack, ...] = ()
    ledger: Mapping[str, Mapping[str, Count]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    moved: bool = False
    told: Mapping[str, str] = field(default_factory=dict)
    learned: tuple[Lesson, ...] = ()
    climbs: tuple[Climb, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    known: Noise | None = None
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One iteration, finished. `score` is the mean over the seeds of the top rung, or None.

    `parent_runs`: runs of the parent on seeds that it had not been run on; they are no part of the score. `rule`: the
    keep rule, with the depth that it took; None in loops of loops and in runs from before there was a choice. `beside`:
    why a task that compares did not let it take its parent's place; such a candidate is never the best. `fallen`: who
    is out by what this trial measured, its parent or its own candidate: it is never the best again, and nobody has to
    beat it.
    """

    number: int
    parent: Candidate
    proposal: Proposal
    runs: tuple[Run, ...]
    status: Status
    score: float | None
    decision: Decision
    changes: Mapping[str, Change] = field(default_factory=dict)
    overruled: bool = False
    reason: str = ""  # why it was refused, or how it failed
    turned_back: tuple[TurnedBack, ...] = ()
    ledger: Mapping[str, Mapping[str, Count]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    sees: int = 0  # how many finished trials its proposal was made from
    moved: bool = False  # a mechanism chose another parent than the place where the search stood
    told: Mapping[str, str] = field(default_factory=dict)  # see Pending
    learned: tuple[Lesson, ...] = ()  # see Pending
    climbs: tuple[Climb, ...] = ()  # of an outer loop: the rungs that its mechanisms climbed in this trial
    shadows: tuple[Shadow, ...] = ()  # see Pending
    isolation: str = ""  # what stood between this process and the code of candidates and mechanisms
    known: Noise | None = None  # of the baseline: what was known of the noise; None: the baseline's repeats say all
    parent_runs: tuple[Run, ...] = ()
    rule: Rule | None = None
    beside: str = ""
    acts: tuple[Act, ...] = ()  # see Pending
    late: tuple[Act, ...] = ()  # what a person told the run while it was measured, and had to be known to decide it
    fallen: tuple[Fallen, ...] = field(default=(), metadata={"later": True})

    @property
    def contends(self) -> bool:
        """Whether its score may be called the best: it was run on as many seeds as its keep rule takes, and did not
        lose beside its parent."""
        if self.beside:
            return False
        if self.score is None or self.rule is None or self.number == 0:
            return self.score is not None
        seeds = {run.seed for run in self.runs if run.rung == self.runs[-1].rung and run.status is Status.OK}
        return len(seeds) >= self.rule.depth

    @property
    def candidate(self) -> Candidate:
        return self.proposal.candidate

    @property
    def state(self) -> str | None:
        """Where a task with memory ended: the last run's state."""
        return self.runs[-1].state if self.runs else None

    @functools.cached_property
    def cost(self) -> Cost:
        return sum((run.cost for run in (*self.runs, *self.parent_runs)), Cost())


def merge(*ledgers: Mapping[str, Mapping[str, Count]]) -> dict[str, dict[str, Count]]:
    """The sum of several ledgers."""
    total: dict[str, dict[str, Count]] = {}
    for ledger in ledgers:
        for mechanism, hooks in ledger.items():
            mine = total.setdefault(mechanism, {})
            for hook, count in hooks.items():
                mine[hook] = mine.get(hook, Count()) + count
    return total
