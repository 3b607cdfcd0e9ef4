"""What was tried of each parameter, and what went with it."""

from collections.abc import Mapping, Sequence
from typing import Any

from bilevel.cli.ladders import cut
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.charts import best_so_far, parallel, scatter, share_bar, thinned, vertical
from bilevel.dashboard.frame import Page, nothing, section, table
from bilevel.dashboard.importance import FEWEST, importance
from bilevel.dashboard.records import Row
from bilevel.dashboard.watched import Watched
from bilevel.levels import leaf
from bilevel.space import Bool, Choice, Domain, Float, Int

LINES = 240  # trials in the picture of all parameters
POINTS = 300  # in that of one
AXES = 24
BEST = 0.1  # the share of trials that is marked as the best


def parameters(run: Watched, query: Mapping[str, str]) -> Page:
    space = leaf(run.spec).task.space
    scored = [row for row in run.inner if row.score is not None]
    known = {row.candidate: run.store.plain(row.candidate).params for row in scored}
    names = [name for name in space.domains if any(name in params for params in known.values())]
    if not scored or not names:
        said = "No trial has a score yet." if not scored else "The task has no parameters: candidates are files."
        return Page("Parameters", nothing(said), run, "parameters")
    values = {name: [known[row.candidate].get(name) for row in scored] for name in names}
    moved = [name for name in names if len({repr(value) for value in values[name]}) > 1]
    weights = {
        name: importance(values[name], [row.score or 0.0 for row in scored], space.domains[name])
        for name in moved
        if all(value is not None and space.domains[name].check(value) is None for value in values[name])
    }
    order = sorted(names, key=lambda name: (name not in moved, -(weights.get(name) or 0.0), names.index(name)))
    body = _together(run, scored, values, [name for name in order if name in moved][:AXES])
    note = (
        "Importance: the share of the variance of the scores' ranks that lies between groups of the parameter's values"
        f", corrected for chance; from {FEWEST} trials with a score on. It describes trials that the search chose, so "
        "parameters that changed together share what they did."
    )
    body += section("One by one", _each(run, scored, values, order, weights), note)
    return Page("Parameters", body, run, "parameters")


def _best_first(run: Watched, rows: Sequence[Row]) -> list[int]:
    """The run's best, then the others by score: one that was dropped may have the better score of a lucky seed."""
    sign = 1 if run.objective.minimize else -1
    steps = best_so_far(rows, run.objective)
    best = [steps[-1][0]] if steps else []
    return best + sorted(set(range(len(rows))) - {*best}, key=lambda place: (sign * (rows[place].score or 0.0), place))


def _together(run: Watched, rows: Sequence[Row], values: Mapping[str, Sequence[Any]], names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    domains = leaf(run.spec).task.space.domains
    order = _best_first(run, rows)
    best = order[: max(1, int(len(order) * BEST))]
    shown = [*thinned(order[len(best) :][::-1], LINES - min(len(best), 60)), *best[:60][::-1]]
    top = set(best)
    lines = []
    for place in shown:
        kind = "winner" if place == order[0] else "good" if place in top else "rest"
        shares = [_share(domains[name], values[name][place]) for name in names]
        lines.append((shares, kind, f"trial {rows[place].number}: {rows[place].score:.6g}"))
    axes = [(name, *_ends(domains[name])) for name in names]
    drawn = parallel(axes, lines, f"{len(shown)} trials over {len(names)} parameters")
    key = frame.legend([("winner", "the best"), ("good", "best tenth"), ("rest", "others")])
    note = f"{len(shown)} of {len(rows)} trials with a score; axes by importance, from left to right."
    wide = " wide" if len(names) > 8 else ""
    return section(
        "Together",
        f'{key}<div class="scroll{wide}" tabindex="0" role="region" aria-label="parallel coordinates">'
        f"<figure>{drawn}</figure></div>",
        note,
    )


def _share(domain: Domain, value: Any) -> float | None:
    return None if value is None or domain.check(value) is not None else min(1.0, max(0.0, domain.unit(value)))


def _ends(domain: Domain) -> tuple[str, str]:
    if isinstance(domain, Bool):
        return "False", "True"
    if isinstance(domain, Choice):
        return cut(str(domain.options[0]), 12), cut(str(domain.options[-1]), 12)
    return (_end(domain.low), _end(domain.high)) if isinstance(domain, Float | Int) else ("", "")


def _end(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _each(
    run: Watched,
    rows: Sequence[Row],
    values: Mapping[str, Sequence[Any]],
    names: Sequence[str],
    weights: Mapping[str, float | None],
) -> str:
    domains, up = leaf(run.spec).task.space.domains, vertical(rows, run.objective, 0.0)
    order = _best_first(run, rows)
    top = set(order[: max(1, int(len(order) * BEST))])
    some = thinned(range(len(rows)), POINTS)
    made = []
    for name in names:
        tried = {repr(value) for value in values[name]}
        weight = weights.get(name)
        bar = (
            ""
            if weight is None
            else share_bar(weight, f"importance {weight:.2f}") + f'<span class="num">{weight:.2f}</span>'
        )
        points = [
            (share, rows[place].score or 0.0, "good" if place in top else "rest")
            for place in some
            if (share := _share(domains[name], values[name][place])) is not None
        ]
        picture = scatter(points, up, f"scores over {name}") if len(tried) > 1 else ""
        made.append(
            (
                f"<strong>{text(name)}</strong>",
                text(_said(domains[name])),
                str(len(tried)),
                frame.value(values[name][0]),
                frame.value(values[name][order[0]]),
                f'<div class="bar">{bar}</div>',
                picture,
            )
        )
    header = ("parameter", "domain", "values tried", "baseline", "best", "importance", "score over value")
    return table(header, made, left=(0, 1, 3, 4, 5, 6), about="parameters")


def _said(domain: Domain) -> str:
    kind = type(domain).__name__.lower()
    if isinstance(domain, Choice):
        return cut(", ".join(map(repr, domain.options)), 40)
    low, high = _ends(domain)
    more = [word for word in ("log", "power_of_two", "locked") if getattr(domain, word, False)]
    return f"{kind} {low} … {high}{' ' + ', '.join(more).replace('_', ' ') if more else ''}" if low else kind
