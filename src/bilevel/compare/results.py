"""What a comparison says, as values: per arm, against the reference, per task, and over all tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bilevel.compare.claims import Claim
from bilevel.compare.plan import ONE_SIDED
from bilevel.compare.ranks import Ranks
from bilevel.compare.resampling import Estimate


@dataclass(frozen=True)
class Missing:
    """A run without a number, and why."""

    arm: str
    replicate: int
    reason: str
    task: str = ""


@dataclass(frozen=True)
class Paired:
    """An arm against another on the replicates that have both. `difference` is positive where the arm is better.

    `p` of the sign-flip test, `corrected` for the number of comparisons; `d` is Cohen's, `superiority` the share of
    pairs that the arm won; `needed`: pairs for 80 % power at 5 %, if the difference seen were the true one.
    """

    other: str
    pairs: int
    difference: Estimate
    p: float | None
    corrected: float | None
    d: float | None
    superiority: float | None
    needed: int | None


@dataclass(frozen=True)
class Average:
    """Means over the runs of an arm; None where there is nothing to average."""

    trials: float | None
    measurements: float | None
    seconds: float | None
    tokens: float | None
    money: float | None
    distinct: float | None
    streak: float | None
    discards: float | None
    duplicates: float | None


@dataclass(frozen=True)
class Mechanism:
    """A mechanism in an arm: in how many runs it was asked anything, in how many it is in force at the end, how many
    had a decision that it changed, and the sum of its ledgers."""

    name: str
    runs: int
    at_the_end: int
    decisive_in: int
    calls: int
    touched: int
    decisive: int
    faults: int


@dataclass(frozen=True)
class Survival:
    """The keeps of an arm over its runs: how many there were, how many were measured `again` on fresh seeds, and for
    how many of these that `failed`. `survived`: the share that beat their parents again; `claimed`: the mean gain over
    the parent when they were kept, `gain` on fresh seeds, both of the same keeps."""

    keeps: int
    again: int
    failed: int
    survived: Estimate
    claimed: Estimate
    gain: Estimate


@dataclass(frozen=True)
class ArmResult:
    """One arm over its runs. `seen` is the improvement by best-seen scores, which flatters on noisy tasks; `curve` has
    the mean best seen at equal steps of the budget, beginning with none spent, `band` its interval at each, `area` its
    mean. `gains` by replicate, or by task and replicate."""

    name: str
    title: str
    runs: int
    ended_by_limit: int
    mean: Estimate
    median: Estimate
    interquartile_mean: Estimate
    seen: Estimate
    area: Estimate
    regret: Estimate | None
    curve: tuple[float, ...]
    band: tuple[Estimate, ...]
    average: Average
    mechanisms: tuple[Mechanism, ...]
    against: Paired | None
    gains: Mapping[str, float]
    survival: Survival | None = None  # where the plan has keeps measured again


def only_one_has(analysis: Mapping[str, object], arm: ArmResult, other: ArmResult) -> tuple[str, ...]:
    """The replicates in which one of two arms has a number and the other has none, which may be no accident: so nothing
    is claimed of their difference. None by the analysis of older plans."""
    return tuple(sorted(arm.gains.keys() ^ other.gains.keys())) if ONE_SIDED in analysis else ()


@dataclass(frozen=True)
class TaskResult:
    """One task of several, in its own unit. `to_optimum`: whether its scores are shares of the way to a known optimum;
    else of that to the best that was found here. `left_out` says why it has no scores; empty where it has."""

    name: str
    objective: str
    unit: str
    minimize: bool
    fresh: int
    to_optimum: bool
    left_out: str
    arms: tuple[ArmResult, ...]


@dataclass(frozen=True)
class Best:
    """The run of an arm with the largest improvement, which is its luckiest one, and what its best candidate changed.

    `failed`: innermost trials without a score in all runs of the arm, by status. `patch`: its files as a unified diff.
    """

    arm: str
    task: str
    replicate: int
    gain: float
    changes: tuple[str, ...]
    failed: Mapping[str, int]
    patch: str = ""


@dataclass(frozen=True)
class Sealed:
    """A sealed metric of an arm, measured once per run after everything was decided; only documents show it.

    `baseline` and `mean` (of the best candidates) are over the same `runs`; in `failed` more one of the two has no
    score. `best`: the score of the best candidate of the arm's best run.
    """

    arm: str
    task: str
    metric: str
    runs: int
    failed: int
    baseline: float | None
    mean: Estimate
    best: float | None


@dataclass(frozen=True)
class Result:
    """What a comparison says. `notes` are sentences that a reader of the numbers must know.

    With several tasks `arms` are over all of them, their gains are scores, and `tasks` has each in its own unit.
    """

    plan: str
    task: str
    objective: str
    unit: str
    minimize: bool
    equal: str
    equal_means: str
    budget: float
    replicates: int
    reference: str
    fresh: int
    arms: tuple[ArmResult, ...]
    missing: tuple[Missing, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    isolation: tuple[str, ...]
    analysis: Mapping[str, object]
    tasks: tuple[TaskResult, ...] = ()
    ranks: Ranks | None = None
    recheck: int | str = 0  # keeps of each run that were measured again, or "all"
    best: tuple[Best, ...] = ()  # by arm and task
    environment: Mapping[str, str] = field(default_factory=dict)  # on what the comparison was started
    sealed: tuple[Sealed, ...] = ()  # by arm, task and metric
