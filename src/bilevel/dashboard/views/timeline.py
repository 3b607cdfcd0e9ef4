"""A run over time: by the clock, a row for each worker; and by order, an outer trial above its inner ones."""

import itertools
from collections.abc import Mapping, Sequence

from bilevel.cli.steering import when
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import Page, address, link, nothing, section, table
from bilevel.dashboard.lanes import Piece, Seam, lanes, lasting
from bilevel.dashboard.records import Row
from bilevel.dashboard.shifts import Shifts, busy, shifts
from bilevel.dashboard.spans import spans
from bilevel.dashboard.watched import Watched
from bilevel.stints import Stint

MOST = 1200  # stretches in a row of the picture
FINE = 400  # in a row of so many each trial has a stretch of its own
NO_TIMES = (
    "Nobody took down when these trials were measured: it was by an older version, or by whoever drives the run. So "
    "there is no timeline by the clock, only the order below."
)
ORDER = (
    "Trials of level 1 from left to right in the order in which branches were opened, not by the clock. A stretch "
    "opens its trial; arrow keys lead from one to the next."
)
CLOCK = (
    "From before a trial's first measurement until after its last. Time between two stretches is spent on proposing, "
    "deciding, admitting mechanisms, pauses, and waiting for trials of other workers."
)


def timeline(run: Watched, query: Mapping[str, str]) -> Page:
    inner = run.inner
    if not inner:
        return Page("Timeline", nothing("No trial is finished yet."), run, "timeline")
    return Page("Timeline", _workers(run, inner) + _levels(run, inner) + _branches(run), run, "timeline")


def _key() -> str:
    items = "".join(
        f'<li><span class="tile {kind}"></span>{said}</li>'
        for kind, said in (("kept", "kept"), ("discarded", "discarded"), ("failed", "without a score"))
    )
    return f'<ul class="legend">{items}</ul>'


# ---- by the clock ----


def _workers(run: Watched, inner: Sequence[Row]) -> str:
    """A row for each worker, those of the outer levels above, and how busy each was."""
    rows = {(row.branch, row.number): row for level in run.levels for row in run.rows(level)}
    stints = [one for one in run.store.stints() if (one.branch, one.number) in rows]
    leaves = [one for one in stints if rows[one.branch, one.number].level == run.levels[0]]
    if not leaves:
        return section("Workers", nothing(NO_TIMES))
    axis, named = shifts(stints), dict[str, list[Piece]]()
    workers = max(run.recipe.workers, *(one.worker + 1 for one in leaves))
    for level in reversed(run.levels[1:]):
        own = [one for one in stints if rows[one.branch, one.number].level == level]
        if own:
            named[frame.level_title(level)] = _clocked(run, own, rows, axis, workers)
    by_worker = {worker: [one for one in leaves if one.worker == worker] for worker in range(workers)}
    for worker, own in by_worker.items():
        named[f"worker {worker + 1}"] = _clocked(run, own, rows, axis, workers)
    seams = [
        Seam(one.at - (one.at - before.at - before.ended + before.began) / 2, f"gone on with at {when(one.began)}")
        for before, one in itertools.pairwise(axis.sessions)
    ]
    said = f"{frame.count(len(leaves), 'trial')} of level 1 by the clock, on {frame.count(workers, 'worker')}"
    drawn = lanes(named, axis.length, said, clock=True, seams=seams)
    caption = f"<figcaption>{text(_caption(axis, len(inner) - len(leaves)))}</figcaption>"
    return section("Workers", _key() + f"<figure>{drawn}{caption}</figure>" + _busy(by_worker, axis), CLOCK)


def _caption(axis: Shifts, without: int) -> str:
    notes = [f"begun at {when(axis.sessions[0].began)}, {lasting(axis.work)} at work"]
    if len(axis.sessions) > 1:
        notes.append(f"{len(axis.sessions)} sessions, what lies between them left out (upright lines)")
    if without:
        notes.append(f"without times: {frame.count(without, 'trial')}, not measured or not by this program")
    return "; ".join(notes) + "."


def _busy(by_worker: Mapping[int, Sequence[Stint]], axis: Shifts) -> str:
    rows, total = [], 0.0
    for worker, own in by_worker.items():
        found = busy(own)
        total += found.seconds
        idle = lasting(found.idle) if found.trials > 1 else ""
        rows.append(_busy_row(str(worker + 1), found.trials, found.seconds, axis.work, idle))
    if len(by_worker) > 1:
        many = sum(map(len, by_worker.values()))
        rows.append(_busy_row("all", many, total, axis.work * len(by_worker), ""))
    header = ("worker", "trials", "measuring", "of the time at work", "longest between two trials")
    return table(header, rows, about="how busy each worker was")


