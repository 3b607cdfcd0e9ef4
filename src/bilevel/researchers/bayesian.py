"""Bayesian optimisation around the best: a few random moves first, then the greatest expected improvement.

Source: D. R. Jones, M. Schonlau, W. J. Welch, "Efficient Global Optimization of Expensive Black-Box Functions", Journal
of Global Optimization 13, 1998, doi:10.1023/A:1008306431147; measured points by their mean, for noise, after B. Letham
et al., "Constrained Bayesian Optimization with Noisy Experiments", 2019, arXiv:1706.07094; trials in flight count as if
they came out as expected, after D. Ginsbourger, R. Le Riche, L. Carraro, "Kriging Is Well-Suited to Parallelize
Optimization", 2010, doi:10.1007/978-3-642-10701-6_6. The model is in `gaussian`.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bilevel.researchers.columns import Columns, Point
from bilevel.researchers.gaussian import Process, fit, levelled
from bilevel.space import Bool, Candidate, Choice, Space, same_value
from bilevel.trace import top_scores
from bilevel.trial import Proposal, Status
from bilevel.view import Briefing, View

UNKNOWN = (Status.REFUSED, Status.INFRASTRUCTURE, Status.PRUNED)  # nothing was learned of the score
BEST, NEWEST = 40, 60  # measured candidates that the model is fitted to, so that a proposal never costs more
AROUND = 3  # so many of the best are the centres of what is looked at
MUTANTS, ANYWHERE, MOST = 150, 150, 700  # candidates looked at: several parameters moved, all moved, altogether
CLIMBS = 2  # rounds in which the neighbours of the most promising are looked at too
NARROW = 0.1  # the largest step of strategy "exploit", a share of a parameter's range
BOLD = 0.5  # strategy "explore" adds so many sd to a mean
PATIENCE, EVERY = 3, 4  # after so many trials without an improvement every so many-th one tests the model
DRAWS = 60  # tries to draw a candidate that is new
RECENT = 30  # trials for which what was turned back is left alone


@dataclass(frozen=True)
class Bayesian:
    """Draws the first `first` candidates: the incumbent with about a `share` of its parameters at random. Then a
    Gaussian process of all scores says which of some hundred candidates, most of them near the best, improves most in
    expectation.

    A candidate that failed counts as the worst. Strategy "exploit" keeps to small steps around the incumbent, "explore"
    favours what is uncertain. It proposes nothing that was measured, is in flight or was turned back lately, and keeps
    to freezes and caps. Where scores are gains over a parent (outer levels) they cannot be compared: it only draws.
    """

    first: int = 5
    share: float = 0.8
    name: str = field(default="bayesian", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        space = view.space
        names = [name for name in space.active if space.weights.get(name, 1.0) > 0]
        if not names:
            return []
        rng = view.rng(f"bayesian {briefing.attempt}")
        taken = {parent.id, *_avoided(view), *(back.candidate for back in briefing.turned_back)}

        def new(candidate: Candidate) -> bool:
            unseen = candidate.id not in taken and view.trace.of(candidate.id) is None
            return unseen and not space.problems(candidate, parent)

        known = _measured(view)
        scored = any(value is not None for _, value, _ in known)
        drawn = self._drawn(view, parent, names, rng)
        if view.objective.relative or not scored or len(known) <= self.first:
            candidates: Iterable[tuple[Candidate, str]] = drawn
        else:
            candidates = [*_promising(view, parent, names, known, rng, new), *drawn]
        found: list[Proposal] = []
        for candidate, why in candidates:
            if new(candidate):
                taken.add(candidate.id)
                found.append(Proposal(candidate, f"{why}: {_changes(parent, candidate)}", self.name))
            if len(found) == max(view.settings.drafts, 1):
                break
        return found

    def _drawn(
        self, view: View, parent: Candidate, names: list[str], rng: random.Random
    ) -> Iterator[tuple[Candidate, str]]:
        """Random moves from the incumbent."""
        best, space = view.trace.incumbent, _narrowed(view)
        base = parent if best is None else best.candidate
        share = 0.0 if view.settings.strategy == "exploit" else self.share
        for _ in range(DRAWS):
            moved = [name for name in names if rng.random() < share] or [_pick(rng, space, names)]
            values = {name: base.params[name] for name in names}
            values |= {name: space.draw(rng, name, values[name]) for name in moved}
            yield parent.with_params(**{n: space.clip(n, parent.params[n], v) for n, v in values.items()}), "drawn"


Known = tuple[Candidate, float | None, int]  # gain over 0 in the objective's direction, mean over so many runs


def _measured(view: View) -> list[Known]:
    """What was measured, each candidate once, in the order of first measurement."""
    scores: dict[str, list[tuple[float, int]]] = {}
    candidates: dict[str, Candidate] = {}
    for trial in view.trace:
        if trial.status in UNKNOWN:
            continue
        candidates.setdefault(trial.candidate.id, trial.candidate)
        found = scores.setdefault(trial.candidate.id, [])
        if trial.score is not None:
            runs = max(len(top_scores(trial, view.objective.name)), 1)
            found.append((view.objective.gain(0.0, trial.score), runs))
    return [_mean(candidate, scores[candidate.id]) for candidate in candidates.values()]


def _mean(candidate: Candidate, scores: list[tuple[float, int]]) -> Known:
    runs = sum(count for _, count in scores)
    return candidate, sum(gain * count for gain, count in scores) / runs if runs else None, max(runs, 1)


def _avoided(view: View) -> Iterator[str]:
    """What is in flight, was stopped early, or was turned back lately."""
    yield from (pending.proposal.candidate.id for pending in view.pending)
    for trial in view.trace:
        if trial.status is Status.PRUNED:
            yield trial.candidate.id
    for trial in view.trace[-RECENT:]:
        yield from (back.candidate for back in trial.turned_back)


def _promising(
    view: View, parent: Candidate, names: list[str], known: list[Known], rng: random.Random,
    new: Callable[[Candidate], bool],
) -> Iterator[tuple[Candidate, str]]:  # fmt: skip
    """Candidates by their expected improvement, the greatest first; after each the next is chosen as if it had come out
    as expected."""
    known = _newest_and_best(known)
    columns = Columns(view.space, view.space.unlocked)
    model = _fitted(view, parent, columns, known, rng)
    pool = _Pool(view, parent, columns, names, rng)
    bold = BOLD if view.settings.strategy == "explore" else 0.0
    centres = pool.centres(model, known)
    points = pool.first(centres)
    if _doubtful(view) and (untried := pool.untried(centres[0], known)):
        gains = model.expected(pool.rows(untried), bold)
        for i in np.argsort(-gains, kind="stable"):
            if new(candidate := pool.candidate(untried[i])):
                yield candidate, "alone hardly tried from the best"
                model = model.believing(pool.rows([untried[i]]))
                break
    for _ in range(max(view.settings.drafts, 1)):
        gains = model.expected(pool.rows(points), bold)
        for _ in range(CLIMBS):
            best = [points[i] for i in np.argsort(-gains, kind="stable")[:AROUND]]
            if more := pool.beside(best):
                points, gains = points + more, np.concatenate([gains, model.expected(pool.rows(more), bold)])
        for i in np.argsort(-gains, kind="stable"):
            candidate = pool.candidate(points[i])
            if new(candidate):
                yield candidate, "the greatest expected improvement"
                model = model.believing(pool.rows([points[i]]))
                break
        else:
            return


def _doubtful(view: View) -> bool:
    """Whether the model's beliefs are to be tested: now and then, when they have brought nothing for a while."""
    return view.trace.since_improvement() >= PATIENCE and view.number % EVERY == 0


