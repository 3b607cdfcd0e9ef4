"""Stretches in rows along one axis: by the order of trials, or by the clock.

A stretch is a link: the arrow keys lead along its row and to the rows above and below (see dashboard.js), and its title
is shown below the picture. What came of a trial is said by how tall its stretch is, and only repeated by its colour.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bilevel.compare.drawing import Scale, text

ROW, TOP, FOOT = 30, 20, 22  # pixels
TALL = {"kept": 16, "outer": 16, "discarded": 10}  # by the first word of the class; 5 for what has no score
LEAST = 0.08  # per cent of the width that a stretch takes at least
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)  # seconds
LABELS = 8  # at most so many along an axis of time


class Piece(NamedTuple):
    """From where to where, class, what it is, and where it leads."""

    begin: float
    end: float
    kind: str
    said: str
    href: str


class Seam(NamedTuple):
    """An upright line between two parts of an axis, and what it is."""

    at: float
    said: str


def lanes(
    named: Mapping[str, Sequence[Piece]], length: float, said: str, *, clock: bool = False, seams: Sequence[Seam] = ()
) -> str:
    """Rows of stretches along one axis from 0 to `length`: of trials, or of seconds."""
    length = length or 1.0
    bottom = TOP + ROW * len(named)
    parts = [_times(length, bottom + 16) if clock else _numbers(length, bottom + 16)]
    first = True
    for number, (name, pieces) in enumerate(named.items()):
        y = TOP + ROW * number
        drawn = []
        for piece in pieces:
            drawn.append(_stretch(piece, length, y, 0 if first else -1))
            first = False
        parts.append(f'<g class="lane"><text class="tick" x="0" y="{y - 3}">{text(name)}</text>{"".join(drawn)}</g>')
    for seam in seams:
        x = f"{100 * seam.at / length:.3f}%"
        line = f'<line class="seam" x1="{x}" x2="{x}" y1="{TOP - 12}" y2="{bottom}"/>'
        parts.append(f"<g>{line}<title>{text(seam.said)}</title></g>")
    picture = f'<svg class="chart lanes" height="{bottom + FOOT}" role="group" aria-label="{text(said)}">'
    return f'{picture}{"".join(parts)}</svg><p class="told soft" aria-hidden="true"></p>'


def _stretch(piece: Piece, length: float, y: float, tab: int) -> str:
    tall = TALL.get(piece.kind.partition(" ")[0], 5)
    x, width = 100 * piece.begin / length, 100 * (piece.end - piece.begin) / length
    place = f'x="{x:.3f}%" width="{max(width, LEAST):.3f}%" y="{y + 16 - tall:g}" height="{tall}"'
    shape = f'<title>{text(piece.said)}</title><rect class="piece {piece.kind}" {place}/>'
    return f'<a href="{text(piece.href)}" tabindex="{tab}">{shape}</a>'


def _numbers(length: float, y: float) -> str:
    scale = Scale(0.0, max(length, 1.0))
    return "".join(_label(scale.at(tick), said, y) for tick, said in scale.labels)


def _times(length: float, y: float) -> str:
    step = next((step for step in STEPS if length / step <= LABELS), STEPS[-1])
    if length < 2:
        return "".join(_label(share, f"{length * share:.2g} s", y) for share in (0.0, 0.5, 1.0))
    if length / step > LABELS:
        step *= math.ceil(length / step / LABELS)
    return "".join(_label(n * step / length, lasting(n * step), y) for n in range(int(length / step) + 1))


def _label(share: float, said: str, y: float) -> str:
    anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
    return f'<text class="tick" x="{100 * share:.2f}%" y="{y:g}" text-anchor="{anchor}">{text(said)}</text>'


def lasting(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next(place for place, (many, _) in enumerate(parts) if many)
    return " ".join(f"{many} {unit}" for many, unit in parts[first : first + 2] if many)
