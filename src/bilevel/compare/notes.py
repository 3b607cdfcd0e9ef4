"""What a reader of the numbers must know beside them, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bilevel.compare.folder import Folder
from bilevel.compare.outcome import Outcome
from bilevel.compare.paired import smallest_p
from bilevel.compare.plan import ONE_SIDED, Plan


def notes_of(folder: Folder, outcomes: Sequence[Outcome], tests: int) -> list[str]:
    """All notes; `tests`: how many arms are tested against the reference."""
    plan = folder.plan
    done = [outcome for outcome in outcomes if outcome.gain is not None]
    notes = []
    if len(done) < len(outcomes):
        notes.append(
            f"{len(outcomes) - len(done)} of {len(outcomes)} runs have no number; they are left out, not counted as 0"
        )
    notes += _lost(plan, done)
    notes += _gaps(plan, done)
    for task in plan.harnesses:
        own = [outcome.fresh for outcome in done if outcome.job.task == task]
        if own and not max(own):
            exact = "the task is deterministic" if plan.fresh else "no fresh seeds were asked for"
            notes.append(f"improvements{f' on {task}' if plan.tasks else ''} are best-seen values: {exact}")
    what = "pairs of task and replicate" if plan.tasks else "replicates"
    pairs = len(plan.seeds) * len(plan.harnesses)
    least = smallest_p(pairs)
    if least is not None and least * tests > 0.05:
        notes.append(
            f"with {pairs} {what} the smallest p is {least:.3g}, and {min(1.0, least * tests):.3g} for "
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
    notes += [f"arm {arm}: {said}" for arm, recipe in plan.arms.items() for said in _without(recipe)]
    if plan.recheck:
        notes += _keeps(plan, done)
    programs = {outcome.program for outcome in done if outcome.program}
    if len(programs) > 1:
        notes.append(f"the runs were made by {len(programs)} versions of this program ({', '.join(sorted(programs))})")
    return notes


def _lost(plan: Plan, done: Sequence[Outcome]) -> Iterator[str]:
    """The answers that failed on a fresh seed, which count as the baseline."""
    for arm in plan.arms:
        own = [one for one in done if one.job.arm == arm]
        lost = [one for one in own if one.lost]
        if lost:
            how, _, why = lost[0].lost.partition(": ")
            yield (
                f"{len(lost)} of {len(own)} answers of arm {arm} {how}, so they count as the baseline, an improvement "
                f"of 0 (the first: {why})"
            )


def _gaps(plan: Plan, done: Sequence[Outcome]) -> Iterator[str]:
    """The arms that have numbers in other replicates than the reference, of which nothing is claimed."""
    has = {arm: {one.job.pair for one in done if one.job.arm == arm} for arm in plan.arms}
    for arm in plan.arms if ONE_SIDED in plan.analysis else ():
        gaps = has[arm] ^ has[plan.reference]
        if gaps:
            yield (
                f"{arm} and {plan.reference}: {len(gaps)} pairs have a number on one side only, which may be no "
                "accident, so no difference between the two is claimed"
            )


def _keeps(plan: Plan, done: Sequence[Outcome]) -> Iterator[str]:
    """What the share of keeps that survive leaves out, and why."""
    for task in plan.harnesses:
        own = [one for one in done if one.job.task == task]
        if own and not max(one.fresh for one in own):
            where = f" on {task}" if plan.tasks else ""
            yield f"no keeps{where} are measured again: the task is deterministic, so a second look says the same"
    for arm in plan.arms:
        again = [keep for one in done if one.job.arm == arm for keep in one.keeps.again]
        failed = [keep for keep in again if keep.gain is None]
        if failed:
            yield (
                f"{len(failed)} of {len(again)} keeps of arm {arm} could not be measured again and are left out, not "
                f"counted as lost or survived: {failed[0].reason}"
            )


def _short(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """The arms that measured less than the budget in all their runs, and the most that they did."""
    if plan.equal != "trials":
        return ""
    most: dict[str, int] = {}
    for one in outcomes:
        if one.gain is not None:
            most[one.job.arm] = max(most.get(one.job.arm, 0), one.spent.measurements)
    return ", ".join(f"{arm} {trials}" for arm, trials in most.items() if trials < plan.budget)


def _without(recipe: Mapping[str, Any]) -> Iterator[str]:
    """What an arm does without, in words: it is the host's, so no mechanism is credited with it."""
    inner = recipe["inner"]
    history = inner.get("history", "typed")
    left_out = [
        *([] if inner.get("duplicate_check", True) else ["no duplicate check"]),
        *(["history in prose only"] if history == "prose" else ["no history"] if history == "none" else []),
        *([] if inner.get("reasons", True) else ["not told what was turned back"]),
        *([] if inner["settings"]["redrafts"] else ["no redrafts"]),
    ]
    if left_out:
        yield (
            f"{', '.join(left_out)}; these guards are the host's, and what they are worth is credited to no mechanism"
        )
    if not inner.get("call_mechanisms", True):
        yield "its mechanisms are loaded and never called, so whatever it gains comes from elsewhere (its restarts)"