def _newest_and_best(known: list[Known]) -> list[Known]:
    if len(known) <= BEST + NEWEST:
        return known
    older = sorted(range(len(known) - NEWEST), key=lambda i: _order(known[i]))[:BEST]
    return [*(known[i] for i in sorted(older)), *known[-NEWEST:]]


def _order(known: Known) -> float:
    return float("inf") if known[1] is None else -known[1]


def _fitted(view: View, parent: Candidate, columns: Columns, known: list[Known], rng: random.Random) -> Process:
    """The model of what is known; trials in flight are believed to come out as it expects. Candidates with other files
    than the parent are told apart by a column of their own."""
    flying = [pending.proposal.candidate for pending in view.pending]
    candidates = [*(candidate for candidate, _, _ in known), *flying]
    rows = columns.rows([_point(columns, candidate) for candidate in candidates])
    other = np.array([[float(bool(candidate.files_changed_from(parent)))] for candidate in candidates])
    rows, owner = np.hstack([rows, other]), np.append(columns.owner, columns.owner.max() + 1)
    values = levelled(np.array([np.nan if value is None else value for _, value, _ in known]))
    repeats = np.array([float(count) for _, _, count in known])
    drawn = np.random.default_rng(rng.getrandbits(64))
    model = fit(rows[: len(known)], values, repeats, owner, drawn)
    return model.believing(rows[len(known) :]) if flying else model


