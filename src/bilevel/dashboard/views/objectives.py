"""What is looked at beside the objective: the front of several objectives, and the guardrails with the room left."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import Page, address, count, facts, nothing, section, table, trial_link
from bilevel.dashboard.planes import Dot, plane, strip
from bilevel.dashboard.records import Row
from bilevel.dashboard.watched import Known, Watched
from bilevel.fronts import Axis, Front
from bilevel.guardrails import Guardrail, Room, room
from bilevel.levels import leaf

MOST = 200  # rows of a table
JUDGED = ("ok", "guardrail", "invalid_metric")  # statuses of trials whose metrics were held against the guardrails


def objectives(run: Watched, query: Mapping[str, str]) -> Page:
    rows = run.inner
    if not run.weighs:
        said = f"Task {leaf(run.spec).task.name} has one objective and no guardrails, so there is nothing to weigh."
        return Page("Objectives", nothing(said), run, "objectives")
    if not rows:
        return Page("Objectives", nothing("Nothing is measured yet."), run, "objectives")
    parts = [_front(run, rows, run.summary(run.patience))] if run.objective.also else []
    parts += [_guardrails(run, rows)] if run.objective.guardrails else []
    return Page("Objectives", "".join(parts), run, "objectives")


# ---- the front ----


def _front(run: Watched, rows: Sequence[Row], known: Known) -> str:
    front = None if known.summary is None else known.summary.front
    if front is None:
        said = known.trouble or "This page fills itself as soon as the run is summed up."
        return section("The front", nothing(said))
    numbers = {
        "on the front": text(f"{len(front.points)} of {front.measured} candidates"),
        "without all metrics": text(front.incomplete or ""),
        "hypervolume": text("" if front.volume is None else f"{front.volume:.6g}"),
    }
    header = ("objective", "direction", "noise margin", "reference")
    axes = [
        (text(_name(axis)), text(axis.direction), text(f"{axis.margin:.3g}"), text(_value(axis.reference)))
        for axis in front.axes
    ]
    note = "The candidates that no other one dominates: as good everywhere, and better somewhere beyond the noise."
    body = facts(numbers) + "".join(_plane(run, rows, front, place) for place in range(1, len(front.axes)))
    return section("The front", body + table(header, axes, left=(0, 1), about="objectives"), note) + _points(run, front)


def _name(axis: Axis) -> str:
    return f"{axis.name} ({axis.unit})" if axis.unit else axis.name


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _plane(run: Watched, rows: Sequence[Row], front: Front, place: int) -> str:
    """The objective upwards, a further one across."""
    up, across = front.axes[0], front.axes[place]
    on, behind, met = set(point.trial for point in front.points), list[Dot](), list[Dot]()
    for row, values in _measured(run, rows):
        name = f"{row.branch}#{row.number}"
        said = f"trial {row.number}: {across.name} {values[place]:.6g}, {up.name} {values[0]:.6g}; {frame.changed(row)}"
        href = address(run.key, f"trial/{row.number}", branch=row.branch)
        kind = "best" if name in on else "start" if row.number == 0 else "behind"
        (met if name in on else behind).append(Dot(values[place], values[0], kind, said, href))
    lower = across.direction == "minimize", up.direction == "minimize"
    said = f"{len(met)} candidates on the front and {len(behind)} behind it, by {across.name} and {up.name}"
    drawn, left = plane(behind, met, (across.margin, up.margin), lower, len(front.axes) == 2, said)
    ways = {axis.name: "down" if axis.direction == "minimize" else "up" for axis in (up, across)}
    better = f"better is {ways[up.name]} and to the {'left' if lower[0] else 'right'}"
    notes = [f"{_name(up)} over {_name(across)}; {better}; crosses: the noise margins of each candidate on the front"]
    notes += [f"without a mark of their own: {count(left, 'candidate')}"] if left else []
    key = "".join(
        f'<li><svg class="key" aria-hidden="true"><circle class="{kind}" cx="50%" cy="7" r="4"/></svg>{said}</li>'
        for kind, said in (("best", "on the front"), ("behind", "dominated"), ("start", "the baseline"))
    )
    caption = f"<figcaption>{text('; '.join(notes))}.</figcaption>"
    return f'<ul class="legend">{key}</ul><figure>{drawn}{caption}</figure>'


def _measured(run: Watched, rows: Iterable[Row]) -> list[tuple[Row, tuple[float, ...]]]:
    """Where candidates lie, each once: as `pareto.points_of` has it."""
    found: dict[str, tuple[Row, tuple[float, ...]]] = {}
    out = set[str]()
    for row in rows:
        out.update(row.fallen)
        columns = [[one[aim.name] for one in row.measured if aim.name in one] for aim in run.objective.also]
        if row.score is not None and all(columns) and row.candidate not in found:
            found[row.candidate] = row, (row.score, *(sum(column) / len(column) for column in columns))
    return [point for name, point in found.items() if name not in out]


def _points(run: Watched, front: Front) -> str:
    rows = []
    first, lower = front.axes[0].name, front.axes[0].direction == "minimize"
    for point in sorted(front.points, key=lambda one: one.values[first], reverse=not lower)[:MOST]:
        branch, _, trial = point.trial.rpartition("#")
        changes = [f"{name} {old!r} → {new!r}" for name, (old, new) in point.changes.items()]
        said = ", ".join([*changes, *(f"{name} edited" for name in point.files)]) or "the baseline"
        values = (text(f"{point.values[axis.name]:.6g}") for axis in front.axes)
        rows.append(
            (trial_link(run.key, branch, int(trial), kind="row"), *values, f'<span class="wrap">{text(said)}</span>')
        )
    header = ("trial", *(_name(axis) for axis in front.axes), "change from the baseline")
    note = f"The best {MOST} of {len(front.points)}." if len(front.points) > MOST else ""
    return section("Candidates on the front", table(header, rows, left=(len(header) - 1,), about="the front"), note)


# ---- guardrails ----


@dataclass(frozen=True)
class Judged:
    """A trial that was held against a guardrail; no `room`: the metric is missing in one of its runs."""

    place: int
    row: Row
    room: Room | None


def _guardrails(run: Watched, rows: Sequence[Row]) -> str:
    judged = [_judged(run, rows, guardrail) for guardrail in run.objective.guardrails]
    header = ("guardrail", "held", "broken", "missing", "baseline", "least room of a kept one")
    made, charts, broken = list[tuple[str, ...]](), [], []
    for guardrail, found in zip(run.objective.guardrails, judged, strict=True):
        known = [(one, one.room) for one in found if one.room is not None]
        over = [(one, where) for one, where in known if where.left < 0]
        kept = [where.left for one, where in known if one.row.keep and one.row.number > 0]
        start = [where.value for one, where in known if one.row.number == 0]
        cells = (len(known) - len(over), len(over), len(found) - len(known))
        made.append(
            (
                text(guardrail),
                *map(str, cells),
                text(_value(start[0] if start else None)),
                text(_value(min(kept) if kept else None)),
            )
        )
        charts.append(_strip(run, guardrail, known, len(rows)))
        broken += [(one, where, str(guardrail)) for one, where in over]
    note = (
        "Who breaks one has no score. Of a bound the worst run counts; of one relative to the baseline the mean, with "
        "room for noise. A trial that breaks several is counted for each."
    )
    return section("Guardrails", table(header, made) + "".join(charts), note) + _broken(run, broken)


def _judged(run: Watched, rows: Sequence[Row], guardrail: Guardrail) -> list[Judged]:
    inner = leaf(run.spec)
    first = rows[0]
    baseline = [one[guardrail.metric] for one in first.measured if guardrail.metric in one]
    baseline = baseline if first.rung == inner.top else []
    found = []
    for place, row in enumerate(rows):
        if row.status not in JUDGED or row.rung != inner.top or not row.measured:
            continue
        values = [one[guardrail.metric] for one in row.measured if guardrail.metric in one]
        whole = len(values) == len(row.measured)
        start = baseline if row.number > 0 else []
        where = room(guardrail, values, start, inner.rules) if whole else None
        if whole and where is None:  # the baseline, of which a relative bound says nothing
            where = Room(sum(values) / len(values), sum(values) / len(values), 0.0)
        found.append(Judged(place, row, where))
    return found


def _strip(run: Watched, guardrail: Guardrail, known: Sequence[tuple[Judged, Room]], last: int) -> str:
    if not known:
        return ""
    dots = [
        Dot(
            one.place + 0.5,
            where.value,
            "broken" if where.left < 0 else "kept" if one.row.keep else "held",
            f"trial {one.row.number}: {guardrail.metric} {where.value:.6g}, {_left(one, where)}",
            address(run.key, f"trial/{one.row.number}", branch=one.row.branch),
        )
        for one, where in known
    ]
    bound = known[-1][1].bound
    over = sum(where.left < 0 for _, where in known)
    said = f"{guardrail.metric} of {count(len(known), 'trial')}, of which {over} beyond the bound of {bound:.6g}"
    drawn, left = strip(dots, bound, last, said)
    noisy = " (with room for the noise of as many runs as the last trial had)" if guardrail.worse_by_at_most else ""
    notes = [f"{guardrail.metric} over the trials of level 1; the line is the bound{noisy}; × breaks it, ● was kept"]
    notes += [f"without a mark of their own: {count(left, 'trial')}"] if left else []
    caption = f"<figcaption>{text('; '.join(notes))}.</figcaption>"
    return f"<h3>{text(guardrail)}</h3><figure>{drawn}{caption}</figure>"


def _left(one: Judged, where: Room) -> str:
    if one.row.number == 0:
        return "the baseline"
    return f"over by {-where.left:.4g}" if where.left < 0 else f"{where.left:.4g} left"


def _broken(run: Watched, broken: Sequence[tuple[Judged, Room, str]]) -> str:
    """Which candidates broke which, newest first."""
    ordered = sorted(broken, key=lambda each: -each[0].place)
    rows = [
        (
            trial_link(run.key, one.row.branch, one.row.number, kind="row"),
            text(one.row.arm),
            f'<span class="wrap">{text(frame.changed(one.row))}</span>',
            text(guardrail),
            text(f"{where.value:.6g}"),
            text(f"{where.bound:.6g}"),
            text(f"{-where.left:.4g}"),
        )
        for one, where, guardrail in ordered[:MOST]
    ]
    if not rows:
        return section("Broken by", nothing("No candidate broke one."))
    header = ("trial", "arm", "change", "guardrail", "value", "bound", "over by")
    note = f"The newest {MOST} of {len(ordered)}." if len(ordered) > MOST else ""
    return section("Broken by", table(header, rows, left=(1, 2, 3), about="who broke a guardrail"), note)