def _busy_row(name: str, trials: int, seconds: float, work: float, idle: str) -> tuple[str, ...]:
    share = 100 * seconds / work if work else 0.0
    return name, str(trials), text(lasting(seconds)), f"{share:.{0 if share >= 10 else 1}f} %", text(idle)


def _clocked(
    run: Watched, stints: Sequence[Stint], rows: Mapping[tuple[str, int], Row], axis: Shifts, workers: int
) -> list[Piece]:
    """A stretch per stint; in a row of very many those that would lie on each other are one."""
    cells: dict[int, list[Stint]] = {}
    for place, one in enumerate(sorted(stints, key=lambda one: one.began)):
        middle = axis.at(one.session, (one.began + one.ended) / 2)
        cell = place if len(stints) <= FINE else int(MOST / max(2, workers) * middle / (axis.length or 1.0))
        cells.setdefault(cell, []).append(one)
    pieces = []
    for group in cells.values():
        own = [rows[one.branch, one.number] for one in group]
        best = next((row for row in own if row.keep), next((row for row in own if not row.failed), own[0]))
        begin, end = group[0], max(group, key=lambda one: one.ended)
        outer = "" if best.level == run.levels[0] else "outer "
        times = f"{when(begin.began)[11:]}, {lasting(begin.ended - begin.began)}"
        said = f"{_said(best)} · {times}" if len(group) == 1 else _together(own, begin, end)
        span = axis.at(begin.session, begin.began), axis.at(end.session, end.ended)
        pieces.append(Piece(*span, f"{outer}{_kind(best)}", said, _href(run, best)))
    return pieces


def _together(rows: Sequence[Row], begin: Stint, end: Stint) -> str:
    kept, failed = sum(row.keep for row in rows), sum(row.failed for row in rows)
    said = f"{len(rows)} trials, {kept} kept, {failed} without a score"
    return f"{said} · {when(begin.began)[11:]} to {when(end.ended)[11:]}"


# ---- by order ----


def _levels(run: Watched, inner: Sequence[Row]) -> str:
    found, named = spans(inner), dict[str, list[Piece]]()
    for level in reversed(run.levels[1:]):
        pieces = named.setdefault(frame.level_title(level), [])
        for row in run.rows(level):
            span = found.get((row.branch, row.number))
            if span is not None:
                pieces.append(Piece(span.first, span.end, f"outer {_kind(row)}", _said(row), _href(run, row)))
    for arm in dict.fromkeys("control" if _is_control(row) else "" for row in inner):
        own = [(place, row) for place, row in enumerate(inner) if _is_control(row) == bool(arm)]
        title = f"{frame.level_title(run.levels[0])}{', controls' if arm else ''}"
        named[title] = _pieces(run, own)
    drawn = lanes(named, len(inner), f"{len(inner)} trials of level 1 and the outer trials that they belong to")
    return section("Levels", _key() + f"<figure>{drawn}</figure>", ORDER)


def _is_control(row: Row) -> bool:
    return row.arm not in ("", "challenger")


def _kind(row: Row) -> str:
    return "failed" if row.failed else "kept" if row.keep else "discarded"


def _said(row: Row) -> str:
    arm = f" ({row.arm})" if row.arm else ""
    return f"{frame.level_title(row.level)}, trial {row.number}{arm}: {frame.changed(row)} · {_kind(row)}: {row.reason}"


def _href(run: Watched, row: Row) -> str:
    return address(run.key, f"trial/{row.number}", branch=row.branch)


def _pieces(run: Watched, rows: Sequence[tuple[int, Row]]) -> list[Piece]:
    """A stretch per trial; in a long run neighbours of one kind are one stretch."""
    if len(rows) <= MOST // 3:
        return [Piece(place, place + 1, _kind(row), _said(row), _href(run, row)) for place, row in rows]
    pieces: list[Piece] = []
    step = max(1, -(-len(rows) // MOST))
    for begin in range(0, len(rows), step):
        group = rows[begin : begin + step]
        _, row = next((one for one in group if one[1].keep), group[0])
        begin, end = group[0][0], group[-1][0] + 1
        if pieces and pieces[-1].kind == _kind(row) and pieces[-1].end == begin:
            pieces[-1] = pieces[-1]._replace(end=end)
        else:
            pieces.append(Piece(begin, end, _kind(row), _said(row), _href(run, row)))
    return pieces


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
