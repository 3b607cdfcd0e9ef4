"""What all pages have in common: the frame with its links, tables, and how things are named.

All text of programs, models and persons goes through `text`: nothing in it is markup.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from bilevel.cli.ladders import cut
from bilevel.cli.printing import LEVEL_TITLES
from bilevel.compare.drawing import text
from bilevel.dashboard.records import Changes, Row
from bilevel.dashboard.watched import Watched
from bilevel.trial import Pending

VIEWS = {
    "": "overview",
    "trials": "trials",
    "timeline": "timeline",
    "lineage": "lineage",
    "parameters": "parameters",
    "mechanisms": "mechanisms",
    "calls": "sessions",
    "costs": "costs",
    "steering": "steering",
    "claims": "claims",
    "objectives": "objectives",
}
LETTERS = {"claims": "c", "objectives": "o"}  # keys of the views that have no digit
KEYS = {
    "1 to 9": "the views of a run",
    "c, o": "its claims; its further objectives and guardrails, where it has some",
    "0": "all runs",
    "j, k": "next and previous row or link of the list",
    "Enter": "open it",
    "arrow keys": "in a timeline: along a row, and to the rows above and below",
    "[ and ]": "previous and next (trial, call, page)",
    "u": "up",
    "?": "this help",
}
STATES = {"finished": "good", "running": "busy", "paused": "still", "gate": "still", "limit": "good"}
SHOWN = 3  # changes of a trial that a line names


@dataclass(frozen=True)
class Page:
    """A page: its title, its body (markup), and the run and view that it belongs to.

    `keys`: the runs whose news concern it, where that is not its run alone. `previous`, `next`, `up`: addresses.
    """

    title: str
    body: str
    run: Watched | None = None
    view: str | None = None
    keys: Sequence[str] = ()
    previous: str = ""
    next: str = ""
    up: str = "/"
    status: int = 200


def address(key: str, view: str = "", **query: object) -> str:
    """The address of a run's view."""
    path = f"/run/{quote(key, safe='~')}" + (f"/{view}" if view else "")
    said = {name: str(value) for name, value in query.items() if value not in ("", None)}
    return path + (f"?{urlencode(said)}" if said else "")


def link(target: str, said: str, kind: str = "") -> str:
    """A link; `said` is text, not markup."""
    return f'<a href="{text(target)}"{_class(kind)}>{text(said)}</a>'


def trial_link(key: str, branch: str, number: int, said: str = "", kind: str = "") -> str:
    return link(address(key, f"trial/{number}", branch=branch), said or str(number), kind)


def document(page: Page, version: str) -> str:
    """The whole document."""
    run = page.run
    tabs = ""
    if run is not None:
        items = []
        for number, (view, name) in enumerate(VIEWS.items(), 1):
            here = ' aria-current="page"' if view == page.view else ""
            key = LETTERS.get(view, str(number))
            if view != "objectives" or run.weighs:
                items.append(f'<li><a href="{address(run.key, view)}" data-key="{key}"{here}>{name}</a></li>')
        tabs = f'<nav class="views" aria-label="views of this run"><ul>{"".join(items)}</ul></nav>'
    named = (
        f'<span class="path"><a href="{address(run.key)}">{text(run.key)}</a></span>{state(run.state)}' if run else ""
    )
    gone = f'<p class="warn">{text(run.gone[:1].upper() + run.gone[1:])}</p>\n' if run and run.gone else ""
    keys = page.keys or ([run.key] if run else [])
    events = "/events?" + urlencode([*(("run", key) for key in keys), ("seen", version)])
    moves = "".join(
        f' data-{name}="{text(target)}"'
        for name, target in (("previous", page.previous), ("next", page.next), ("up", page.up))
        if target
    )
    rows = "".join(f"<dt><kbd>{text(key)}</kbd></dt><dd>{text(what)}</dd>" for key, what in KEYS.items())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(page.title)}{f' · {text(run.key)}' if run else ''} · bilevel</title>\n"
        '<link rel="icon" href="/favicon.svg" type="image/svg+xml">\n'
        '<link rel="stylesheet" href="/dashboard.css">\n<script src="/dashboard.js" defer></script>\n</head>\n'
        f'<body data-events="{text(events)}"{moves}>\n<a class="skip" href="#main">to the content</a>\n'
        f'<header id="top"><p class="where"><a class="home" href="/" data-key="0">bilevel</a>{named}'
        '<span class="pulse" id="pulse" role="status">no live updates</span></p>'
        f"{tabs}</header>\n"
        f'<main id="main" tabindex="-1">\n<h1>{text(page.title)}</h1>\n{gone}{page.body}\n</main>\n'
        '<footer><button type="button" id="keys">keys <kbd>?</kbd></button></footer>\n'
        f'<dialog id="help" aria-label="keys"><h2>Keys</h2><dl>{rows}</dl>'
        '<form method="dialog"><button>close</button></form></dialog>\n</body>\n</html>\n'
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


# ---- parts ----


def state(word: str) -> str:
    """A run's state; the word says it, the colour only repeats it."""
    return f'<span class="state {STATES.get(word, "still")}">{text(word)}</span>'


