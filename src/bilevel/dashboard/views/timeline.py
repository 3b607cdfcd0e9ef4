"""The levels of a run over time: an outer trial stands above the inner trials that it is made of."""

from collections.abc import Mapping, Sequence

from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.charts import lanes
from bilevel.dashboard.frame import Page, address, link, nothing, section, table
from bilevel.dashboard.records import Row
from bilevel.dashboard.spans import spans
from bilevel.dashboard.watched import Watched

Piece = tuple[float, float, str, str, str]
MOST = 1200  # stretches in a row of the picture


def timeline(run: Watched, query: Mapping[str, str]) -> Page:
    inner = run.inner
    if not inner:
        return Page("Timeline", nothing("No trial is finished yet."), run, "timeline")
    found, named = spans(inner), dict[str, list[Piece]]()
    for level in reversed(run.levels[1:]):
        pieces = named.setdefault(frame.level_title(level), [])
        for row in run.rows(level):
            span = found.get((row.branch, row.number))
            if span is not None:
                pieces.append((span.first, span.end, f"outer {_kind(row)}", _said(row), _href(run, row)))
    for arm in dict.fromkeys("control" if _is_control(row) else "" for row in inner):
        own = [(place, row) for place, row in enumerate(inner) if _is_control(row) == bool(arm)]
        title = f"{frame.level_title(run.levels[0])}{', controls' if arm else ''}"
        named[title] = _pieces(run, own)
    drawn = lanes(named, len(inner), f"{len(inner)} trials of level 1 and the outer trials that they belong to")
    key = "".join(
        f'<li><span class="tile {kind}"></span>{said}</li>'
        for kind, said in (("kept", "kept"), ("discarded", "discarded"), ("failed", "without a score"))
    )
    note = (
        "Trials of level 1 from left to right in the order in which branches were opened, not by the clock: "
        "records of trials hold no time of day. A stretch opens its trial."
    )
    body = section("Levels", f'<ul class="legend">{key}</ul><figure>{drawn}</figure>', note)
    return Page("Timeline", body + _branches(run), run, "timeline")


def _is_control(row: Row) -> bool:
    return row.arm not in ("", "challenger")


def _kind(row: Row) -> str:
    return "failed" if row.failed else "kept" if row.keep else "discarded"


def _said(row: Row) -> str:
    return f"{frame.level_title(row.level)}, trial {row.number}: {frame.changed(row)} · {_kind(row)}: {row.reason}"


def _href(run: Watched, row: Row) -> str:
    return address(run.key, f"trial/{row.number}", branch=row.branch)


def _pieces(run: Watched, rows: Sequence[tuple[int, Row]]) -> list[Piece]:
    """A stretch per trial; in a long run neighbours of one kind are one stretch."""
    if len(rows) <= MOST // 3:
        return [(place, place + 1, _kind(row), _said(row), _href(run, row)) for place, row in rows]
    pieces: list[list[object]] = []
    step = max(1, -(-len(rows) // MOST))
    for begin in range(0, len(rows), step):
        group = rows[begin : begin + step]
        _, row = next((one for one in group if one[1].keep), group[0])
        last = pieces[-1] if pieces else None
        if last is not None and last[2] == _kind(row) and last[1] == group[0][0]:
            last[1] = group[-1][0] + 1
        else:
            pieces.append([group[0][0], group[-1][0] + 1, _kind(row), _said(row), _href(run, row)])
    return [(float(str(a)), float(str(b)), str(c), str(d), str(e)) for a, b, c, d, e in pieces]


def _branches(run: Watched) -> str:
    rows = []
    for branch in run.branches():
        own = run.store.rows(branch)
        origin = f"{branch.parent} after {branch.at} trials" if branch.parent else ""
        rows.append(
            (
                link(address(run.key, "trials", level=branch.level, branch=branch.id), branch.id, "row"),
                text(frame.level_title(branch.level)),
                str(len(own)),
                str(sum(row.keep for row in own)),
                text(origin),
            )
        )
    header = ("branch", "level", "own trials", "kept", "goes on from")
    return section("Branches", table(header, rows, left=(0, 1, 4)))
