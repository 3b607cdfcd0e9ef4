"""One arm over its runs, and two arms side by side: estimates with intervals, drawn again within each task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from bilevel.codec import derive_seed
from bilevel.compare.outcome import Outcome, Spent, Step
from bilevel.compare.paired import cohens_d, holm, replicates_needed, sign_flip_test, superiority
from bilevel.compare.plan import Plan
from bilevel.compare.resampling import RESAMPLES, Estimate, Statistic, bootstrap, interquartile_mean, mean, median
from bilevel.compare.results import ArmResult, Average, Best, Mechanism, Paired, Sealed
from bilevel.compare.survival import survival_of
from bilevel.trial import Count

CURVE_POINTS = 20
BAND_RESAMPLES = 1_000

Runs = Mapping[tuple[str, int], Outcome]  # those of one arm that have a gain, by task and replicate


def runs_of(outcomes: Sequence[Outcome], arm: str) -> Runs:
    """The runs of an arm that have a gain, task by task."""
    found = {one.job.pair: one for one in outcomes if one.job.arm == arm and one.gain is not None}
    tasks = list(dict.fromkeys(one.job.task for one in outcomes))
    return dict(sorted(found.items(), key=lambda item: (tasks.index(item[0][0]), item[0][1])))


def strata(pairs: Sequence[tuple[str, int]], values: Sequence[float]) -> list[list[float]]:
    """The values task by task."""
    found: dict[str, list[float]] = {}
    for (task, _), value in zip(pairs, values, strict=True):
        found.setdefault(task, []).append(value)
    return list(found.values())


def compared(plan: Plan, arm: str, mine: Runs, other: str, theirs: Runs, scope: str = "") -> Paired:
    """An arm against another on the pairs of task and replicate that both have. `scope`: a name that makes the random
    numbers of a part differ from those of the whole."""
    both = [pair for pair in mine if pair in theirs]
    differences = [(mine[pair].gain or 0.0) - (theirs[pair].gain or 0.0) for pair in both]
    seed = derive_seed(plan.hash, "paired", arm, other, *_named(scope))
    return Paired(
        other=other,
        pairs=len(both),
        difference=bootstrap(strata(both, differences), mean, seed),
        p=sign_flip_test(differences, seed),
        corrected=None,
        d=cohens_d(differences),
        superiority=superiority(differences),
        needed=replicates_needed(differences),
    )


def corrected(pairs: Sequence[Paired]) -> list[Paired]:
    """The same, their p-values corrected for their number after Holm."""

    tested = [pair for pair in pairs if pair.p is not None]
    values = iter(holm([pair.p for pair in tested if pair.p is not None]))
    return [pair if pair.p is None else replace(pair, corrected=next(values)) for pair in pairs]


# ---- one arm ----


def arm_result(plan: Plan, arm: str, runs: Runs, against: Paired | None, scope: str = "") -> ArmResult:
    """What the runs of an arm came to; see `compared` for `scope`."""

    def average(
        of: Callable[[Outcome], float | None], statistic: Statistic, name: str, most: int = RESAMPLES
    ) -> Estimate:
        found = {pair: value for pair, outcome in runs.items() if (value := of(outcome)) is not None}
        seed = derive_seed(plan.hash, "arm", arm, name, *_named(scope))
        return bootstrap(strata(list(found), list(found.values())), statistic, seed, most)

    def seen_at(point: float) -> Estimate:
        return average(lambda o: best_at(o.steps, point), mean, "band", BAND_RESAMPLES)

    knows = bool(runs) and all(outcome.regret is not None for outcome in runs.values())
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
        band=tuple(map(seen_at, _points(plan.budget))) if runs else (),
        average=_average([outcome.spent for outcome in runs.values()], list(runs.values())),
        mechanisms=tuple(_mechanisms(list(runs.values()))),
        against=against,
        gains={
            f"{task}, {number}" if plan.tasks and not scope else str(number): outcome.gain
            for (task, number), outcome in runs.items()
            if outcome.gain is not None
        },
        survival=survival_of(runs, derive_seed(plan.hash, "keeps", arm, *_named(scope))) if plan.recheck else None,
    )


def area(steps: Sequence[Step], budget: float) -> float:
    """The mean over the budget of the best seen so far, which is 0 before the first step."""
    ends = [step.spent for step in steps[1:]] + [budget]
    return sum(step.gain * (end - step.spent) for step, end in zip(steps, ends, strict=False)) / budget


def best_at(steps: Sequence[Step], spent: float) -> float:
    """The best seen once so much of the budget was spent."""
    return max((step.gain for step in steps if step.spent <= spent + 1e-9), default=0.0)


def _curve(runs: Sequence[Sequence[Step]], budget: float) -> tuple[float, ...]:
    return tuple(sum(best_at(steps, at) for steps in runs) / len(runs) for at in _points(budget)) if runs else ()


def _points(budget: float) -> list[float]:
    return [budget * n / CURVE_POINTS for n in range(CURVE_POINTS + 1)]


def _named(scope: str) -> tuple[str, ...]:
    return (scope,) if scope else ()


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


# ---- what no search saw ----


def sealed_of(plan: Plan, outcomes: Sequence[Outcome], best: Sequence[Best]) -> Iterator[Sealed]:
    """The sealed metrics of each arm, task by task, over the runs in which the baseline and the best have a score."""
    for one in best if plan.sealed else ():
        own = [each for each in outcomes if each.job.arm == one.arm and each.job.task == (one.task or each.job.task)]
        measured = [each for each in own if each.sealed]
        for metric in dict.fromkeys(name for each in measured for name in each.seals):
            pairs = [(each.sealed["baseline"].get(metric), each.sealed["best"].get(metric)) for each in measured]
            both = [(old, new) for old, new in pairs if old is not None and new is not None]
            own_best = next((each.sealed["best"] for each in measured if each.job.replicate == one.replicate), {})
            seed = derive_seed(plan.hash, "sealed", one.arm, one.task, metric)
            yield Sealed(
                arm=one.arm,
                task=one.task,
                metric=metric,
                runs=len(both),
                failed=len(pairs) - len(both),
                baseline=_mean([old for old, _ in both]),
                mean=bootstrap([[new for _, new in both]], mean, seed),
                best=own_best.get(metric),
            )
