"""Charts of a run as inline SVG, in the style of the page of a comparison: widths are shares, heights are pixels.

A chart holds a bounded number of marks however long the run is: what is left out is said by its caption.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bilevel.compare.drawing import Scale, scale_of, text
from bilevel.dashboard.records import Row
from bilevel.objective import Objective

MOST_DOTS = 900  # discarded and failed trials that a curve shows
MOST_KEPT = 400
FAR = 0.75  # the share of the scores that the vertical axis holds on the worse side
HEIGHT, TOP, FOOT = 300, 34, 22
LABEL_ROWS, CHARACTER = 2, 0.0065  # rows of names above a curve; how wide a character is, as a share of the chart


@dataclass(frozen=True)
class Mark:
    """Something that happened between two trials: a mechanism that came or went; `at` is the trial before which."""

    at: int
    said: str
    href: str
    kind: str = ""


@dataclass(frozen=True)
class Line:
    """A best-so-far curve: at which trial it took which value, and where it ends."""

    kind: str
    steps: Sequence[tuple[int, float]]
    end: int


@dataclass(frozen=True)
class Drawn:
    """A chart, and how many trials it does not show as a point of their own."""

    svg: str
    left_out: int = 0
    beyond: int = 0


def best_so_far(rows: Sequence[Row], objective: Objective, start: float | None = None) -> list[tuple[int, float]]:
    """Where the best score changes: the place in the list, and the new best."""
    best, steps = start, []
    for place, row in enumerate(rows):
        if row.score is not None and row.contends and objective.better(row.score, best):
            best = row.score
            steps.append((place, best))
    return steps


def vertical(rows: Sequence[Row], objective: Objective, sd: float) -> Scale:
    """An axis for the scores that matter: from the best to the baseline, and most of the others."""
    scores = sorted((row.score for row in rows if row.score is not None), reverse=not objective.minimize)
    if not scores:
        return Scale(0.0, 1.0)
    far = scores[min(len(scores) - 1, int(len(scores) * FAR))]
    first = next(row.score for row in rows if row.score is not None)
    return scale_of([scores[0], scores[0] - sd, scores[0] + sd, far, first])


def progress(
    rows: Sequence[Row],
    objective: Objective,
    lines: Sequence[Line],
    marks: Sequence[Mark],
    sd: float,
    hrefs: Sequence[str],
    said: str,
) -> Drawn:
    """The scores of all trials, the best so far with a band of one standard deviation, arms, and mechanisms.

    `hrefs`: where the points lead, one for each row; nowhere where there are none.
    """
    across, up = Scale(0.0, max(len(rows), 1)), vertical(rows, objective, sd)
    parts = [_grid(up), _below(across)]
    main = lines[0] if lines else None
    inside = (_band(main, across, up, sd) if main and sd else "") + "".join(_line(one, across, up) for one in lines)
    parts.append(_stretched(inside))
    dots, left_out, beyond = _dots(rows, across, up, hrefs)
    parts += [dots, _marks(marks, across), _heights(up)]
    return Drawn(_svg(HEIGHT, said, "".join(parts)), left_out, beyond)


def overlaid(lines: Sequence[Line], said: str) -> str:
    """Several best-so-far curves over the number of trials."""
    values = [value for line in lines for _, value in line.steps]
    if not values:
        return ""
    up, across = (
        _tight(values, [line.steps[-1][1] for line in lines if line.steps]),
        Scale(0.0, max(line.end for line in lines)),
    )
    inside = "".join(_line(line, across, up) for line in lines)
    return _svg(HEIGHT, said, _grid(up) + _below(across) + _stretched(inside) + _heights(up))


def _tight(values: Sequence[float], ends: Sequence[float]) -> Scale:
    """First values may be far off; the axis holds the middle of all, all of a few, and every end."""
    middle = statistics.median(values)
    near = sorted(values, key=lambda value: abs(value - middle))
    return scale_of([*near[: len(near) - len(near) // 20], *ends])


def spark(rows: Sequence[Row], objective: Objective) -> str:
    """A small best-so-far curve without axes."""
    steps = best_so_far(rows, objective)
    if not steps or len(rows) < 2:
        return ""
    up = scale_of([value for _, value in steps])
    line = _line(Line("", steps, len(rows)), Scale(0.0, len(rows)), up)
    return (
        '<svg class="spark" height="22" aria-hidden="true" viewBox="0 0 1000 1000" preserveAspectRatio="none">'
        f"{line}</svg>"
    )


def parallel(
    axes: Sequence[tuple[str, str, str]], lines: Sequence[tuple[Sequence[float | None], str, str]], said: str
) -> str:
    """Parallel coordinates: `axes` are names with the labels of both ends; a line has a share per axis, a class, and
    a title. Lines that come later lie above. Source: A. Inselberg, "The plane with parallel coordinates", The Visual
    Computer 1, 1985, doi:10.1007/BF01898350."""
    if len(axes) < 2:
        return ""
    height, top, foot = 320, 20, 62
    places = [number / (len(axes) - 1) for number in range(len(axes))]
    drawn = []
    for shares, kind, title in lines:
        points = " ".join(
            f"{1000 * x:.1f},{1000 - 1000 * share:.1f}"
            for x, share in zip(places, shares, strict=True)
            if share is not None
        )
        drawn.append(f'<polyline class="{kind}" points="{points}"><title>{text(title)}</title></polyline>')
    parts = [_stretched("".join(drawn), top, height - foot)]
    for number, (x, (name, low, high)) in enumerate(zip(places, axes, strict=True)):
        anchor = "start" if number == 0 else "end" if number == len(axes) - 1 else "middle"
        at = f'x="{100 * x:.2f}%" text-anchor="{anchor}"'
        parts.append(f'<line class="axis" x1="{100 * x:.2f}%" x2="{100 * x:.2f}%" y1="{top}" y2="{height - foot}"/>')
        parts.append(f'<text class="tick" {at} y="{top - 7}">{text(high)}</text>')
        parts.append(f'<text class="tick" {at} y="{height - foot + 15}">{text(low)}</text>')
        parts.append(
            f'<text class="named" {at} y="{height - foot + (33 if number % 2 == 0 else 49)}">{text(name)}</text>'
        )
    return _svg(height, said, "".join(parts), "chart parallel")


def scatter(points: Sequence[tuple[float, float, str]], up: Scale, said: str) -> str:
    """A small picture of scores over one parameter: share along the axis, score, class."""
    height = 46
    dots = "".join(
        f'<circle class="{kind}" cx="{2 + 96 * x:.1f}%" cy="{4 + (height - 8) * (1 - up.at(score)):.1f}" r="2"/>'
        for x, score, kind in points
    )
    return f'<svg class="scatter" height="{height}" role="img" aria-label="{text(said)}">{dots}</svg>'


def share_bar(share: float, said: str) -> str:
    """A share from 0 to 1 as a bar."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    return (
        f'<svg class="share" height="12" role="img" aria-label="{text(said)}"><rect class="trough" width="100%" '
        f'height="12"/><rect class="filled" width="{width}" height="12"/></svg>'
    )


