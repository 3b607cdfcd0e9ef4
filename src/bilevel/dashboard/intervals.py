"""Effects with their intervals, one row of a table each, on an axis that all rows share."""

from collections.abc import Iterable

from bilevel.compare.drawing import Scale, scale_of, text
from bilevel.statements import Statement

HEIGHT = 22  # pixels of a row


def axis_of(claims: Iterable[Statement]) -> Scale | None:
    """An axis that holds all effects, their intervals and 0; None where no effect is known."""
    values = [value for one in claims for value in (one.effect, one.low, one.high) if value is not None]
    return scale_of(values, zero=True) if values else None


def labels(scale: Scale) -> str:
    """The labels of the axis, for a row above the others."""
    parts = []
    for tick, said in scale.labels:
        share = scale.at(tick)
        anchor = "start" if share < 0.08 else "end" if share > 0.92 else "middle"
        parts.append(f'<text class="tick" x="{_share(share)}" y="13" text-anchor="{anchor}">{said}</text>')
    return f'<svg class="effect" height="18" aria-hidden="true">{"".join(parts)}</svg>'


def row(claim: Statement, scale: Scale, kind: str) -> str:
    """A dot at the effect and a line over the interval; a side that nothing bounds ends at the edge in an arrow."""
    middle = HEIGHT / 2
    parts = [_upright(scale.at(tick), "grid") for tick in scale.ticks]
    parts.append(_upright(scale.at(0.0), "zero"))
    if claim.low is not None or claim.high is not None:
        low = 0.0 if claim.low is None else scale.at(claim.low)
        high = 1.0 if claim.high is None else scale.at(claim.high)
        parts.append(f'<line class="reach" x1="{_share(low)}" x2="{_share(high)}" y1="{middle}" y2="{middle}"/>')
        for known, share, arrow in ((claim.low, low, "‹"), (claim.high, high, "›")):
            if known is None:
                anchor = "start" if arrow == "‹" else "end"
                parts.append(f'<text class="tick" x="{_share(share)}" y="15" text-anchor="{anchor}">{arrow}</text>')
            else:
                parts.append(_upright(share, "reach", 5))
    if claim.effect is not None:
        parts.append(f'<circle class="worth {kind}" cx="{_share(scale.at(claim.effect))}" cy="{middle}" r="4.5"/>')
    said = text(f"{words(claim)} {claim.unit}".strip())
    return f'<svg class="effect" height="{HEIGHT}" role="img" aria-label="{said}">{"".join(parts)}</svg>'


def words(claim: Statement) -> str:
    """The effect and its interval; empty where nothing was measured."""
    if claim.effect is None:
        return ""
    if claim.low is None and claim.high is None:
        return f"{claim.effect:+.4g}"
    low = "-inf" if claim.low is None else f"{claim.low:+.4g}"
    high = "+inf" if claim.high is None else f"{claim.high:+.4g}"
    return f"{claim.effect:+.4g} [{low}, {high}]"


def _share(share: float) -> str:
    return f"{3 + 94 * share:.2f}%"


def _upright(share: float, kind: str, off: float = 0.0) -> str:
    top, bottom = (HEIGHT / 2 - off, HEIGHT / 2 + off) if off else (0.0, HEIGHT)
    return f'<line class="{kind}" x1="{_share(share)}" x2="{_share(share)}" y1="{top:g}" y2="{bottom:g}"/>'
