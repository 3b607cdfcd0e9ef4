"""`import`: what other tools left behind."""

import sys
from pathlib import Path

from bilevel.errors import InputError
from bilevel.importing import read_table, summary
from bilevel.tasks.evaluator import write_task

GUIDANCE = "guidance.md"


def import_table(source: Path, into: Path | None, maximize: bool) -> None:
    """Print a table's summary, or write it into a task folder, as the guidance that researchers are told."""
    table = read_table(source)
    text = summary(table, minimize=not maximize, source=source.name)
    for problem in table.problems:
        print(f"bilevel: not read, {problem}", file=sys.stderr)
    if into is None:
        print(text, end="")
        return
    if not into.is_dir():
        raise InputError(f"there is no folder {str(into)!r}; give the folder of a task")
    target = into / GUIDANCE
    if target.exists():
        raise InputError(f"{str(target)!r} exists; leave --into away, and add what is printed by hand")
    target.write_text(text, "utf-8")
    print(f"wrote {target}: {len(table.rows)} tries, {len(table.problems)} lines not read")


def import_evaluator(
    evaluator: Path, program: Path, into: Path | None, metric: tuple[str, ...], maximize: bool, files: tuple[Path, ...],
    seconds: float,
) -> None:  # fmt: skip
    """Write the task folder of an evaluator and its program."""
    folder = into or Path(program.stem)
    names = metric or ("combined_score",)
    write_task(
        evaluator, program, folder, metric=names[0], more_metrics=names[1:], minimize=not maximize, files=files,
        seconds=seconds,
    )  # fmt: skip
    print(f"wrote the task {folder}; next: bilevel check {folder}")
    print("who writes code can search it: bilevel run --model PROVIDER:MODEL or --agent, or you, with bilevel suggest")