def section(title: str, body: str, note: str = "") -> str:
    """A part of a page with its heading; `note` is text."""
    said = f'<p class="soft">{text(note)}</p>' if note else ""
    return f"<section><h2>{text(title)}</h2>{said}{body}</section>\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int] = (0,), about: str = "") -> str:
    """A table of cells that are markup already; the columns in `left` hold words."""
    kinds = ["w" if place in left else "" for place in range(len(header))]
    names = "".join(_cell("th", kind, text(name), ' scope="col"') for kind, name in zip(kinds, header, strict=True))
    body = "".join(
        "<tr>" + "".join(_cell("td", kind, cell) for kind, cell in zip(kinds, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(about or header[0])}"><table>'
        f"<thead><tr>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def _cell(tag: str, kind: str, cell: str, more: str = "") -> str:
    return f"<{tag}{more}{_class(kind)}>{cell}</{tag}>"


def facts(pairs: Mapping[str, str]) -> str:
    """Names and what is said of them, which is markup."""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{said}</dd></div>" for name, said in pairs.items() if said)
    return f'<dl class="facts">{items}</dl>\n'


def legend(kinds: Sequence[tuple[str, str]], more: str = "") -> str:
    """What the lines of a picture are: their classes and names; `more` is further items, in markup."""
    items = "".join(f"<li>{stroke(kind)}{text(name)}</li>" for kind, name in kinds)
    return f'<ul class="legend">{items}{more}</ul>'


def stroke(kind: str) -> str:
    """A piece of a line of this class."""
    inside = f'<line class="{kind}" x1="0" x2="100%" y1="7" y2="7"/>'
    if kind == "band":
        inside = '<rect class="bandkey" width="100%" height="10" y="2"/>'
    return f'<svg class="key" aria-hidden="true">{inside}</svg>'


def nothing(said: str) -> str:
    """In place of what is not there yet."""
    return f'<p class="nothing">{text(said)}</p>\n'


def code(source: str, kind: str = "") -> str:
    """A text as it is, with its line breaks."""
    return f'<pre tabindex="0"{_class(kind)}>{text_lines(source)}</pre>\n'


def text_lines(source: str) -> str:
    """A long text; tabs are kept as spaces, since they say how it is indented."""
    return text(source.expandtabs(4))


def diff(lines: Iterable[str]) -> str:
    """A unified diff, its lines told apart by their first character and by colour."""
    kinds = {"+": "ins", "-": "del", "@": "at"}
    shown = []
    for line in lines:
        kind = "" if line.startswith(("+++", "---")) else kinds.get(line[:1], "")
        said = text_lines(line.rstrip("\n"))
        shown.append(f'<span class="{kind}">{said}</span>' if kind else said)
    return f'<pre class="diff" tabindex="0">{chr(10).join(shown)}</pre>\n'


def pager(target: Callable[[int], str], page: int, pages: int, what: str = "page") -> str:
    """Links to the neighbouring pages of a long list."""
    if pages < 2:
        return ""
    parts = [f'<a href="{text(target(page - 1))}" rel="prev">‹ previous</a>' if page > 1 else "<span>‹ previous</span>"]
    parts.append(f"<span>{text(what)} {page} of {pages}</span>")
    parts.append(f'<a href="{text(target(page + 1))}" rel="next">next ›</a>' if page < pages else "<span>next ›</span>")
    return f'<nav class="pager" aria-label="pages">{"".join(parts)}</nav>'


# ---- words ----


def level_title(level: str) -> str:
    return LEVEL_TITLES.get(level, level)


def number(value: float | None, unit: str = "") -> str:
    """A score as text; "none" is not a number."""
    return "none" if value is None else f"{value:.6g}{f' {unit}' if unit else ''}"


def count(many: int, what: str) -> str:
    """So many of a thing, in words."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def changed(row: Row) -> str:
    """What a trial changed, in a few words."""
    return _in_words(row.number, row.changes, row.files)


def asked(pending: Pending) -> str:
    """What a trial that is under way changes, in a few words."""
    old, new = pending.parent.files, pending.proposal.candidate.files
    files = sorted(name for name in {**old, **new} if old.get(name) != new.get(name))
    return _in_words(pending.number, {name: (c.old, c.new) for name, c in pending.changes.items()}, files)


def _in_words(number: int, changes: Changes, files: Sequence[str]) -> str:
    if number == 0:
        return "baseline"
    if "order" in changes or "newest" in changes:
        gone, come = _moved(changes, files)
        said = [f"+ {name}" for name in come] + [f"− {name}" for name in gone]
        return ", ".join(said) or "nothing"
    shown = [f"{name} {old!r} → {new!r}" for name, (old, new) in changes.items()]
    shown += [f"{name} edited" for name in files]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return cut(", ".join(shown[:SHOWN]) + more) or "no change"


def moves(row: Row) -> tuple[list[str], list[str]]:
    """The mechanisms that a trial of an outer loop took out of its set, and those that it put in or rewrote."""
    return _moved(row.changes, row.files)


def _moved(changes: Changes, files: Sequence[str]) -> tuple[list[str], list[str]]:
    old, new = changes.get("order", ((), ()))
    gone = [str(name) for name in old if name not in new]
    come = [str(name) for name in new if name not in old]
    return gone, come or [name for name in files if name not in gone]


def verdict(row: Row) -> str:
    """Kept, discarded or failed, as a mark with its word."""
    if row.failed:
        return f'<span class="mark failed">{text(row.status)}</span>'
    return '<span class="mark kept">kept</span>' if row.keep else '<span class="mark">discarded</span>'


def value(said: Any) -> str:
    """A parameter's value as people write it."""
    return text(repr(said))
