"""Pictures of metrics: candidates by two objectives, and one metric over the trials with its bound.

Both hold a bounded number of marks; what is left out or lies beyond an axis is said by who draws them.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bilevel.compare.drawing import Scale, scale_of, text
from bilevel.dashboard.charts import thinned

MOST_BEHIND, MOST_MARKED = 900, 300
NEAR = 0.95  # the share of the values that an axis holds in any case
TALL, LOW, TOP, FOOT = 340, 150, 16, 24  # pixels


@dataclass(frozen=True)
class Dot:
    """A candidate: across, up, class, what it is, and where it leads."""

    x: float
    y: float
    kind: str
    said: str
    href: str


def plane(
    behind: Sequence[Dot], front: Sequence[Dot], margins: tuple[float, float], lower: tuple[bool, bool], two: bool,
    said: str,
) -> tuple[str, int]:  # fmt: skip
    """Candidates by two objectives: those `behind` the front, and those on it with the noise margin as a cross.

    `lower`: whether less is better across, and up; `two`: there are no further objectives, so a line through what no
    other one is better than means something. Gives the picture and how many candidates have no mark.
    """
    across = around([dot.x for dot in behind], [x for dot in front for x in (dot.x - margins[0], dot.x + margins[0])])
    up = around([dot.y for dot in behind], [y for dot in front for y in (dot.y - margins[1], dot.y + margins[1])])
    shown = [behind[place] for place in thinned(range(len(behind)), MOST_BEHIND)]
    marked = [front[place] for place in thinned(range(len(front)), MOST_MARKED)]
    parts = [_grid(up, TALL), _upright_grid(across)]
    if two:
        parts.append(_stairs(_best(front, *lower), across, up, lower[0]))
    parts += [_linked(dot, _circle(dot, across, up, TALL, 2.5)) for dot in shown]
    for dot in marked:
        x, y = f"{100 * across.at(dot.x):.2f}%", f"{_y(up.at(dot.y), TALL):.1f}"
        left, right = (f"{100 * across.at(dot.x + off):.2f}%" for off in (-margins[0], margins[0]))
        low, high = (f"{_y(up.at(dot.y + off), TALL):.1f}" for off in (-margins[1], margins[1]))
        cross = f'<line class="margin" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        cross += f'<line class="margin" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
        parts.append(_linked(dot, cross + _circle(dot, across, up, TALL, 4.5)))
    parts += [_heights(up, TALL), _below(across, TALL)]
    return _svg(TALL, said, "".join(parts)), len(behind) + len(front) - len(shown) - len(marked)


def strip(dots: Sequence[Dot], bound: float | None, last: int, said: str) -> tuple[str, int]:
    """One metric over the trials, from 0 to `last`, with the bound that it must hold as a line, where it is one number.

    Dots of the class "broken" are crosses. Gives the picture and how many trials have no mark.
    """
    across = Scale(0.0, max(1, last))
    up = around([dot.y for dot in dots], [] if bound is None else [bound])
    parts = [_grid(up, LOW)]
    if bound is not None:
        y = f"{_y(up.at(bound), LOW):.1f}"
        parts.append(f'<line class="bound" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    held = [dot for dot in dots if dot.kind != "broken"]
    broken = [dot for dot in dots if dot.kind == "broken"]
    shown = [held[place] for place in thinned(range(len(held)), MOST_BEHIND)]
    marked = [broken[place] for place in thinned(range(len(broken)), MOST_MARKED)]
    parts += [_linked(dot, _circle(dot, across, up, LOW, 3.5 if dot.kind == "kept" else 2.5)) for dot in shown]
    for dot in marked:
        place = f'x="{100 * across.at(dot.x):.2f}%" y="{_y(up.at(dot.y), LOW):.1f}"'
        parts.append(_linked(dot, f'<svg {place} class="cross"><path d="M-3.5-3.5 3.5 3.5M-3.5 3.5 3.5-3.5"/></svg>'))
    parts += [_heights(up, LOW), _below(across, LOW)]
    return _svg(LOW, said, "".join(parts)), len(dots) - len(shown) - len(marked)


def around(values: Sequence[float], always: Sequence[float]) -> Scale:
    """An axis that holds most of the values, those nearest to the middle, and all that must be seen."""
    if not values:
        return scale_of(always)
    middle = statistics.median(values)
    near = sorted(values, key=lambda value: abs(value - middle))[: max(1, int(NEAR * len(values)))]
    return scale_of([*near, *always])


def _svg(height: int, said: str, inside: str) -> str:
    return f'<svg class="chart" height="{height}" role="img" aria-label="{text(said)}">{inside}</svg>'


def _linked(dot: Dot, inside: str) -> str:
    return f'<a href="{text(dot.href)}" tabindex="-1">{inside}<title>{text(dot.said)}</title></a>'


def _circle(dot: Dot, across: Scale, up: Scale, height: int, radius: float) -> str:
    place = f'cx="{100 * across.at(dot.x):.2f}%" cy="{_y(up.at(dot.y), height):.1f}"'
    return f'<circle class="{dot.kind}" {place} r="{radius:g}"/>'


def _best(front: Sequence[Dot], less_across: bool, less_up: bool) -> list[Dot]:
    """From left to right the candidates than which no other one is better in both, noise or not."""
    found: list[Dot] = []
    for dot in sorted(front, key=lambda dot: dot.x, reverse=not less_across):
        if not found or (dot.y < found[-1].y if less_up else dot.y > found[-1].y):
            found.append(dot)
    return sorted(found, key=lambda dot: dot.x)


def _stairs(front: Sequence[Dot], across: Scale, up: Scale, across_first: bool) -> str:
    points: list[tuple[float, float]] = []
    for dot in front:
        x, y = 1000 * across.at(dot.x), 1000 - 1000 * up.at(dot.y)
        if points:
            points.append((x, points[-1][1]) if across_first else (points[-1][0], y))
        points.append((x, y))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<svg y="{TOP}" width="100%" height="{TALL - TOP - FOOT}" viewBox="0 0 1000 1000" preserveAspectRatio="none">'
        f'<polyline class="front" points="{line}"/></svg>'
    )


def _y(share: float, height: int) -> float:
    return height - FOOT - share * (height - FOOT - TOP)


def _grid(up: Scale, height: int) -> str:
    places = [_y(up.at(tick), height) for tick in up.ticks]
    return "".join(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>' for y in places)


def _upright_grid(across: Scale) -> str:
    places = [f"{100 * across.at(tick):.2f}%" for tick in across.ticks]
    return "".join(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{TALL - FOOT}"/>' for x in places)


def _heights(up: Scale, height: int) -> str:
    return "".join(
        f'<text class="tick named" x="0" y="{_y(up.at(tick), height) - 3:.1f}">{label}</text>'
        for tick, label in up.labels
    )


def _below(across: Scale, height: int) -> str:
    parts = []
    for tick, label in across.labels:
        share = across.at(tick)
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
        parts.append(
            f'<text class="tick" x="{100 * share:.2f}%" y="{height - 7}" text-anchor="{anchor}">{label}</text>'
        )
    return "".join(parts)
