"""What a comparison claims, for other programs: each paired difference, and what may be said of level 2."""

from collections.abc import Iterator, Mapping

from bilevel.compare.claims import Claim
from bilevel.compare.folder import Folder
from bilevel.compare.paired import LEVEL
from bilevel.compare.results import ArmResult, Result, only_one_has
from bilevel.statements import RestsOn, Spent, Statement, Statements, Tries

BOOTSTRAP = "95 % percentile bootstrap over the pairs"


def statements_of(folder: Folder, result: Result) -> Statements:
    """All claims of a comparison, as far as it has run."""
    claims = list(_differences(folder, result, result.arms, result.unit, ""))
    for task in result.tasks:
        claims += _differences(folder, result, task.arms, task.unit, task.name)
    arms = {arm.name: arm for arm in result.arms}
    claims += [_level_two(folder, result, claim, arms) for claim in result.claims]
    return Statements(
        of="comparison",
        bilevel=folder.plan.bilevel,
        name=", ".join(arms),
        task=result.task,
        objective=result.objective,
        direction="minimize" if result.minimize else "maximize",
        harness=folder.plan.harness,
        state="incomplete" if result.missing else "finished",
        plan=result.plan,
        claims=tuple(claims),
    )


def _differences(
    folder: Folder, result: Result, arms: tuple[ArmResult, ...], unit: str, task: str
) -> Iterator[Statement]:
    """Each arm against the reference: over all tasks, or on one."""
    base = next(arm for arm in arms if arm.name == result.reference)
    where = f" on {task}" if task else ""
    for arm in arms:
        found = arm.against
        if found is None:
            continue
        value = found.difference.value
        gaps = only_one_has(result.analysis, arm, base)
        sure = value is not None and found.corrected is not None and found.corrected <= LEVEL and not gaps
        yield Statement(
            kind="difference",
            subject=f"{arm.name}{where}",
            claim=f"{arm.name} improves more than {base.name}{where}",
            status=("helped" if (value or 0.0) > 0 else "hurt") if sure else "undecided",
            control=f"{base.name}, on the same seeds",
            unit=unit,
            effect=value,
            low=found.difference.low,
            high=found.difference.high,
            interval=BOOTSTRAP,
            p=found.corrected,
            value=arm.mean.value,
            control_value=base.mean.value,
            tries=Tries(candidates=_candidates((arm, base)), pairs=found.pairs, together=len(arms) - 1),
            cost=_cost((arm, base)),
            rests_on=_rests_on(folder, (arm, base), task),
            note=f"runs of one of the two are missing ({'; '.join(gaps)}), so nothing is claimed" if gaps else "",
        )


def _level_two(folder: Folder, result: Result, claim: Claim, arms: Mapping[str, ArmResult]) -> Statement:
    controls = (*claim.beaten, *claim.unbeaten)
    taking_part = (arms[claim.arm], *(arms[name] for name in controls))
    return Statement(
        kind="level 2",
        subject=claim.arm,
        claim=f"level 2 helps in {claim.arm}",
        status="helped" if claim.allowed else "undecided",
        control=", ".join([*controls, *(f"{name} (not in this comparison)" for name in claim.absent)]),
        unit=result.unit,
        tries=Tries(candidates=_candidates(taking_part), pairs=sum(arm.runs for arm in taking_part[1:]),
                    together=len(controls) * len(result.claims)),
        cost=_cost(taking_part),
        rests_on=_rests_on(folder, taking_part, ""),
        note=claim.text,
    )  # fmt: skip


def _candidates(arms: tuple[ArmResult, ...]) -> int:
    """Distinct candidates in all runs of some arms, counted run by run."""
    return round(sum((arm.average.distinct or 0.0) * arm.runs for arm in arms))


def _cost(arms: tuple[ArmResult, ...]) -> Spent:
    """The sum over the runs of some arms."""
    money = [arm.average.money for arm in arms if arm.runs]
    return Spent(
        round(sum((arm.average.measurements or 0.0) * arm.runs for arm in arms)),
        sum((arm.average.seconds or 0.0) * arm.runs for arm in arms),
        round(sum((arm.average.tokens or 0.0) * arm.runs for arm in arms)),
        None if None in money else sum((arm.average.money or 0.0) * arm.runs for arm in arms),
    )


def _rests_on(folder: Folder, arms: tuple[ArmResult, ...], task: str) -> RestsOn:
    names = {arm.name: arm.gains for arm in arms}
    runs = [
        str(folder.run_folder(job).relative_to(folder.path))
        for job in folder.jobs
        if job.arm in names
        and task in ("", job.task)
        and (f"{job.task}, {job.replicate}" if folder.plan.tasks and not task else str(job.replicate)) in names[job.arm]
    ]
    return RestsOn(seeds=folder.plan.seeds, runs=tuple(sorted(runs)))
