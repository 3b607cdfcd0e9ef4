"""Which innermost trials an outer trial is made of: the time axis of a run.

Innermost trials are numbered over all branches in the order in which these were opened; a branch "B/N.arm" is an arm of
trial N of branch B.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bilevel.dashboard.charts import Line, Mark, best_so_far
from bilevel.dashboard.frame import address, moves
from bilevel.dashboard.records import Row, arm_of
from bilevel.dashboard.watched import Watched
from bilevel.standings import MECHANISMS


class Span(NamedTuple):
    """From the first innermost trial to behind the last."""

    first: int
    end: int


def spans(inner: Sequence[Row]) -> dict[tuple[str, int], Span]:
    """For each outer trial (branch, number) the innermost trials that its arms added."""
    found: dict[tuple[str, int], Span] = {}
    for branch, (first, end) in stretches(inner).items():
        name = branch
        while "/" in name:
            name, _, arm = name.rpartition("/")
            key = name, int(arm.partition(".")[0])
            old = found.get(key, Span(first, end))
            found[key] = Span(min(old.first, first), max(old.end, end))
    return found


def stretches(inner: Sequence[Row]) -> dict[str, Span]:
    """For each branch the innermost trials that it added."""
    found: dict[str, Span] = {}
    for place, row in enumerate(inner):
        old = found.get(row.branch)
        found[row.branch] = Span(place if old is None else old.first, place + 1)
    return found


def arm_lines(run: Watched, inner: Sequence[Row]) -> list[Line]:
    """The best so far of all trials, then of each fork's arms, which begin with the best before the fork."""
    whole, known = best_so_far(inner, run.objective), dict[str, float | None]()
    lines = [Line("best", whole, len(inner))]
    for branch, (first, end) in stretches(inner).items():
        arm = arm_of(branch)
        if not arm:
            continue
        start = _before(run, branch, known)
        begun = [] if start is None else [(first, start)]
        steps = [(first + place, value) for place, value in best_so_far(inner[first:end], run.objective, start)]
        lines.append(Line("arm challenger" if arm == "challenger" else "arm control", [*begun, *steps], end))
    return lines


def _before(run: Watched, name: str, known: dict[str, float | None]) -> float | None:
    """The best score of what a branch goes on from; `known`: what was found of other branches, to which it is added."""
    if name not in known:
        branch, best = run.store.branch(name), None
        if branch.parent is not None:
            best = _before(run, branch.parent, known)
            for row in run.store.rows(run.store.branch(branch.parent)):
                if row.number >= branch.at or row.score is None or not row.contends:
                    continue
                if run.objective.better(row.score, best):
                    best = row.score
        known[name] = best
    return known[name]


def mechanism_marks(run: Watched, inner: Sequence[Row]) -> list[Mark]:
    """Where mechanisms came into force and went out of it, at the end of the fork that decided it."""
    if MECHANISMS not in run.levels:
        return []
    found, marks = spans(inner), []
    for row in run.rows(MECHANISMS):
        span = found.get((row.branch, row.number))
        if row.number == 0 or not row.keep or span is None:
            continue
        gone, come = moves(row)
        said = ", ".join([*(f"+ {name}" for name in come), *(f"− {name}" for name in gone)])
        if said:
            href = address(run.key, f"trial/{row.number}", branch=row.branch)
            marks.append(Mark(span.end, said, href, "gone" if gone and not come else "come"))
    return sorted(marks, key=lambda mark: mark.at)
