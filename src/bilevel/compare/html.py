"""The comparison as one page: it loads nothing, works without a network, and follows the reader's light or dark.

All numbers come from the Result, in the words of `tables`; pictures stand beside the numbers that they show. Names of
arms, tasks and mechanisms are other people's text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bilevel.compare.drawing import (
    Curve,
    Scale,
    axis,
    curves,
    dot,
    ends,
    rank_diagram,
    scale_of,
    swatch,
    text,
)
from bilevel.compare.marking import block
from bilevel.compare.paired import LEVEL
from bilevel.compare.resampling import Estimate
from bilevel.compare.results import ArmResult, Result, only_one_has
from bilevel.compare.style import PAPER, STYLE, kind
from bilevel.compare.tables import (
    NOTHING,
    Table,
    appendix,
    heading,
    interval,
    number,
    p_value,
    patches,
    sealed_tables,
    sections,
    tables_of,
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LONG = 20  # rows of a table that is shown folded

Kinds = Mapping[str, str]
SAID = {"What may be said": "level 2", "What the best run": "best runs", "Trials without": "failures"}
SHORT = {
    "improvement": "improvement",
    "against": "differences",
    "curve": "any time",
    "ranks": "ranks",
    "spent": "spent",
    "repetition": "repetition",
    "keeps": "keeps",
    "ledger": "mechanisms",
    "sealed": "sealed test",
}


class Part(NamedTuple):
    """A part of the page: what a link to it says, its title, and what stands below, which is markup already."""

    short: str
    title: str
    body: str


def page(result: Result) -> str:
    """The page; it names no folder, so it stays true where the comparison is moved."""
    others = [arm.name for arm in result.arms if arm.name != result.reference]
    kinds = {arm.name: kind(None if arm.name == result.reference else others.index(arm.name)) for arm in result.arms}
    parts = [*_tables(result, kinds), *_words(result), _analysis(result), _again()]
    title = text(f"{', '.join(arm.name for arm in result.arms)} on {result.task}")
    links = "".join(f'<li><a href="#part-{n}">{text(part.short)}</a></li>' for n, part in enumerate(parts, 1))
    body = "\n".join(_section(f"part-{n}", part) for n, part in enumerate(parts, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}\n{PAPER}\n</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{_heading(result)}\n{_arms(result, kinds)}\n{_short(result)}\n"
        f'<nav aria-label="on this page"><ul>{links}</ul></nav>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _section(name: str, part: Part) -> str:
    title = text(f"{part.title[:1].upper()}{part.title[1:]}")
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{part.body}</section>'


def _heading(result: Result) -> str:
    return "\n".join(f'<p class="soft">{text(line)}</p>' for line in heading(result))


def _arms(result: Result, kinds: Kinds) -> str:
    """The arms with the colours that they have in all pictures."""
    rows = [
        f"<li>{swatch(kinds[arm.name])}<strong>{text(arm.name)}</strong> {text(arm.title)}"
        f"{' (the reference)' if arm.name == result.reference else ''}</li>"
        for arm in result.arms
    ]
    return f'<ul class="arms">{"".join(rows)}</ul>'


def _short(result: Result) -> str:
    """What came out, in a few lines: no more than the tables below say."""
    measured = [arm for arm in result.arms if arm.mean.value is not None]
    lines = []
    if measured:
        best = max(measured, key=lambda arm: arm.mean.value or 0.0)
        what = "score" if result.tasks else f"improvement of {result.objective}"
        lines.append(f"highest mean {what}: {best.name}, {interval(best.mean)}")
    apart = [(arm, arm.against) for arm in result.arms if arm.against is not None and arm.against.corrected is not None]
    base = next(arm for arm in result.arms if arm.name == result.reference)
    differing = [
        f"{arm.name} {interval(found.difference, signed=True)}, p {p_value(found.corrected)}"
        for arm, found in apart
        if found.corrected is not None and found.corrected <= LEVEL and not only_one_has(result.analysis, arm, base)
    ]
    if apart:
        said = "; ".join(differing) or "none"
        lines.append(f"arms that differ from {result.reference} at 5 % after Holm: {said}")
    helped = [claim.arm for claim in result.claims if claim.allowed]
    if result.claims:
        lines.append(f"arms of which may be said that level 2 helped: {', '.join(helped) or 'none'}")
    if result.missing:
        lines.append(f"missing runs: {len(result.missing)}, left out with their pairs")
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<div class="short"><strong>In short</strong><ul>{items}</ul></div>' if lines else ""


# ---- tables, and the pictures that belong to them ----


def _tables(result: Result, kinds: Kinds) -> list[Part]:
    parts, tasks = list[Part](), iter(result.tasks)
    for table in [*tables_of(result), *sealed_tables(result)]:
        short = SHORT.get(table.about, "")
        if table.about == "improvement":
            body = _with_dots(table, kinds, {arm.name: arm.mean for arm in result.arms}, "mean, and its interval")
        elif table.about == "against":
            differences = {arm.name: arm.against.difference for arm in result.arms if arm.against is not None}
            over = scale_of([end for one in differences.values() for end in ends(one)], zero=True)
            body = _with_dots(table, kinds, differences, f"right of the line: better than {result.reference}", over)
        elif table.about == "task":
            task = next(tasks)
            short = task.name
            body = _with_dots(table, kinds, {arm.name: arm.mean for arm in task.arms}, "mean, and its interval")
        elif table.about == "curve":
            body = _curves(result, kinds) + _table(_without(table, "curve"), kinds)
        elif table.about == "ranks":
            body = _ranks(result, kinds) + _table(table, kinds)
        elif table.about == "keeps":
            found = {arm.name: _percent(arm.survival.survived) for arm in result.arms if arm.survival is not None}
            body = _with_dots(table, kinds, found, "% that survived, and the interval", Scale(-5.0, 105.0), 50.0)
        else:
            body = _table(table, kinds)
        if len(table.rows) > LONG:
            body = f"<details><summary>{len(table.rows)} rows</summary>{body}</details>"
        parts.append(Part(short, table.title, body))
    return parts


def _with_dots(
    table: Table,
    kinds: Kinds,
    found: Mapping[str, Estimate],
    said: str,
    scale: Scale | None = None,
    mark: float = 0.0,
) -> str:
    """A table with a dot and an interval in each row; see `dot` for `mark`."""
    if all(one.value is None for one in found.values()):
        return _table(table, kinds)
    over = scale or scale_of([end for one in found.values() for end in ends(one)])
    head = f"{text(said)}{axis(over)}"
    return _table(table, kinds, head, lambda arm: dot(found[arm], over, kinds[arm], mark) if arm in found else "")


def _table(table: Table, kinds: Kinds, head: str = "", plot: Callable[[str], str] | None = None) -> str:
    first, *columns = table.header
    plotted = f'<th scope="col" class="plot">{head}</th>' if plot else ""
    names = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    rows = []
    for name, *cells in table.rows:
        mark = swatch(kinds[name]) if name in kinds else ""
        drawn = f'<td class="plot">{plot(name)}</td>' if plot else ""
        numbers = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{mark}{text(name)}</th>{drawn}{numbers}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(table.title)}"><table>\n'
        f'<thead><tr><th scope="col">{text(first)}</th>{plotted}{names}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
    )


def _percent(share: Estimate) -> Estimate:
    return Estimate(*(None if end is None else 100 * end for end in ends(share)))


def _without(table: Table, column: str) -> Table:
    kept = [n for n, name in enumerate(table.header) if name != column]
    rows = tuple(tuple(row[n] for n in kept) for row in table.rows)
    return Table(table.title, tuple(table.header[n] for n in kept), rows, table.about)


def _curves(result: Result, kinds: Kinds) -> str:
    """All curves together, then each with its band before that of the reference."""
    arms = [arm for arm in result.arms if arm.curve]
    if not arms:
        return ""
    across = Scale(0.0, result.budget)
    highest = [value for arm in arms for value in (*arm.curve, *(end for one in arm.band for end in ends(one)))]
    up = Scale(0.0, max((value for value in highest if value is not None), default=0.0) * 1.04 or 1.0)
    together = curves([Curve(kinds[arm.name], arm.curve) for arm in arms], across, up, _ends_at(arms))
    reference = [Curve("behind", arm.curve) for arm in arms if arm.name == result.reference]
    panels = []
    for arm in arms:
        behind = reference if arm.name != result.reference else []
        own = Curve(kinds[arm.name], arm.curve, arm.band)
        chart = curves([*behind, own], across, up, f"the curve of {_ends_at([arm])}", height=150)
        panels.append(f"<div><h3>{swatch(kinds[arm.name])}{text(arm.name)}</h3>{chart}</div>")
    unit = f" ({result.unit})" if result.unit else ""
    what = f"mean best {'score' if result.tasks else f'improvement of {result.objective}'} seen{unit}"
    return (
        f"<figure>{together}<figcaption>{text(what)} over {text(result.equal)} spent</figcaption></figure>\n"
        f'<figure><div class="panels">{"".join(panels)}</div><figcaption>each with its 95 % interval; the thin line '
        f"is {text(result.reference)}</figcaption></figure>\n"
    )


def _ends_at(arms: Sequence[ArmResult]) -> str:
    return "; ".join(f"{arm.name} ends at {number(arm.curve[-1])}" for arm in arms)


def _ranks(result: Result, kinds: Kinds) -> str:
    ranks = result.ranks
    if ranks is None:
        return ""
    order = sorted(ranks.average.items(), key=lambda item: item[1])
    rows = [(kinds[arm], arm, f"{arm} {rank:.2f}", rank) for arm, rank in order]
    said = "average ranks: " + ", ".join(label for _, _, label, _ in rows)
    drawn = rank_diagram(rows, ranks.critical_difference, said)
    return f"<figure>{drawn}<figcaption>a bar joins arms that cannot be told apart</figcaption></figure>\n"


# ---- words ----


def _words(result: Result) -> list[Part]:
    """Claims, missing runs, notes and isolation; the claims with their state."""
    claims = {claim.text: claim.allowed for claim in result.claims}
    found = []
    for title, lines in [*sections(result), *appendix(result)]:
        if any(line in claims for line in lines):
            marked = ((line, "claim yes" if claims.get(line) else "claim") for line in lines)
            body = "".join(f'<p class="{state}">{text(line)}</p>' for line, state in marked)
        else:
            body = f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"
        short = next((short for begin, short in SAID.items() if title.startswith(begin)), title.lower())
        found.append(Part(short, title, body))
    changed = "".join(f"<h3>{text(title)}</h3>\n{block(patch, 'diff')}" for title, patch in patches(result))
    return [*found, *([Part("changed files", "What it changed in files", changed)] if changed else [])]


def _analysis(result: Result) -> Part:
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(said)}</dd>" for name, said in result.analysis.items())
    return Part(
        "analysis",
        "The analysis, as planned before anything ran",
        f"<details><summary>how each number is made</summary><dl>{items or NOTHING}</dl></details>",
    )


def _again() -> Part:
    """The commands that print it again, and that make it again."""
    return Part(
        "how to reproduce it",
        "How to reproduce it",
        "<p>plan.json beside this page holds all that decides the comparison. In the folder of this page, the first "
        "command prints it again from its records, the second computes each number of it again, the other two run the "
        "same plan anew, with the same hash. A task "
        "that is Python code must be importable there.</p>\n"
        '<pre tabindex="0">bilevel compare --folder .\n'
        "bilevel verify .\nmkdir ../again &amp;&amp; cp plan.json ../again/\nbilevel compare --folder ../again</pre>\n"
        "<p>Each run is a run folder below it, which bilevel show and bilevel replay open.</p>",
    )
