"""What the addenda to a workflow's steps were measured to do, each beside the same cycle without it."""

from dataclasses import dataclass

from bilevel import addenda
from bilevel.evidence import Verdict
from bilevel.lab import Records, Traces
from bilevel.levels import LoopTask, levels_of, standing
from bilevel.loop import LoopSpec
from bilevel.standings import is_ablation, verdict_in
from bilevel.surfaces import GUIDANCE, SettingsSurface, addendum_name
from bilevel.trial import Trial


@dataclass(frozen=True)
class AddendumTrial:
    """One fork of an addendum. `change`: add, replace, take out; or leave out, where it is on probation.

    `gain` is of the change: best with it over best without it, in the objective's unit, None where one of the two has
    none. `verdict`: what all forks of this text say together, None where no fork had a control.
    """

    trial: int
    step: str
    change: str
    text: str
    gain: float | None
    challenger_best: float | None
    control_best: float | None
    kept: bool
    reason: str
    verdict: Verdict | None


@dataclass(frozen=True)
class Guided:
    """All forks of addenda in a run, and those that are in force at the end, by step."""

    trials: tuple[AddendumTrial, ...]
    in_force: dict[str, str]


def guided(records: Records, spec: LoopSpec) -> Guided | None:
    """The addenda of a run; None where no level measures any."""
    for depth, loop in enumerate(reversed(levels_of(spec))):
        task = loop.task
        if isinstance(task, LoopTask) and isinstance(task.surface, SettingsSurface) and task.surface.steps:
            branches = [branch for branch in records.branches() if branch.level == loop.name]
            trials = [trial for branch in branches for trial in records.trials(branch.id)]
            told = [one for trial in trials for one in _told(trial, task.surface)]
            below, _ = standing(Traces(records), spec, "root" if records.branches() else None, depth + 1)
            return Guided(tuple(told), addenda.parts(below.settings.guidance, task.surface.steps))
    return None


def _told(trial: Trial, surface: SettingsSurface) -> list[AddendumTrial]:
    if trial.number == 0 or not trial.runs:
        return []
    old, new = (addenda.parts(one.files[GUIDANCE], surface.steps) for one in (trial.parent, trial.candidate))
    arms = trial.runs[-1].data.get("arms", {})
    found = []
    for step in addenda.changed(trial.parent.files[GUIDANCE], trial.candidate.files[GUIDANCE], surface.steps):
        mine = [climb for climb in trial.climbs if climb.mechanism == addendum_name(step)]
        change = "add" if step not in old else "replace" if step in new else "take out"
        found.append(
            AddendumTrial(
                trial.number,
                step,
                "leave out" if is_ablation(trial) else change,
                new.get(step, old.get(step, "")),
                trial.score,
                arms.get("challenger", {}).get("best"),
                arms.get("control", {}).get("best"),
                trial.decision.keep,
                trial.decision.reason,
                verdict_in(mine),
            )
        )
    return found
