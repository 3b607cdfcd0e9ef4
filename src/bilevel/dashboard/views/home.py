"""All runs on show, and several of them side by side."""

import shlex
from collections.abc import Sequence
from urllib.parse import urlencode

from bilevel.compare.drawing import text
from bilevel.compare.style import kind
from bilevel.dashboard import frame
from bilevel.dashboard.charts import Line, best_so_far, overlaid, spark
from bilevel.dashboard.frame import Page, address, link, nothing, number, section, table
from bilevel.dashboard.shelf import Entry, Shelf
from bilevel.dashboard.watched import Watched
from bilevel.errors import InputError
from bilevel.levels import leaf
from bilevel.tasks.absent import Absent

MOST = 30  # runs side by side: as many kinds of line there are


def home(shelf: Shelf) -> Page:
    """The list of runs; each box chooses a run for the comparison."""
    shelf.find()
    if not shelf.entries:
        where = ", ".join(map(str, shelf.folders))
        said = f"There is no run yet below {where}; `bilevel run` makes one, and it appears here."
        return Page("Runs", nothing(said), up="")
    parts, grouped = [], {name: [e for e in shelf.entries.values() if e.group == name] for name in ("", *shelf.groups)}
    for name, entries in grouped.items():
        if not entries:
            continue
        rows = [_row(shelf, entry) for entry in entries]
        gone = _gone([entry.run for entry in entries])
        header = ("", "run", "state", "task", "trials", "baseline", "best", "gain", "best so far")
        body = table(header, rows, left=(0, 1, 2, 3, 8), about=name or "runs")
        if name:
            keys = [entry.key for entry in entries][:MOST]
            command = f"bilevel report {shlex.quote(str(shelf.groups[name].path))}"
            report = f'<a href="/comparison/{text(name)}">its report</a>'
            report = report if shelf.groups[name].page else f"no report yet: <code>{text(command)}</code> writes one"
            side = f'<a href="{text(side_by_side(keys))}">its runs side by side</a>'
            parts.append(section(f"Comparison {name}", f"<p>{report} · {side}</p>{gone}{body}"))
        else:
            parts.append(gone + body)
    button = '<p><button type="submit">side by side</button> <span class="soft">the runs that are ticked</span></p>'
    return Page("Runs", f'<form action="/compare" method="get">{"".join(parts)}{button}</form>', up="")


def _gone(runs: Sequence[Watched | None]) -> str:
    """That tasks of some runs cannot be opened, and why."""
    tasks = [leaf(run.spec).task for run in runs if run is not None]
    whys = [task.why for task in tasks if isinstance(task, Absent)]
    if not whys:
        return ""
    whose = "these runs" if len(whys) == len(runs) else f"{len(whys)} of these {len(runs)} runs"
    said = f"The task of {whose} cannot be opened ({'; '.join(dict.fromkeys(whys))}): this is what the records hold."
    return f'<p class="warn">{text(said)}</p>'


def side_by_side(keys: Sequence[str]) -> str:
    return "/compare?" + urlencode([("run", key) for key in keys])


def _row(shelf: Shelf, entry: Entry) -> tuple[str, ...]:
    run = shelf.opened(entry.key)
    box = f'<input type="checkbox" name="run" value="{text(entry.key)}" aria-label="choose {text(entry.key)}">'
    if run is None:
        said = f'<span class="wrap">{text(entry.trouble)}</span>'
        return ("", text(entry.key), frame.state("not readable"), said, "", "", "", "", "")
    rows = run.inner
    steps = best_so_far(rows, run.objective)
    first = rows[0].score if rows else None
    best = steps[-1][1] if steps else None
    better = "" if first is None or best is None else f"{run.objective.gain(first, best):+.4g}"
    return (
        box,
        link(address(run.key), entry.key, "row"),
        frame.state(run.state),
        text(leaf(run.spec).task.name),
        str(len(rows)),
        text("" if first is None else number(first)),
        text("" if best is None else number(best)),
        text(better),
        spark(rows, run.objective),
    )