def _point(columns: Columns, candidate: Candidate) -> Point:
    return tuple(candidate.params[name] for name in columns.names)


class _Pool:
    """Makes the candidates that are looked at, as points within freezes and caps."""

    def __init__(
        self, view: View, parent: Candidate, columns: Columns, names: list[str], rng: random.Random
    ) -> None:  # fmt: skip
        self.parent, self.columns, self.rng = parent, columns, rng
        self.wide = view.settings.strategy != "exploit"
        self.space = _narrowed(view)
        self.moving = [i for i, name in enumerate(columns.names) if name in names]
        self.made: set[Point] = set()

    def rows(self, points: list[Point]) -> Any:
        rows = self.columns.rows(points)
        return np.hstack([rows, np.zeros((len(rows), 1))])  # the parent's files

    def candidate(self, point: Point) -> Candidate:
        return self.parent.with_params(**{self.columns.names[i]: point[i] for i in self.moving})

    def centres(self, model: Process, known: list[Known]) -> list[Point]:
        """The best measured points by the model's mean, with the parent's values where they are fixed."""
        points = [_point(self.columns, candidate) for candidate, _, _ in known]
        order = np.argsort(-model.mean(model.rows[: len(known)]), kind="stable")[: AROUND if self.wide else 1]
        return [self._within(points[i]) for i in order]

    def first(self, centres: list[Point]) -> list[Point]:
        """Neighbours of the centres, and points with several or all parameters drawn anew."""
        found = self.beside(centres)
        for number in range(MUTANTS + (ANYWHERE if self.wide else 0)):
            centre = self.rng.choice(centres)
            count = self.rng.choice((2, 2, 3, 4)) if number < MUTANTS else len(self.moving)
            found += self._added([self._drawn(centre, min(count, len(self.moving)))])
        return found or centres

    def beside(self, centres: list[Point]) -> list[Point]:
        """New points that differ from one of `centres` in one parameter."""
        near = [
            (*point[:i], value, *point[i + 1 :])
            for point in centres
            for i in self.moving
            for value in self.columns.next_to(i, point[i], self.rng)
        ]
        return self._added(near if len(near) <= MOST else self.rng.sample(near, MOST))

    def untried(self, centre: Point, known: list[Known]) -> list[Point]:
        """The neighbours of a point in the parameter, of those with values left, that was changed alone from there the
        fewest times."""
        alone, seen = dict.fromkeys(self.moving, 0), {_point(self.columns, candidate) for candidate, _, _ in known}
        for point in seen:
            differing = [i for i, value in enumerate(point) if not same_value(value, centre[i])]
            if len(differing) == 1 and differing[0] in alone:
                alone[differing[0]] += 1
        for i in sorted(self.moving, key=lambda i: alone[i]):
            values = self.columns.next_to(i, centre[i], self.rng)
            near = {self._within((*centre[:i], value, *centre[i + 1 :])): None for value in values}
            if left := [point for point in near if point not in seen and point != centre]:
                return left
        return []

    def _drawn(self, centre: Point, count: int) -> Point:
        values = list(centre)
        for i in self.rng.sample(self.moving, count):
            values[i] = self.space.draw(self.rng, self.columns.names[i], centre[i])
        return tuple(values)

    def _added(self, points: list[Point]) -> list[Point]:
        found = [point for point in dict.fromkeys(map(self._within, points)) if point not in self.made]
        self.made.update(found)
        return found

    def _within(self, point: Point) -> Point:
        values = [self.parent.params[name] for name in self.columns.names]
        for i in self.moving:
            name = self.columns.names[i]
            values[i] = self.space.clip(name, values[i], point[i]) if name in self.space.caps else point[i]
        return tuple(values)


def _narrowed(view: View) -> Space:
    """The space; where the strategy is "exploit", with small steps for numbers."""
    space = view.space
    if view.settings.strategy == "exploit":
        for name in space.active:
            if not isinstance(space.domains[name], Choice | Bool):
                space = space.cap(name, NARROW)
    return space


def _pick(rng: random.Random, space: Space, names: list[str]) -> str:
    return rng.choices(names, [space.weights.get(name, 1.0) for name in names])[0]


def _changes(parent: Candidate, candidate: Candidate) -> str:
    return ", ".join(f"{name} {c.old!r} -> {c.new!r}" for name, c in candidate.changes_from(parent).items())
