"""Several objectives at once: who dominates whom beyond the noise, the front of the others, and its volume.

Sources: the hypervolume of E. Zitzler, L. Thiele, "Multiobjective Evolutionary Algorithms: A Comparative Case Study and
the Strength Pareto Approach", IEEE Transactions on Evolutionary Computation 3(4), 1999, doi:10.1109/4235.797969; by
slices as in L. While, P. Hingston, L. Barone, S. Huband, "A Faster Algorithm for Calculating Hypervolume", 2006,
doi:10.1109/TEVC.2005.851275.
"""

import math
from bisect import bisect_left, bisect_right
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
    """Where candidates lie, each once: by its first trial that has a value in every objective. Those that are out, by
    their runs in all of the trials, lie nowhere."""
    found: dict[str, Point] = {}
    out = set[str]()
    for trial in trials:
        out |= {one.candidate for one in trial.fallen}
        point = point_of(trial, objective)
        if point is not None:
            found.setdefault(trial.candidate.id, point)
    return tuple(point for name, point in found.items() if name not in out)


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
    """The points that no other one dominates, in their order.

    For n points in O(n log n) comparisons with up to three objectives, as in H. T. Kung, F. Luccio, F. P. Preparata,
    "On Finding the Maxima of a Set of Vectors", Journal of the ACM 22(4), 1975, doi:10.1145/321906.321910; with more,
    each is held against the maxima of the others.
    """
    dominated: set[int] = set()
    for aim, margin in enumerate(margins):
        dominated |= _beaten(objective, margin, aim, [point.values for point in points])
    return tuple(point for place, point in enumerate(points) if place not in dominated)


def _beaten(objective: Objective, margin: float, aim: int, values: Sequence[Sequence[float]]) -> set[int]:
    """The places of those that another one beats in one objective by more than the margin, and is as good elsewhere.

    Who is better there comes first. Who beats one by so much beats each later one by as much or more, so those that may
    dominate are taken in once and never leave.
    """
    axis = aims(objective)[aim]
    others = [each for each in range(len(values[0])) if each != aim] if values else []
    goods = [tuple(aims(objective)[each].gain(0.0, value[each]) for each in others) for value in values]
    ordered = sorted(range(len(values)), key=lambda place: axis.gain(0.0, values[place][aim]), reverse=True)
    maxima, taken, found = _Maxima(), 0, set[int]()
    for place in ordered:
        while taken < len(ordered) and axis.gain(values[place][aim], values[ordered[taken]][aim]) > margin:
            maxima.add(goods[ordered[taken]])
            taken += 1
        if maxima.reach(goods[place]):
            found.add(place)
    return found


class _Maxima:
    """Points of which none is as good as another one everywhere; more is better. With two numbers each they stand in a
    stairway: the first ones rise as the second ones fall."""

    def __init__(self) -> None:
        self._held: list[tuple[float, ...]] = []

    def reach(self, point: tuple[float, ...]) -> bool:
        """Whether one of those that were added is at least as good as a point everywhere."""
        if len(point) > 2:
            return any(all(x >= y for x, y in zip(other, point, strict=True)) for other in self._held)
        place = bisect_left(self._held, point[:1])
        return place < len(self._held) and self._held[place][-1:] >= point[-1:]

    def add(self, point: tuple[float, ...]) -> None:
        """Take in a point, and leave out those that it makes needless."""
        if self.reach(point):
            return
        if len(point) > 2:
            self._held = [o for o in self._held if not all(x >= y for x, y in zip(point, o, strict=True))] + [point]
            return
        first = last = bisect_right(self._held, (*point[:1], math.inf))
        while first > 0 and self._held[first - 1][-1:] <= point[-1:]:
            first -= 1
        self._held[first:last] = [point]


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