def together(shelf: Shelf, keys: Sequence[str]) -> Page:
    """Runs side by side. Raises InputError for a run that is not on show."""
    if not keys:
        raise InputError("no run was chosen; tick some on the page of all runs")
    if len(keys) > MOST:
        raise InputError(f"{len(keys)} runs are too many for one picture; choose at most {MOST}")
    runs = [shelf.run(key) for key in dict.fromkeys(keys)]
    for run in runs:
        run.look()
    kinds = {run.key: kind(place) for place, run in enumerate(runs)}
    aims = {(run.objective.name, run.objective.unit, run.objective.minimize, leaf(run.spec).task.name) for run in runs}
    parts = [_gone(runs)]
    if len(aims) > 1:
        said = "These runs have different tasks or objectives: their scores cannot be compared."
        parts.append(f'<p class="warn">{text(said)}</p>')
    else:
        parts.append(_curves(runs, kinds))
    parts.append(section("Numbers", _numbers(runs, kinds)))
    parts.append(section("What the best candidates have", _values(runs), "Only parameters that differ somewhere."))
    note = "One run each is an illustration; `bilevel compare` says what a difference is worth."
    parts.append(f'<p class="soft">{text(note)}</p>')
    return Page("Side by side", "".join(parts), keys=[run.key for run in runs])


def _curves(runs: Sequence[Watched], kinds: dict[str, str]) -> str:
    lines = [Line(kinds[run.key], best_so_far(run.inner, run.objective), len(run.inner)) for run in runs]
    objective = runs[0].objective
    drawn = overlaid(lines, "; ".join(f"{run.key} ends at {number(_best(run))}" for run in runs))
    if not drawn:
        return nothing("No trial has a score yet.")
    legend = "".join(f"<li>{frame.stroke(kinds[run.key])}{link(address(run.key), run.key)}</li>" for run in runs)
    unit = f" ({objective.unit})" if objective.unit else ""
    caption = f"best {objective.name}{unit} so far, over the trials of level 1, all arms"
    return section(
        "Best so far",
        f'<ul class="legend">{legend}</ul><figure>{drawn}<figcaption>{text(caption)}</figcaption></figure>',
    )


def _best(run: Watched) -> float | None:
    steps = best_so_far(run.inner, run.objective)
    return steps[-1][1] if steps else None


def _numbers(runs: Sequence[Watched], kinds: dict[str, str]) -> str:
    made = []
    for run in runs:
        rows, best = run.inner, _best(run)
        first = rows[0].score if rows else None
        gain = "" if first is None or best is None else f"{run.objective.gain(first, best):+.4g}"
        calls = run.store.calls()
        made.append(
            (
                frame.stroke(kinds[run.key]) + link(address(run.key), run.key, "row"),
                frame.state(run.state),
                text(run.recipe.name),
                text(leaf(run.spec).researcher.name),
                text(leaf(run.spec).task.name),
                str(run.spec.seed),
                str(len(rows)),
                str(sum(row.keep for row in rows[1:])),
                str(sum(row.failed for row in rows)),
                str(len({row.candidate for row in rows})),
                text(number(first)),
                text(number(best)),
                text(gain),
                str(sum(row.evaluations for row in rows)),
                f"{sum(call.cost.tokens for call in calls):,}",
            )
        )
    header = (
        "run",
        "state",
        "recipe",
        "researcher",
        "task",
        "seed",
        "trials",
        "kept",
        "no score",
        "distinct",
        "baseline",
        "best seen",
        "gain",
        "measurements",
        "tokens",
    )
    return table(header, made, left=(0, 1, 2, 3, 4), about="numbers")


def _values(runs: Sequence[Watched]) -> str:
    found = []
    for run in runs:
        rows, steps = run.inner, best_so_far(run.inner, run.objective)
        found.append(run.store.plain(rows[steps[-1][0]].candidate).params if steps else {})
    names = [
        name
        for name in dict.fromkeys(name for params in found for name in params)
        if len({repr(params.get(name)) for params in found}) > 1
    ]
    made = [(text(name), *(frame.value(params[name]) if name in params else "" for params in found)) for name in names]
    return table(("parameter", *(run.key for run in runs)), made) if made else nothing("None differs.")
