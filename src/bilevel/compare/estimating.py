"""What a comparison will take, before it runs."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bilevel.codec import derive_seed
from bilevel.compare.budgets import measured
from bilevel.compare.folder import Folder
from bilevel.compare.outcome import outcome_of
from bilevel.compare.plan import Plan
from bilevel.errors import InputError
from bilevel.facts import checked, failure_reason
from bilevel.lab import Bench, Lab
from bilevel.levels import leaf
from bilevel.models import Estimate, estimate
from bilevel.recipe import Recipe
from bilevel.task import Judged
from bilevel.trial import Status
from bilevel.wiring import build, uses_models

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class ArmEstimate:
    """One run of an arm on a task: innermost trials where none is refused (measurements, in which repeats of the keep
    rule count: an idea takes up to `each` of them), at most, or as many as finished runs took; measurements with the
    baseline's, sealed ones and those on fresh seeds (at most so many of them `rechecks` of keeps), seconds, calls and
    tokens at most, and US dollars; None where nobody can say."""

    arm: str
    task: str
    trials: int | None
    measurements: int | None
    rechecks: int | None
    seconds: float | None
    calls: int | None
    tokens: int | None
    money: float | None
    each: int = 1


@dataclass(frozen=True)
class Took:
    """What finished runs of an arm took on average: measurements without the baseline's calibration, and seconds."""

    measurements: float
    seconds: float


@dataclass(frozen=True)
class Expected:
    """A comparison before it runs. `source` says what the seconds rest on; the sums are None where a part is."""

    plan: str
    arms: tuple[ArmEstimate, ...]
    runs: int
    replicates: int
    workers: int
    measurements: int | None
    rechecks: int | None
    seconds: float | None
    tokens: int | None
    money: float | None
    source: str


def expect(plan: Plan, folder: Folder | None, workers: int) -> Expected:
    """The estimate: by finished runs of this very comparison where there are any, else by one timed baseline."""
    known, arms, singles, judged = _known(folder), list[ArmEstimate](), list[str](), list[str]()
    for task in plan.harnesses:
        left = any((task, arm) not in known for arm in plan.arms)
        single = time_baseline(plan, task) if left else None
        arms += [_arm(plan, arm, task, known.get((task, arm)), single) for arm in plan.arms]
        singles += [] if single is None else [f"{single:.3g} s{f' on {task}' if plan.tasks else ''}"]
        judged += [task] if left and single is None else []
    count = len(plan.seeds)
    total = _sum([one.seconds for one in arms])
    parts = []
    if known:
        whose = [f"{arm} on {task}" if plan.tasks else arm for task, arm in known]
        parts.append(f"finished runs of this comparison ({', '.join(whose)})")
    if singles:
        parts.append(
            f"one measurement of the baseline, timed now: {', '.join(singles)}; the time of researchers, language "
            "models and level 2 (whose door tries each mechanism) comes on top"
        )
    if judged:
        parts.append(f"no measurement of {', '.join(judged)}: a language model judges it")
    return Expected(
        plan=plan.hash,
        arms=tuple(arms),
        runs=count * len(arms),
        replicates=count,
        workers=workers,
        measurements=_times(count, _sum([one.measurements for one in arms])),
        rechecks=_times(count, _sum([one.rechecks for one in arms])),
        seconds=None if total is None else total * count / workers,
        tokens=_times(count, _sum([one.tokens for one in arms])),
        money=_times(count, _sum([one.money for one in arms])),
        source="; ".join(parts),
    )


def time_baseline(plan: Plan, task: str) -> float | None:
    """The seconds that one measurement of the baseline takes here; None where it would be paid for, since a language
    model judges. Raises InputError where it fails."""
    spec = leaf(build(plan.recipe(next(iter(plan.arms)), 1, task)))
    if isinstance(spec.task, Judged):
        return None
    options = next(rung.options for rung in spec.task.rungs if rung.name == spec.top)
    began = time.monotonic()
    bench = Bench(Lab(), spec.top, 0, derive_seed(spec.seed, "evaluation", 0), options)
    run = checked(spec.task, spec.task.run(spec.task.baseline(), bench))
    if run.status is not Status.OK:
        raise InputError(f"the baseline of task {task!r} fails: {run.status.value}: {failure_reason(run)}")
    return time.monotonic() - began


