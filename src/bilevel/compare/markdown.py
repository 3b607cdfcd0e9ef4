"""The comparison as a Markdown document, for an appendix or a pull request."""

from bilevel.compare.marking import fenced, said
from bilevel.compare.results import Result
from bilevel.compare.tables import Table, appendix, heading, patches, sealed_tables, sections, tables_of


def markdown(result: Result) -> str:
    """The whole document. Names of arms, tasks and mechanisms, and what candidates hold, are other people's text."""
    parts = [
        f"# {said(', '.join(arm.name for arm in result.arms))} on {said(result.task)}",
        *(f"{said(line)}  " for line in heading(result)),
    ]
    for table in [*tables_of(result), *sealed_tables(result)]:
        parts += ["", f"## {said(f'{table.title[:1].upper()}{table.title[1:]}')}", "", *_rows(table)]
    for title, lines in [*sections(result), *appendix(result)]:
        parts += ["", f"## {said(title)}", "", *(f"- {said(line)}" for line in lines)]
    for title, patch in patches(result):
        parts += ["", f"### {said(title)}", "", *fenced(patch, "diff")]
    return "\n".join(parts) + "\n"


def _rows(table: Table) -> list[str]:
    ruler = f"| {' | '.join(('---', *['---:'] * (len(table.header) - 1)))} |"
    header, *rows = (f"| {' | '.join(map(said, line))} |" for line in (table.header, *table.rows))
    return [header, ruler, *rows]
