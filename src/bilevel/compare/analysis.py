"""From the outcomes of all runs to what a comparison says: per arm, against the reference, and what may be claimed.

With several tasks the same is said of scores (`scoring.py`) over all of them, and of each task in its own unit.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bilevel.codec import derive_seed
from bilevel.compare.absent import note_of, objective_of
from bilevel.compare.claims import claims_of
from bilevel.compare.folder import Folder
from bilevel.compare.notes import notes_of
from bilevel.compare.outcome import Outcome, outcome_of
from bilevel.compare.plan import MEANING, Plan
from bilevel.compare.ranks import Ranks, ranked
from bilevel.compare.results import ArmResult, Best, Missing, Paired, Result, TaskResult
from bilevel.compare.scoring import NAME, OF, Scores, scores_of
from bilevel.compare.summary import Runs, arm_result, compared, corrected, runs_of, sealed_of
from bilevel.errors import Diverged

__all__ = ["Result", "analyse", "check_baselines"]


def analyse(folder: Folder) -> Result:
    """The result of what has run so far. Raises Diverged where the arms of a replicate have different baselines."""
    plan, outcomes = folder.plan, [outcome_of(folder, job) for job in folder.jobs]
    outcomes.sort(key=lambda one: list(plan.harnesses).index(one.job.task))
    check_baselines(outcomes)
    scores = scores_of(outcomes) if plan.tasks else None
    used = outcomes if scores is None else scores.outcomes
    of = {arm: runs_of(used, arm) for arm in plan.arms}
    several = len(plan.tasks) > 1
    missing = [
        Missing(o.job.arm, o.job.replicate, o.reason, o.job.task if several else "") for o in outcomes if o.reason
    ]
    objective, gone = objective_of(folder, next(iter(plan.harnesses))), note_of(folder)

    def tested(combinations: Sequence[tuple[str, str]]) -> list[Paired]:
        return corrected([compared(plan, arm, of[arm], other, of[other]) for arm, other in combinations])

    best = tuple(_best(plan, outcomes))
    return Result(
        plan=plan.hash,
        task=plan.task,
        objective=NAME if scores else objective.name,
        unit=OF if scores else objective.unit,
        minimize=objective.minimize and not scores,
        equal=plan.equal,
        equal_means=MEANING[plan.equal],
        budget=plan.budget,
        replicates=len(plan.seeds),
        reference=plan.reference,
        fresh=max((o.fresh for o in outcomes), default=0),
        arms=_arms(plan, of),
        missing=tuple(sorted(missing, key=lambda one: (one.replicate, list(plan.arms).index(one.arm)))),
        claims=claims_of(plan, tested, {one.arm for one in missing}),
        notes=(
            *notes_of(folder, outcomes, len(plan.arms) - 1),
            *(scores.notes if scores else ()),
            *filter(None, [gone]),
        ),
        isolation=tuple(sorted({line for o in outcomes for line in o.isolation})),
        analysis=plan.analysis,
        tasks=tuple(_task(folder, task, outcomes, scores) for task in plan.tasks) if scores else (),
        ranks=_ranks(plan, of) if scores else None,
        recheck=plan.recheck,
        best=best,
        environment=_environment(folder),
        sealed=tuple(sealed_of(plan, outcomes, best)),
    )


def _best(plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[Best]:
    """For each arm, on each task, its run with the largest improvement."""
    for task in plan.harnesses:
        for arm in plan.arms:
            own = [one for one in outcomes if (one.job.arm, one.job.task) == (arm, task) and one.gain is not None]
            if own:
                found = max(own, key=lambda one: one.gain or 0.0)
                failed = sum((Counter(one.failed) for one in own), Counter[str]())
                several = task if plan.tasks else ""
                yield Best(arm, several, found.job.replicate, found.gain or 0.0, found.changes, failed, found.patch)


def _environment(folder: Folder) -> dict[str, str]:
    """The machine on which the comparison was started, as far as it was recorded; the program by its hash."""
    started = folder.started
    made = dict(started.get("machine") or {})
    packages = ", ".join(f"{name} {version}" for name, version in dict(made.pop("packages", None) or {}).items())
    found = {**made, "packages": packages, "program": started.get("program", "")}
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def check_baselines(outcomes: Sequence[Outcome]) -> None:
    """Raises Diverged where two arms of a replicate began with different baselines."""
    first: dict[tuple[str, int], Outcome] = {}
    for one in (outcome for outcome in outcomes if outcome.baseline):
        other = first.setdefault(one.job.pair, one)
        if (one.start, dict(one.baseline)) != (other.start, dict(other.baseline)):
            raise Diverged(
                f"{one.job} and {other.job} began with different baselines ({dict(one.baseline)} and "
                f"{dict(other.baseline)}), so they cannot be compared; remove the one that is wrong: it is run again"
            )


def _arms(plan: Plan, of: Mapping[str, Runs], scope: str = "") -> tuple[ArmResult, ...]:
    others = [arm for arm in plan.arms if arm != plan.reference]
    pairs = [compared(plan, arm, of[arm], plan.reference, of[plan.reference], scope) for arm in others]
    against = dict(zip(others, corrected(pairs), strict=True))
    return tuple(arm_result(plan, arm, of[arm], against.get(arm), scope) for arm in plan.arms)


def _task(folder: Folder, task: str, outcomes: Sequence[Outcome], scores: Scores) -> TaskResult:
    """One task of several, in its own unit."""
    own = [outcome for outcome in outcomes if outcome.job.task == task]
    plan, objective = folder.plan, objective_of(folder, task)
    return TaskResult(
        name=task,
        objective=objective.name,
        unit=objective.unit,
        minimize=objective.minimize,
        fresh=max((outcome.fresh for outcome in own), default=0),
        to_optimum=task in scores.to_optimum,
        left_out=scores.left_out.get(task, ""),
        arms=_arms(plan, {arm: runs_of(own, arm) for arm in plan.arms}, scope=task),
    )


def _ranks(plan: Plan, of: Mapping[str, Runs]) -> Ranks | None:
    """The arms ranked by their mean scores, on the tasks where each of them has one."""
    means: dict[str, dict[str, float]] = {}
    for task in plan.tasks:
        for arm in plan.arms:
            gains = [one.gain for (name, _), one in of[arm].items() if name == task and one.gain is not None]
            if gains:
                means.setdefault(task, {})[arm] = sum(gains) / len(gains)
    whole = {task: found for task, found in means.items() if len(found) == len(plan.arms)}
    return ranked(whole, derive_seed(plan.hash, "ranks"))
