"""Several objectives at once: who dominates whom beyond the noise, the front of the others, and its volume.

Sources: the hypervolume of E. Zitzler, L. Thiele, "Multiobjective Evolutionary Algorithms: A Comparative Case Study and
the Strength Pareto Approach", IEEE Transactions on Evolutionary Computation 3(4), 1999, doi:10.1109/4235.797969; by
slices as in L. While, P. Hingston, L. Barone, S. Huband, "A Faster Algorithm for Calculating Hypervolume", 2006,
doi:10.1109/TEVC.2005.851275.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bilevel.noise import UNKNOWN, Noise, Repeats, estimate
from bilevel.objective import Further, Objective
from bilevel.trial import Trial


@dataclass(frozen=True)
class Point:
    """A candidate's trial and its value in each objective, the primary one first."""

    trial: Trial
    values: tuple[float, ...]


def aims(objective: Objective) -> tuple[Objective | Further, ...]:
    """The primary objective and the further ones."""
    return (objective, *objective.also)


def point_of(trial: Trial, objective: Objective) -> Point | None:
    """Where a trial lies: means over its runs on the top rung. None without a score, or without a metric."""
    if trial.score is None:
        return None
    columns = [_measured(trial, aim.name) for aim in objective.also]
    if not all(columns):
        return None
    return Point(trial, (trial.score, *(sum(column) / len(column) for column in columns)))


def points_of(trials: Iterable[Trial], objective: Objective) -> tuple[Point, ...]:
    """Where candidates lie, each once: by its first trial that has a value in every objective."""
    found: dict[str, Point] = {}
    for trial in trials:
        point = point_of(trial, objective)
        if point is not None:
            found.setdefault(trial.candidate.id, point)
    return tuple(found.values())


def margins(baseline: Trial | None, objective: Objective) -> tuple[float, ...]:
    """For each objective the difference that may be noise: the keep margin, from the repeats of the baseline alone.

    Mechanisms that were written when there was nothing else ask for it; `spreads` knows more.
    """
    columns = [[] if baseline is None else _measured(baseline, aim.name) for aim in aims(objective)]
    return tuple(estimate(column).margin for column in columns)


def spreads(trials: Iterable[Trial], objective: Objective) -> tuple[float, ...]:
    """The same from the repeats of all candidates, of parents too: as the noise of the score is known.

    The baseline's alone are few, and it may be the same on all seeds where others are not.
    """
    found: dict[str, dict[str, dict[int, float]]] = {aim.name: {} for aim in aims(objective)}
    for trial in trials:
        for candidate, runs in ((trial.candidate.id, trial.runs), (trial.parent.id, trial.parent_runs)):
            for run in runs:
                for name, by_candidate in found.items():
                    if run.rung == runs[-1].rung and run.metrics is not None and name in run.metrics:
                        by_candidate.setdefault(candidate, {})[run.seed] = run.metrics[name]
    return tuple(_pooled(found[aim.name].values()).margin for aim in aims(objective))


def _pooled(scores: Iterable[Mapping[int, float]]) -> Noise:
    total = Repeats()
    for one in scores:
        total = total.changed(Repeats(), Repeats.of(one, {}))
    return total.with_known(UNKNOWN)


def dominates(objective: Objective, margins: Sequence[float], a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is at least as good as `b` everywhere, and better somewhere by more than the noise margin.

    A strict partial order: nothing dominates itself, and who dominates a dominator dominates.
    """
    gains = [aim.gain(old, new) for aim, old, new in zip(aims(objective), b, a, strict=True)]
    return min(gains) >= 0 and any(gain > margin for gain, margin in zip(gains, margins, strict=True))


def front(objective: Objective, margins: Sequence[float], points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other one dominates, in their order."""
    return tuple(
        point for point in points if not any(dominates(objective, margins, o.values, point.values) for o in points)
    )


def hypervolume(objective: Objective, values: Iterable[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume between a reference point and all values that are better than it in every objective; 0 for none.

    Exact, in the product of the objectives' units. Time grows steeply with the number of objectives: for a few.
    """
    gains = [
        [aim.gain(old, new) for aim, old, new in zip(aims(objective), reference, one, strict=True)] for one in values
    ]
    return _volume([tuple(one) for one in gains if min(one) > 0])


def _volume(points: Sequence[tuple[float, ...]]) -> float:
    """The volume of the union of the boxes between 0 and each point, slice by slice along the last axis."""
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    ordered = sorted(set(points), key=lambda point: point[-1], reverse=True)
    lower = [*(point[-1] for point in ordered[1:]), 0.0]
    total, held = 0.0, list[tuple[float, ...]]()
    for point, end in zip(ordered, lower, strict=True):
        shadow = point[:-1]
        if not any(all(x >= y for x, y in zip(other, shadow, strict=True)) for other in held):
            held = [o for o in held if not all(x >= y for x, y in zip(shadow, o, strict=True))] + [shadow]
        if point[-1] > end:
            total += (point[-1] - end) * _volume(held)
    return total


def _measured(trial: Trial, metric: str) -> list[float]:
    """A metric's values in the ok runs on the top rung (the rung of the last run)."""
    return [
        run.metrics[metric]
        for run in trial.runs
        if run.rung == trial.runs[-1].rung and run.metrics is not None and metric in run.metrics
    ]