def _known(folder: Folder | None) -> dict[tuple[str, str], Took]:
    """What the finished runs took, by task and arm."""
    found: dict[tuple[str, str], list[Took]] = {}
    for job in folder.jobs if folder is not None else ():
        outcome = outcome_of(folder, job) if folder is not None else None
        if outcome is not None and outcome.ended:
            took = Took(outcome.spent.measurements, outcome.spent.seconds + outcome.beyond)
            found.setdefault((job.task, job.arm), []).append(took)
    means = {
        key: Took(sum(one.measurements for one in took) / len(took), sum(one.seconds for one in took) / len(took))
        for key, took in found.items()
    }
    order = [(task, arm) for task in folder.plan.harnesses for arm in folder.plan.arms] if folder is not None else []
    return {key: means[key] for key in order if key in means}


def _arm(plan: Plan, arm: str, task: str, known: Took | None, single: float | None) -> ArmEstimate:
    recipe = plan.recipe(arm, 1, task)
    spec = build(recipe)
    trials = measured(recipe, spec) if known is None else round(known.measurements)
    rechecks = _rechecks(plan, trials)
    searched = None if trials is None else trials + leaf(spec).calibration + 2 * (plan.fresh + plan.sealed)
    measurements = _sum([searched, rechecks])
    whole = None if trials is None else trials + leaf(spec).calibration
    calls = _within(plan, estimate(recipe, spec, whole, fresh=2 * plan.fresh + (rechecks or 0)))
    seconds = known.seconds if known is not None else _times(measurements, single)
    rule = leaf(spec).rule
    return ArmEstimate(
        arm=arm,
        task=task,
        trials=trials,
        measurements=measurements,
        rechecks=rechecks,
        seconds=_least(seconds, plan.budget if plan.equal == "seconds" else None),
        calls=calls.calls if calls else _nothing(recipe),
        tokens=calls.tokens if calls else _nothing(recipe),
        money=calls.money if calls else _nothing(recipe),
        each=2 * rule.depth - 1 if rule is not None and rule.repeats else 1,
    )


def _rechecks(plan: Plan, trials: int | None) -> int | None:
    """Measurements of keeps and their parents at most: beyond the baseline and the best candidate, which are measured
    again anyhow, a search has no more candidates than trials."""
    if not plan.recheck:
        return 0
    bounds = [] if plan.recheck == "all" else [2 * plan.recheck]
    bounds += [] if trials is None else [max(0, trials - 1)]
    return min(bounds) * plan.fresh if bounds else None


def _nothing(recipe: Recipe) -> int | None:
    """0 without models; unknown where an agent, or models without an end, work."""
    return None if uses_models(recipe) else 0


def _within(plan: Plan, calls: Estimate | None) -> Estimate | None:
    """As many of the calls as a budget in tokens or money pays for."""
    most = None if calls is None else {"tokens": calls.tokens, "money": calls.money}.get(plan.equal)
    if calls is None or not most or most <= plan.budget:
        return calls
    share = plan.budget / most
    return Estimate(
        math.ceil(calls.calls * share),
        math.ceil(calls.tokens * share),
        None if calls.money is None else calls.money * share,
    )


def _least(a: float | None, b: float | None) -> float | None:
    known = [value for value in (a, b) if value is not None]
    return min(known) if known else None


def _sum(values: Sequence[N | None]) -> N | None:
    """None where one of them is unknown."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None


def _times(count: int | None, value: N | None) -> N | None:
    return None if count is None or value is None else value * count
