"""Small charts as inline SVG: they stretch with the page, take their colours from its style, and load nothing.

Widths are shares of what there is, so that a chart is as readable on a narrow screen as on a wide one; only heights are
in pixels. All text goes through `text`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from bilevel.compare.resampling import Estimate

TICKS = 4  # steps between the labels of an axis, about
ROW, CHART = 26, 220  # pixels


def text(value: object) -> str:
    """Anybody's text as part of a page: nothing in it is markup, or turns the direction of reading."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value)))


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies, as a share of the axis from 0 to 1; what lies beyond is put at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    @property
    def ticks(self) -> list[float]:
        """Round values along the axis: steps of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    @property
    def labels(self) -> list[tuple[float, str]]:
        """The ticks with as many digits as tell them apart."""
        ticks = self.ticks
        step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0
        if not 1e-4 <= step < 1e5:
            return [(tick, f"{tick + 0.0:.3g}") for tick in ticks]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(tick, f"{tick + 0.0:.{digits}f}") for tick in ticks]


def scale_of(values: Iterable[float | None], *, zero: bool = False) -> Scale:
    """An axis that holds all values, with a little room; `zero`: and 0."""
    known = [value for value in values if value is not None] + ([0.0] if zero else [])
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    return Scale(low - room, high + room)


def ends(found: Estimate) -> list[float | None]:
    """What an axis must hold to show an estimate."""
    return [found.value, found.low, found.high]


# ---- dots with intervals, one row of a table each ----


def dot(found: Estimate, scale: Scale, kind: str, mark: float = 0.0) -> str:
    """A dot at the value, a line over the interval; where there is no value, the empty row. `mark`: the value of no
    effect, which has a stronger line where it is on the axis."""
    middle = ROW / 2
    parts = [_upright(scale.at(tick), 0, ROW, "grid") for tick in scale.ticks]
    parts += [_upright(scale.at(mark), 0, ROW, "zero")] if scale.low < mark < scale.high else []
    if found.low is not None and found.high is not None:
        low, high = scale.at(found.low), scale.at(found.high)
        parts.append(f'<line class="bar {kind}" x1="{_share(low)}" x2="{_share(high)}" y1="{middle}" y2="{middle}"/>')
        parts += [_upright(end, middle - 5, middle + 5, f"bar {kind}") for end in (low, high)]
    if found.value is not None:
        parts.append(f'<circle class="dot {kind}" cx="{_share(scale.at(found.value))}" cy="{middle}" r="5"/>')
    return f'<svg class="row" height="{ROW}" aria-hidden="true">{"".join(parts)}</svg>'


def axis(scale: Scale) -> str:
    """The labels of an axis, above its rows."""
    return f'<svg class="row" height="18" aria-hidden="true">{_under(scale, 13)}</svg>'


# ---- curves ----


@dataclass(frozen=True)
class Curve:
    """Values at equal steps along the horizontal axis, and their intervals; `kind` is its class in the style."""

    kind: str
    values: Sequence[float]
    band: Sequence[Estimate] = ()


def curves(lines: Sequence[Curve], across: Scale, up: Scale, said: str, height: int = CHART) -> str:
    """A chart of curves; `said` is what it shows, for those who do not see it."""
    top, bottom = 16, height - 20
    parts = []
    for tick, label in up.labels:
        y = f"{bottom - up.at(tick) * (bottom - top):.1f}"
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        if up.at(tick) > 0:  # the lowest would stand on the curves
            parts.append(f'<text class="tick" x="0" y="{y}" dy="-3">{label}</text>')
    inside = "".join(_band(line, up) + _line(line, up) for line in lines)
    parts.append(
        f'<svg y="{top}" width="100%" height="{bottom - top}" viewBox="0 0 1000 1000" preserveAspectRatio="none">'
        f"{inside}</svg>"
    )
    parts.append(_under(across, height - 5))
    return f'<svg class="chart" height="{height}" role="img" aria-label="{text(said)}">{"".join(parts)}</svg>'


def swatch(kind: str) -> str:
    """A piece of a curve, for a legend."""
    line = f'<line class="{kind}" x1="0" x2="100%" y1="5" y2="5"/>'
    return f'<svg class="swatch" height="10" aria-hidden="true">{line}</svg>'


def _line(line: Curve, up: Scale) -> str:
    return f'<polyline class="{line.kind}" points="{_points(line.values, up)}"/>'


def _band(line: Curve, up: Scale) -> str:
    low = [one.low for one in line.band if one.low is not None]
    high = [one.high for one in line.band if one.high is not None]
    if len(low) != len(line.values) or len(high) != len(line.values):
        return ""
    there, back = _points(low, up), _points(high, up).split(" ")[::-1]
    return f'<polygon class="band {line.kind}" points="{there} {" ".join(back)}"/>'


def _points(values: Sequence[float], up: Scale) -> str:
    last = max(1, len(values) - 1)
    return " ".join(f"{1000 * n / last:.0f},{1000 * (1 - up.at(value)):.0f}" for n, value in enumerate(values))


# ---- ranks ----


def rank_diagram(average: Sequence[tuple[str, str, str, float]], apart: float | None, said: str) -> str:
    """Average ranks on a line, 1 at the left; `apart` is the critical difference, and bars join arms within it.

    `average`: class, name, label and rank of each, in the order of ranks. The form is that of Demsar 2006, figure 1.
    """
    scale = Scale(1.0, float(max(2, len(average))))
    groups = alike([rank for *_, rank in average], apart)
    line, first = 52.0, 52.0 + 12 + 9 * len(groups)
    left = (len(average) + 1) // 2
    height = first + 26 * max(left, len(average) - left) + 4

    def place(rank: float) -> float:
        return 0.14 + 0.72 * scale.at(rank)

    parts = [f'<line class="axis" x1="{_share(place(1))}" x2="{_share(place(scale.high))}" y1="{line}" y2="{line}"/>']
    for whole in range(1, int(scale.high) + 1):
        parts.append(_upright(place(whole), line - 5, line, "axis"))
        parts.append(
            f'<text class="tick" x="{_share(place(whole))}" y="{line - 9}" text-anchor="middle">{whole}</text>'
        )
    if apart is not None:
        end = place(min(1 + apart, scale.high))
        parts.append(f'<line class="ruler" x1="{_share(place(1))}" x2="{_share(end)}" y1="22" y2="22"/>')
        parts += [_upright(x, 17, 27, "ruler") for x in (place(1), *([end] if 1 + apart <= scale.high else []))]
        more = "" if 1 + apart <= scale.high else ", longer than the line"
        parts.append(f'<text x="{_share(place(1))}" y="12">critical difference {apart:.3g}{more}</text>')
    for number, (best, worst) in enumerate(groups):
        y = line + 9 * (number + 1)
        x1, x2 = place(average[best][3]) - 0.008, place(average[worst][3]) + 0.008
        parts.append(f'<line class="joined" x1="{_share(x1)}" x2="{_share(x2)}" y1="{y}" y2="{y}"/>')
    for n, (kind, _, label, rank) in enumerate(average):
        to_left = n < left
        y = first + 26 * ((n if to_left else len(average) - 1 - n) + 1) - 6
        side, anchor = ("0%", "start") if to_left else ("100%", "end")
        parts.append(_upright(place(rank), line, y, f"lead {kind}"))
        parts.append(f'<line class="lead {kind}" x1="{side}" x2="{_share(place(rank))}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="named" x="{side}" y="{y - 5}" text-anchor="{anchor}">{text(label)}</text>')
    return f'<svg class="chart" height="{height:.0f}" role="img" aria-label="{text(said)}">{"".join(parts)}</svg>'


def alike(ranks: Sequence[float], apart: float | None) -> list[tuple[int, int]]:
    """The longest stretches of sorted ranks whose ends lie closer than `apart`: first and last place of each."""
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(n for n, other in enumerate(ranks) if n >= first and (n == first or other - rank < (apart or 0.0)))
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


# ---- parts ----


def _upright(share: float, top: float, bottom: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_share(share)}" x2="{_share(share)}" y1="{top:g}" y2="{bottom:g}"/>'


def _under(scale: Scale, y: float) -> str:
    """The labels of a horizontal axis; those at its ends do not stick out."""
    parts = []
    for tick, label in scale.labels:
        share = scale.at(tick)
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
        parts.append(f'<text class="tick" x="{_share(share)}" y="{y:g}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)


def _share(value: float) -> str:
    return f"{100 * value:.2f}%"
