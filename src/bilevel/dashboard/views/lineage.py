"""Where candidates come from: a tree of what was kept, newest first, with how much was tried from each."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bilevel.cli.ladders import cut
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import Page, address, nothing, section, table, trial_link
from bilevel.dashboard.records import Row
from bilevel.dashboard.watched import Watched

A_PAGE = 200
WIDTH, TALL = 14, 26  # pixels of a lane and of a row
COLOURS = 6
LONGEST = 100  # characters of a change: a row of the tree is one line


def lineage(run: Watched, query: Mapping[str, str]) -> Page:
    rows = run.inner
    nodes = nodes_of(rows)
    if not nodes:
        return Page("Lineage", nothing("No candidate is measured yet."), run, "lineage")
    tried, failed = Counter(row.parent for row in rows), Counter(row.parent for row in rows if row.failed)
    shown = nodes[::-1]
    pages = -(-len(shown) // A_PAGE)
    page = min(pages, max(1, int(query["page"]) if query.get("page", "").isdecimal() else 1))
    drawn = graph(shown)
    first = (page - 1) * A_PAGE
    made = []
    for row, picture in list(zip(shown, drawn, strict=True))[first : first + A_PAGE]:
        own = tried[row.candidate] - (row.number == 0)
        bad = failed[row.candidate]
        made.append(
            (
                picture,
                trial_link(run.key, row.branch, row.number, kind="row"),
                text(row.arm),
                text("" if row.score is None else f"{row.score:.6g}"),
                text(cut(frame.changed(row), LONGEST)),
                str(own),
                str(bad) if bad else "",
                text(row.author.split(" (")[0]),
            )
        )
    header = ("", "trial", "arm", "score", "change from its parent", "tried from it", "failed", "by")
    pager = frame.pager(lambda number: address(run.key, "lineage", page=number), page, pages)
    body = pager + table(header, made, left=(0, 2, 4, 7), about="lineage of kept candidates") + pager
    note = (
        f"{len(nodes)} kept candidates and the baseline among {len(rows)} trials, newest first; a line leads down to "
        "the candidate it was made from. A trial's page has the diff against its parent and against the baseline."
    )
    return Page("Lineage", section("Kept candidates", f'<div class="graph">{body}</div>', note), run, "lineage")


def nodes_of(rows: Sequence[Row]) -> list[Row]:
    """The baseline and each kept candidate, at its first trial that was kept; and those from which one was kept."""
    found: dict[str, Row] = {}
    needed = {row.parent for row in rows if row.keep}
    for row in rows:
        if (row.keep or row.number == 0 or row.candidate in needed) and row.candidate not in found and not row.failed:
            found[row.candidate] = row
    return list(found.values())


def graph(newest_first: Sequence[Row]) -> list[str]:
    """For each row its piece of the tree: lanes that come from above, its node, and the line to its parent."""
    here = {row.candidate for row in newest_first}
    lanes: list[str | None] = []  # the candidate that each lane leads down to
    pieces: list[tuple[int, list[int], list[int], list[int], list[int]]] = []
    for row in newest_first:
        mine = [lane for lane, wanted in enumerate(lanes) if wanted == row.candidate]
        node = mine[0] if mine else _free(lanes)
        through = [lane for lane, wanted in enumerate(lanes) if wanted is not None and lane not in mine]
        for lane in mine:
            lanes[lane] = None
        parent = row.parent if row.number > 0 and row.parent != row.candidate and row.parent in here else None
        lanes[node] = parent
        pieces.append((node, mine, through, [node] if parent is not None else [], [len(lanes)]))
        while lanes and lanes[-1] is None:
            lanes.pop()
    wide = max((piece[4][0] for piece in pieces), default=1) * WIDTH + 4
    return [
        _piece(node, above, through, below, wide, row)
        for row, (node, above, through, below, _) in zip(newest_first, pieces, strict=True)
    ]


def _free(lanes: list[str | None]) -> int:
    for number, lane in enumerate(lanes):
        if lane is None:
            return number
    lanes.append(None)
    return len(lanes) - 1


def _piece(node: int, above: Sequence[int], through: Sequence[int], below: Sequence[int], wide: int, row: Row) -> str:
    def x(lane: int) -> float:
        return lane * WIDTH + WIDTH / 2 + 2

    middle, parts = TALL / 2, []
    for lane in through:
        parts.append(f'<line class="k{lane % COLOURS}" x1="{x(lane)}" x2="{x(lane)}" y1="0" y2="{TALL}"/>')
    for lane in above:
        parts.append(f'<line class="k{lane % COLOURS}" x1="{x(lane)}" x2="{x(node)}" y1="0" y2="{middle}"/>')
    for lane in below:
        parts.append(f'<line class="k{lane % COLOURS}" x1="{x(node)}" x2="{x(lane)}" y1="{middle}" y2="{TALL}"/>')
    kind = "" if row.keep else " open"
    parts.append(f'<circle class="dot k{node % COLOURS}{kind}" cx="{x(node)}" cy="{middle}" r="4"/>')
    return f'<svg class="tree" width="{wide}" height="{TALL}" aria-hidden="true">{"".join(parts)}</svg>'
