"""From the outcomes of all runs to what a comparison says: per arm, against the reference, and what may be claimed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bilevel.codec import derive_seed
from bilevel.compare.claims import Claim, claims_of
from bilevel.compare.folder import Folder
from bilevel.compare.outcome import Outcome, Spent, Step, outcome_of
from bilevel.compare.paired import cohens_d, holm, replicates_needed, sign_flip_test, smallest_p, superiority
from bilevel.compare.plan import MEANING, Plan
from bilevel.compare.resampling import Estimate, Statistic, bootstrap, interquartile_mean, mean, median
from bilevel.errors import Diverged
from bilevel.tasks.catalog import find as find_task
from bilevel.trial import Count

CURVE_POINTS = 20


@dataclass(frozen=True)
class Missing:
    """A run without a number, and why."""

    arm: str
    replicate: int
    reason: str


@dataclass(frozen=True)
class Paired:
    """An arm against another on the replicates that have both. `difference` is positive where the arm is better.

    `p` of the sign-flip test, `corrected` for the number of comparisons; `d` is Cohen's, `superiority` the share of
    pairs that the arm won; `needed`: replicates for 80 % power at 5 %, if the difference seen were the true one.
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
class ArmResult:
    """One arm over all its replicates. `seen` is the improvement by best-seen scores, which flatters on noisy tasks;
    `curve` has the mean best seen at equal steps of the budget, beginning with none spent, `area` its mean."""

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
    average: Average
    mechanisms: tuple[Mechanism, ...]
    against: Paired | None
    gains: Mapping[str, float]  # by replicate


@dataclass(frozen=True)
class Result:
    """What a comparison says. `notes` are sentences that a reader of the numbers must know."""

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


def analyse(folder: Folder) -> Result:
    """The result of what has run so far. Raises Diverged where the arms of a replicate have different baselines."""
    plan, outcomes = folder.plan, [outcome_of(folder, job) for job in folder.jobs]
    check_baselines(outcomes)
    objective = find_task(plan.task).objective
    of = {arm: _by_replicate(outcomes, arm) for arm in plan.arms}
    others = [arm for arm in plan.arms if arm != plan.reference]
    pairs = corrected([_paired(plan, of, arm, plan.reference) for arm in others])
    against = dict(zip(others, pairs, strict=True))
    missing = tuple(Missing(o.job.arm, o.job.replicate, o.reason) for o in outcomes if o.reason)

    def compared(combinations: Sequence[tuple[str, str]]) -> list[Paired]:
        return corrected([_paired(plan, of, arm, other) for arm, other in combinations])

    return Result(
        plan=plan.hash,
        task=plan.task,
        objective=objective.name,
        unit=objective.unit,
        minimize=objective.minimize,
        equal=plan.equal,
        equal_means=MEANING[plan.equal],
        budget=plan.budget,
        replicates=len(plan.seeds),
        reference=plan.reference,
        fresh=max((o.fresh for o in outcomes), default=0),
        arms=tuple(_arm(plan, arm, of[arm], against.get(arm)) for arm in plan.arms),
        missing=tuple(sorted(missing, key=lambda one: (one.replicate, list(plan.arms).index(one.arm)))),
        claims=claims_of(plan, compared, {one.arm for one in missing}),
        notes=tuple(_notes(folder, outcomes, len(others))),
        isolation=tuple(sorted({line for o in outcomes for line in o.isolation})),
        analysis=plan.analysis,
    )


def corrected(pairs: Sequence[Paired]) -> list[Paired]:
    """The same, their p-values corrected for their number after Holm."""

    tested = [pair for pair in pairs if pair.p is not None]
    values = iter(holm([pair.p for pair in tested if pair.p is not None]))
    return [pair if pair.p is None else replace(pair, corrected=next(values)) for pair in pairs]


def check_baselines(outcomes: Sequence[Outcome]) -> None:
    """Raises Diverged where two arms of a replicate began with different baselines."""
    first: dict[int, Outcome] = {}
    for one in (outcome for outcome in outcomes if outcome.baseline):
        other = first.setdefault(one.job.replicate, one)
        if (one.start, dict(one.baseline)) != (other.start, dict(other.baseline)):
            raise Diverged(
                f"{one.job} and {other.job} began with different baselines ({dict(one.baseline)} and "
                f"{dict(other.baseline)}), so they cannot be compared; remove the one that is wrong: it is run again"
            )


def _by_replicate(outcomes: Sequence[Outcome], arm: str) -> dict[int, Outcome]:
    found = {o.job.replicate: o for o in outcomes if o.job.arm == arm and o.gain is not None}
    return dict(sorted(found.items()))


def _paired(plan: Plan, of: Mapping[str, Mapping[int, Outcome]], arm: str, other: str) -> Paired:
    both = [number for number in of[arm] if number in of[other]]
    differences = [(of[arm][n].gain or 0.0) - (of[other][n].gain or 0.0) for n in both]
    seed = derive_seed(plan.hash, "paired", arm, other)
    return Paired(
        other=other,
        pairs=len(both),
        difference=bootstrap([differences], mean, seed),
        p=sign_flip_test(differences, seed),
        corrected=None,
        d=cohens_d(differences),
        superiority=superiority(differences),
        needed=replicates_needed(differences),
    )


# ---- one arm ----


