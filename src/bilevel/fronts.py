"""Several objectives in a run: the front of its candidates, the volume below it, and the guardrails it broke."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bilevel.lab import Records
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.objective import Objective
from bilevel.pareto import Point, aims, front, hypervolume, points_of, spreads
from bilevel.trial import Status, Trial


@dataclass(frozen=True)
class Axis:
    """An objective of a front. `margin`: a difference up to it may be noise. `reference`: see `Front.volume`."""

    name: str
    unit: str
    direction: str
    margin: float
    reference: float | None


@dataclass(frozen=True)
class OnFront:
    """A candidate of the front: `BRANCH#TRIAL`, its values by objective, and how it differs from the baseline."""

    trial: str
    values: Mapping[str, float]
    changes: Mapping[str, tuple[Any, Any]]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Front:
    """The candidates that no other one dominates beyond the noise.

    `volume`: the hypervolume against the reference point of the axes, in the product of their units; None where the
    point is not known. `measured` candidates have a value in every objective; `incomplete` have a score only.
    """

    axes: tuple[Axis, ...]
    points: tuple[OnFront, ...]
    volume: float | None
    measured: int
    incomplete: int


@dataclass(frozen=True)
class Guarded:
    """A guardrail in words, and in how many innermost trials it was broken or its metric missing."""

    text: str
    broken: int
    missing: int


def front_of(records: Records, spec: LoopSpec) -> Front | None:
    """The front over all branches of the innermost loop; None where the task has no further objectives."""
    objective = leaf(spec).task.objective
    if not objective.also:
        return None
    named = _named(records, spec)
    first = next((trial for _, trial in named), None)
    noise = spreads((trial for _, trial in named), objective)
    points = points_of((trial for _, trial in named), objective)
    found = front(objective, noise, points)
    where = {id(trial): name for name, trial in reversed(named)}
    reference = _reference(objective, points, first)
    known = [value for value in reference if value is not None]
    scored = {trial.candidate.id for _, trial in named if trial.score is not None}
    return Front(
        tuple(
            Axis(aim.name, aim.unit, "minimize" if aim.minimize else "maximize", margin, place)
            for aim, margin, place in zip(aims(objective), noise, reference, strict=True)
        ),
        tuple(_shown(where[id(point.trial)], point, first, objective) for point in found),
        hypervolume(objective, [p.values for p in points], known) if len(known) == len(reference) else None,
        len(points),
        len(scored) - len(points),
    )


def guarded(records: Records, spec: LoopSpec) -> tuple[Guarded, ...]:
    """The task's guardrails, and how often each was the reason that a trial has no score."""
    reasons = [
        (trial.status, trial.reason)
        for _, trial in _named(records, spec)
        if trial.status in (Status.GUARDRAIL, Status.INVALID_METRIC) and trial.reason.startswith("guardrail: ")
    ]
    found = []
    for guardrail in leaf(spec).task.objective.guardrails:
        mine = [status for status, reason in reasons if reason.endswith(f"({guardrail})")]
        broken = mine.count(Status.GUARDRAIL)
        found.append(Guarded(str(guardrail), broken, len(mine) - broken))
    return tuple(found)


def _named(records: Records, spec: LoopSpec) -> list[tuple[str, Trial]]:
    """The innermost trials of all branches, in the order of their opening, each with its name."""
    level = leaf(spec).name
    branches = [branch.id for branch in records.branches() if branch.level == level]
    return [(f"{branch}#{trial.number}", trial) for branch in branches for trial in records.trials(branch)]


def _reference(objective: Objective, points: tuple[Point, ...], first: Trial | None) -> list[float | None]:
    """What the task says, else the baseline's value."""
    start = next((point.values for point in points if point.trial is first), None)
    given = [aim.reference for aim in aims(objective)]
    return [place if place is not None else start[n] if start else None for n, place in enumerate(given)]


def _shown(name: str, point: Point, first: Trial | None, objective: Objective) -> OnFront:
    values = {aim.name: value for aim, value in zip(aims(objective), point.values, strict=True)}
    start = (first or point.trial).candidate
    changes = {key: (c.old, c.new) for key, c in point.trial.candidate.changes_from(start).items()}
    return OnFront(name, values, changes, point.trial.candidate.files_changed_from(start))