# ---- parts ----


def _svg(height: int, said: str, inside: str, kind: str = "chart") -> str:
    return f'<svg class="{kind}" height="{height}" role="img" aria-label="{text(said)}">{inside}</svg>'


def _stretched(inside: str, top: int = TOP, bottom: int = HEIGHT - FOOT) -> str:
    return (
        f'<svg y="{top}" width="100%" height="{bottom - top}" viewBox="0 0 1000 1000" preserveAspectRatio="none">'
        f"{inside}</svg>"
    )


def _y(share: float) -> float:
    return HEIGHT - FOOT - share * (HEIGHT - FOOT - TOP)


def _grid(up: Scale) -> str:
    places = [_y(up.at(tick)) for tick, _ in up.labels]
    return "".join(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>' for y in places)


def _heights(up: Scale) -> str:
    """The labels of the vertical axis; they lie above what is drawn."""
    return "".join(
        f'<text class="tick named" x="0" y="{_y(up.at(tick)) - 3:.1f}">{label}</text>' for tick, label in up.labels
    )


def _below(across: Scale, y: float = HEIGHT - 6) -> str:
    parts = []
    for tick, label in across.labels:
        share = across.at(tick)
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
        parts.append(f'<text class="tick" x="{100 * share:.2f}%" y="{y:g}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)


def _corners(line: Line, across: Scale, up: Scale, off: float = 0.0) -> list[str]:
    points, last = [], None
    for place, value in line.steps:
        x, y = 1000 * across.at(place + 0.5), 1000 - 1000 * up.at(value + off)
        if last is not None:
            points.append(f"{x:.1f},{last:.1f}")
        points.append(f"{x:.1f},{y:.1f}")
        last = y
    if last is not None:
        points.append(f"{1000 * across.at(line.end):.1f},{last:.1f}")
    return points


def _line(line: Line, across: Scale, up: Scale) -> str:
    return f'<polyline class="{line.kind}" points="{" ".join(_corners(line, across, up))}"/>' if line.steps else ""


def _band(line: Line, across: Scale, up: Scale, sd: float) -> str:
    edge = _corners(line, across, up, sd) + _corners(line, across, up, -sd)[::-1]
    return f'<polygon class="band" points="{" ".join(edge)}"/>' if line.steps else ""


def _dots(rows: Sequence[Row], across: Scale, up: Scale, hrefs: Sequence[str]) -> tuple[str, int, int]:
    kept = [place for place, row in enumerate(rows) if row.keep and row.score is not None]
    others = [place for place, row in enumerate(rows) if not (row.keep and row.score is not None)]
    shown = [*thinned(others, MOST_DOTS), *thinned(kept, MOST_KEPT)]
    parts, beyond = [], 0
    for place in shown:
        row = rows[place]
        x = f"{100 * across.at(place + 0.5):.2f}"
        if row.score is None:
            mark = f'<rect class="point failed" x="{x}%" y="{HEIGHT - FOOT - 5}" width="2" height="5"/>'
        else:
            outside = not up.low <= row.score <= up.high
            beyond += outside
            kind = "kept" if row.keep else "beyond" if outside else "discarded"
            mark = (
                f'<circle class="point {kind}" cx="{x}%" cy="{_y(up.at(row.score)):.1f}" r="{3.5 if row.keep else 2}"/>'
            )
        score = row.status if row.score is None else f"{row.score:.6g}"
        title = f"trial {row.number}{f' ({row.arm})' if row.arm else ''}: {score}"
        parts.append(_linked(hrefs[place] if hrefs else "", f"{mark}<title>{text(title)}</title>"))
    return "".join(parts), len(rows) - len(shown), beyond


def thinned(items: Sequence[int], most: int) -> list[int]:
    """At most so many of the items, evenly spread, the last one among them."""
    if len(items) <= most:
        return list(items)
    return [items[(number + 1) * len(items) // most - 1] for number in range(most)]


def _marks(marks: Sequence[Mark], across: Scale) -> str:
    """Upright lines with names above them where there is room; the others keep their line, which has a title."""
    parts, ends = [], [-1.0] * LABEL_ROWS
    for mark in marks:
        share = across.at(mark.at)
        x = f"{100 * share:.2f}%"
        title = f"<title>{text(mark.said)}</title>"
        inside = f'<line class="event {mark.kind}" x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{HEIGHT - FOOT}"/>'
        wide = CHARACTER * (len(mark.said) + 1)
        begin = share if share + wide <= 1 else share - wide
        row = next((n for n, end in enumerate(ends) if begin > end), None)
        if row is not None:
            ends[row] = begin + wide
            anchor = "start" if begin == share else "end"
            place = f'x="{x}" y="{12 + 13 * row}" text-anchor="{anchor}"'
            inside += f'<text class="tick {mark.kind}" {place}>{text(mark.said)}</text>'
        parts.append(_linked(mark.href, inside + title))
    return "".join(parts)


def _linked(href: str, inside: str) -> str:
    """A mark that leads somewhere, or one that only stands there."""
    return f'<a href="{text(href)}" tabindex="-1">{inside}</a>' if href else f"<g>{inside}</g>"
