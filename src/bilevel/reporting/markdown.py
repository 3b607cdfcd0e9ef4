"""A report as Markdown, with its plots beside it."""

from collections.abc import Collection, Iterator

from bilevel.compare.marking import begun, fenced, said
from bilevel.reporting.document import Block, Facts, Grid, Items, Listing, Picture, Report, Words


def markdown(report: Report, plots: Collection[str] = ()) -> str:
    """The document. `plots`: the names of the pictures that lie in the folder `plots` beside it."""
    lines = [f"# {said(report.title)}", "", *(f"{begun(line)}  " for line in report.lead), ""]
    lines += [f"- {begun(line)}" for line in report.short]
    for section in report.sections:
        lines += ["", f"## {said(section.title)}"]
        for block in section.blocks:
            lines += ["", *_block(block, plots)]
    lines += ["", report.stamped]
    return "\n".join(lines) + "\n"


def _block(block: Block, plots: Collection[str]) -> Iterator[str]:
    if isinstance(block, Words):
        yield begun(block.text)
    elif isinstance(block, Items):
        yield from (f"- {begun(line)}" for line in block.lines)
    elif isinstance(block, Facts):
        yield from (f"- **{said(name)}**: {said(value)}" for name, value in block.pairs.items() if value)
    elif isinstance(block, Grid):
        yield from _grid(block)
    elif isinstance(block, Listing):
        yield from _listing(block)
    elif block.name in plots:
        yield f"![{said(block.caption)}](plots/{block.name}.png)"
    else:
        yield from _without_plot(block)


def _grid(grid: Grid) -> Iterator[str]:
    if grid.title:
        yield f"**{said(grid.title)}**"
        yield ""
    last = len(grid.header) - 1
    words = [place < grid.words or (grid.ends_in_words and place == last) for place in range(len(grid.header))]
    yield f"| {' | '.join(map(said, grid.header))} |"
    yield f"| {' | '.join('---' if word else '---:' for word in words)} |"
    for row in grid.rows:
        yield f"| {' | '.join(map(said, row))} |"


def _listing(listing: Listing) -> Iterator[str]:
    if listing.title:
        yield f"**{said(listing.title)}**"
        yield ""
    yield from fenced(listing.text, listing.language)


def _without_plot(picture: Picture) -> Iterator[str]:
    yield f"*{said(picture.caption)} (The picture is in the HTML report.)*"