def _arm(plan: Plan, arm: str, runs: Mapping[int, Outcome], against: Paired | None) -> ArmResult:
    def average(of: Callable[[Outcome], float | None], statistic: Statistic, name: str) -> Estimate:
        found = [value for outcome in runs.values() if (value := of(outcome)) is not None]
        return bootstrap([found], statistic, derive_seed(plan.hash, "arm", arm, name))

    knows = any(outcome.regret is not None for outcome in runs.values())
    return ArmResult(
        name=arm,
        title=str(plan.arms[arm]["title"]),
        runs=len(runs),
        ended_by_limit=sum(outcome.ended == "limit" for outcome in runs.values()),
        mean=average(lambda o: o.gain, mean, "mean"),
        median=average(lambda o: o.gain, median, "median"),
        interquartile_mean=average(lambda o: o.gain, interquartile_mean, "interquartile mean"),
        seen=average(lambda o: o.seen, mean, "seen"),
        area=average(lambda o: area(o.steps, plan.budget), mean, "area"),
        regret=average(lambda o: o.regret, mean, "regret") if knows else None,
        curve=_curve([outcome.steps for outcome in runs.values()], plan.budget),
        average=_average([outcome.spent for outcome in runs.values()], list(runs.values())),
        mechanisms=tuple(_mechanisms(list(runs.values()))),
        against=against,
        gains={str(number): outcome.gain for number, outcome in runs.items() if outcome.gain is not None},
    )


def area(steps: Sequence[Step], budget: float) -> float:
    """The mean over the budget of the best seen so far, which is 0 before the first step."""
    ends = [step.spent for step in steps[1:]] + [budget]
    return sum(step.gain * (end - step.spent) for step, end in zip(steps, ends, strict=False)) / budget


def best_at(steps: Sequence[Step], spent: float) -> float:
    """The best seen once so much of the budget was spent."""
    return max((step.gain for step in steps if step.spent <= spent + 1e-9), default=0.0)


def _curve(runs: Sequence[Sequence[Step]], budget: float) -> tuple[float, ...]:
    points = [budget * n / CURVE_POINTS for n in range(CURVE_POINTS + 1)]
    return tuple(sum(best_at(steps, point) for steps in runs) / len(runs) for point in points) if runs else ()


def _average(spent: Sequence[Spent], runs: Sequence[Outcome]) -> Average:
    again = [outcome.repetition for outcome in runs]
    return Average(
        trials=_mean([one.trials for one in spent]),
        measurements=_mean([one.measurements for one in spent]),
        seconds=_mean([one.seconds for one in spent]),
        tokens=_mean([one.tokens for one in spent]),
        money=_mean([one.money for one in spent]),
        distinct=_mean([one.distinct for one in again]),
        streak=_mean([one.streak for one in again]),
        discards=_mean([one.discards for one in again]),
        duplicates=_mean([one.duplicates for one in again]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """None where there are none, or one of them is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _mechanisms(runs: Sequence[Outcome]) -> list[Mechanism]:
    names = sorted({name for outcome in runs for name in outcome.mechanisms})
    found = []
    for name in names:
        worked = [outcome.mechanisms[name] for outcome in runs if name in outcome.mechanisms]
        total = sum((one.count for one in worked), Count())
        found.append(
            Mechanism(
                name=name,
                runs=len(worked),
                at_the_end=sum(one.at_the_end for one in worked),
                decisive_in=sum(one.count.decisive > 0 for one in worked),
                calls=total.calls,
                touched=total.touched,
                decisive=total.decisive,
                faults=total.faults,
            )
        )
    return found


# ---- what a reader must know ----


def _notes(folder: Folder, outcomes: Sequence[Outcome], tests: int) -> list[str]:
    plan = folder.plan
    done = [outcome for outcome in outcomes if outcome.gain is not None]
    notes = []
    if len(done) < len(outcomes):
        notes.append(
            f"{len(outcomes) - len(done)} of {len(outcomes)} runs have no number; they are left out, not counted as 0"
        )
    fresh = max((outcome.fresh for outcome in done), default=0)
    if done and not fresh:
        exact = "the task is deterministic" if plan.fresh else "no fresh seeds were asked for"
        notes.append(f"improvements are best-seen values: {exact}")
    least = smallest_p(len(plan.seeds))
    if least is not None and least * tests > 0.05:
        notes.append(
            f"with {len(plan.seeds)} replicates the smallest p is {least:.3g}, and {min(1.0, least * tests):.3g} for "
            f"the best of {tests} when corrected: a difference that stands alone cannot be significant at 5 %"
        )
    if plan.equal == "seconds":
        notes.append(
            "equal seconds: what else the machine did, other runs at the same time among it, is in the numbers"
        )
    if any(outcome.spent.money is None for outcome in done):
        notes.append("money: the price of some calls is not known")
    short = _short(plan, outcomes)
    if short:
        notes.append(f"whole cycles only, so some never measured as much as the budget of {plan.budget:g}: {short}")
    programs = {outcome.program for outcome in done if outcome.program}
    if len(programs) > 1:
        notes.append(f"the runs were made by {len(programs)} versions of this program ({', '.join(sorted(programs))})")
    return notes


def _short(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """The arms that measured less than the budget in all their runs, and the most that they did."""
    if plan.equal != "trials":
        return ""
    most: dict[str, int] = {}
    for one in outcomes:
        if one.gain is not None:
            most[one.job.arm] = max(most.get(one.job.arm, 0), one.spent.measurements)
    return ", ".join(f"{arm} {trials}" for arm, trials in most.items() if trials < plan.budget)
