"""What other tools leave behind: the table of an earlier search, as text that a researcher reads.

The table is that of Karpathy's autoresearch, `results.tsv`: commit, score, memory, status (keep, discard, crash) and
description, separated by tabs. A crash has no score, whatever number stands in its line.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from bilevel.errors import InputError
from bilevel.objective import Objective

STATUSES = ("keep", "discard", "crash")
COLUMNS = "commit, score, memory, status, description"


@dataclass(frozen=True)
class Row:
    """One line that could be read; `score` is None for a crash."""

    line: int
    commit: str
    score: float | None
    status: str
    description: str


@dataclass(frozen=True)
class Table:
    """What a table holds: the rows in order, and a sentence for each line that could not be read."""

    metric: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...]


def read_table(path: Path) -> Table:
    """The table in a file. Raises InputError where the file, or every line of it, cannot be read."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"table {str(path)!r} cannot be read: {error}") from None
    metric, rows, problems = "score", [], []
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1 and cells[0].casefold() == "commit":
            metric = cells[1] if len(cells) > 1 and cells[1] else metric
            continue
        if not line.strip():
            continue
        found = _row(number, cells)
        if isinstance(found, Row):
            rows.append(found)
        else:
            problems.append(f"line {number}: {found}: {line.strip()[:120]!r}")
    if not rows:
        told = f"; {problems[0]}" if problems else ""
        raise InputError(f"{str(path)!r} has no line with {COLUMNS}, separated by tabs{told}")
    return Table(metric, tuple(rows), tuple(problems))


def _row(number: int, cells: list[str]) -> Row | str:
    """The row, or why there is none."""
    if len(cells) != 5:
        return f"{len(cells)} columns instead of 5 ({COLUMNS})"
    commit, text, _, status, description = cells
    if status.casefold() not in STATUSES:
        return f"status {status!r} is none of {', '.join(STATUSES)}"
    if status.casefold() == "crash":
        return Row(number, commit, None, "crash", description)
    try:
        score = float(text)
    except ValueError:
        return f"score {text!r} is not a number"
    if not math.isfinite(score):
        return f"score {text!r} is not a finite number"
    return Row(number, commit, score, status.casefold(), description)


def summary(table: Table, *, minimize: bool = True, source: str = "") -> str:
    """The table as Markdown for a brief: what it came to, what was kept, what did not help, what crashed."""
    objective = Objective(table.metric, minimize=minimize)
    scored = [row for row in table.rows if row.score is not None]
    kept = [row for row in scored if row.status == "keep"]
    best: Row | None = None
    for row in scored:
        if row.score is not None and objective.better(row.score, None if best is None else best.score):
            best = row
    crashes = [row for row in table.rows if row.score is None]
    lines = [
        f"## Tried before{f' ({source})' if source else ''}",
        "",
        f"{len(table.rows)} tries of an earlier search; {table.metric}, {'lower' if minimize else 'higher'} is better. "
        f"{len(kept)} were kept, {len(scored) - len(kept)} discarded, {len(crashes)} crashed. They were measured "
        "elsewhere: their scores are not comparable with this run's.",
    ]
    if best is not None and best.score is not None:
        lines.append(f"Best: {best.score:.6g} ({best.description}); first: {_first(scored)}.")
    lines += _section("Kept, in order", _with_gains(scored, objective, "keep"))
    lines += _section("Did not help", _with_gains(scored, objective, "discard"))
    lines += _section("Crashed", [f"- {row.description}" for row in crashes])
    lines += _section("Lines that could not be read", [f"- {problem}" for problem in table.problems])
    return "\n".join(lines) + "\n"


def _first(scored: list[Row]) -> str:
    return f"{scored[0].score:.6g} ({scored[0].description})"


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"### {title}", "", *lines] if lines else []


def _with_gains(scored: list[Row], objective: Objective, status: str) -> list[str]:
    """The rows of one status, each with its gain over what was kept before it."""
    lines, before = [], None
    for row in scored:
        if row.score is None:
            continue
        gain = "" if before is None else f", gain {objective.gain(before, row.score):+.4g}"
        if row.status == status:
            lines.append(f"- {row.description}: {row.score:.6g}{gain}")
        if row.status == "keep":
            before = row.score
    return lines
