"""A report as one page: it loads nothing, works without a network, and is light on paper."""

from bilevel.compare.drawing import axis, dot, ends, scale_of, text
from bilevel.compare.marking import block
from bilevel.compare.style import PAPER, RUN, STYLE
from bilevel.reporting.document import Block, Facts, Grid, Items, Listing, Picture, Report, Section, Words
from bilevel.reporting.style import MORE

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LONG = 28  # characters of a cell that stay in one line


def page(report: Report) -> str:
    """The whole page."""
    title = text(report.title)
    links = "".join(f'<li><a href="#part-{n}">{text(s.short)}</a></li>' for n, s in enumerate(report.sections, 1))
    lead = "\n".join(f'<p class="soft">{text(line)}</p>' for line in report.lead)
    short = "".join(f"<li>{text(line)}</li>" for line in report.short)
    body = "\n".join(_section(f"part-{n}", section) for n, section in enumerate(report.sections, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}\n{RUN}\n{MORE}\n{PAPER}\n</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{title}</h1>\n{lead}\n<div class="short"><strong>In short</strong><ul>{short}</ul></div>\n'
        f'<nav aria-label="on this page"><ul>{links}</ul></nav>\n{body}\n</main>\n'
        f"<footer><p>{text(report.stamped)}</p></footer>\n</body>\n</html>\n"
    )


def _section(name: str, section: Section) -> str:
    body = "".join(_block(block) for block in section.blocks)
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{text(section.title)}</h2>\n{body}</section>'


def _block(block: Block) -> str:
    if isinstance(block, Words):
        return f"<p>{text(block.text)}</p>\n"
    if isinstance(block, Items):
        return "<ul>\n" + "".join(f"<li>{text(line)}</li>\n" for line in block.lines) + "</ul>\n"
    if isinstance(block, Facts):
        items = "".join(f"<dt>{text(n)}</dt><dd>{text(value)}</dd>\n" for n, value in block.pairs.items() if value)
        return f"<dl>\n{items}</dl>\n"
    if isinstance(block, Grid):
        return _grid(block)
    return _listing(block) if isinstance(block, Listing) else _picture(block)


def _grid(grid: Grid) -> str:
    last = len(grid.header) - 1
    words = [place < grid.words or (grid.ends_in_words and place == last) for place in range(len(grid.header))]
    drawn = any(effect.value is not None for effect in grid.effects)
    scale = scale_of([end for effect in grid.effects for end in ends(effect)], zero=True)
    head = "".join(
        f'<th scope="col"{_kind(word, "")}>{text(name)}</th>' for word, name in zip(words, grid.header, strict=True)
    )
    if drawn:
        head += f'<th scope="col" class="plot">right of the line: better{axis(scale)}</th>'
    rows = []
    for number, row in enumerate(grid.rows):
        cells = "".join(f"<td{_kind(word, cell)}>{text(cell)}</td>" for word, cell in zip(words, row, strict=True))
        if drawn:
            cells += f'<td class="plot">{dot(grid.effects[number], scale, "")}</td>'
        rows.append(f"<tr>{cells}</tr>\n")
    title = f"<h3>{text(grid.title)}</h3>\n" if grid.title else ""
    return (
        f'{title}<div class="scroll" role="region" tabindex="0" aria-label="{text(grid.title or grid.header[0])}">'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


def _kind(word: bool, cell: str) -> str:
    """The class of a cell: of words, which may take several lines where they are many, or of a number."""
    return (' class="w long"' if len(cell) > LONG else ' class="w"') if word else ""


def _listing(listing: Listing) -> str:
    title = f"<h3>{text(listing.title)}</h3>\n" if listing.title else ""
    return f"{title}{block(listing.text, listing.language)}"


def _picture(picture: Picture) -> str:
    return f"{picture.legend}<figure>{picture.svg}<figcaption>{text(picture.caption)}</figcaption></figure>\n"
