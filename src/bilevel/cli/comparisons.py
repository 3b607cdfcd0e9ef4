"""`compare`: arms side by side, from the plan to the printed result."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from bilevel.cli.printing import console, jsonable, print_json
from bilevel.compare.absent import note_of, refuse_without, said
from bilevel.compare.analysis import analyse
from bilevel.compare.estimating import Expected, expect
from bilevel.compare.folder import Folder, create, differences, is_comparison, open_folder
from bilevel.compare.outcome import outcome_of
from bilevel.compare.plan import Plan, Wishes, make
from bilevel.compare.results import Result
from bilevel.compare.running import check_models
from bilevel.compare.scheduling import Finished, run_all
from bilevel.compare.tables import Table, expected_table, heading, number, sections, tables_of
from bilevel.compare.telling import Commands, commands_for
from bilevel.errors import BilevelError, InputError, Stopped
from bilevel.named import PREFIX
from bilevel.reporting.comparison import RESULT, write_documents, written_result
from bilevel.reporting.writing import PAGE
from bilevel.reporting.writing import TEXT as REPORT
from bilevel.tasks.absent import BACK


def run_compare(
    wishes: Mapping[str, Any], folder: Path | None, workers: int, plan_only: bool, as_json: bool, on: Sequence[str]
) -> int:
    """Plan a comparison, run what is left of it, and print what it says; the exit code is 1 where runs are missing."""
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1 is needed")
    there = _there(wishes, folder)
    plan = there.plan if there else make(Wishes(**wishes))
    if there and (plan_only or on):
        refuse_without(there, f"what is left of {str(there.path)!r} cannot be {'estimated' if plan_only else 'run'}")
    commands = commands_for(on, plan)
    if plan_only:
        _print_expected(expect(plan, there, workers), plan, as_json)
        return 0
    found = there or _new(plan, folder)
    out = console(stderr=as_json)
    _announce(out, found)
    result, kept = _executed(out, found, workers, commands)
    if as_json:
        print_json(written_result(result))
    else:
        _print_result(out, result)
        _line(out, f"\n{stays(kept) if kept else _where(found.path)}; each run is a run folder below {found.path}")
    return 1 if result.missing else 0


def _executed(out: Console, found: Folder, workers: int, commands: Commands) -> tuple[Result, list[Path]]:
    """Run what is left, and write what came of it; a person's commands are told of what this call did. Gives the files
    that stay as they were, too: see `write_documents`."""
    ran: list[Finished] = []

    def tell(finished: Finished) -> None:
        ran.append(finished)
        _tell(out, finished, bool(found.plan.tasks))
        for line in commands.ran(found, finished):
            _line(out, line)

    try:
        run_all(found, workers, tell)
        result = analyse(found)
        kept = write_documents(found, result)
    except Stopped as error:
        raise Stopped(f"{error}; go on with: bilevel compare --folder {shlex.quote(str(found.path))}") from None
    except BilevelError as error:
        for line in commands.broke(found, error):
            _line(out, line)
        raise
    for line in commands.ended(found, result) if ran else ():
        _line(out, line)
    return result, kept


def print_where(path: Path, as_json: bool) -> None:
    """Where each run of a comparison stands, by the records: its improvement, or why it has none."""
    found = open_folder(path)
    outcomes, several = [outcome_of(found, job) for job in found.jobs], bool(found.plan.tasks)
    done = sum(not one.reason for one in outcomes)
    if as_json:
        runs = [
            {
                "task": one.job.task, "arm": one.job.arm, "replicate": one.job.replicate, "gain": one.gain,
                "reason": one.reason, "run": str(found.run_folder(one.job)),
            }
            for one in outcomes
        ]  # fmt: skip
        print_json({"plan": found.plan.hash, "done": done, "of": len(runs), "gone": note_of(found), "runs": runs})
        return
    out = console()
    _announce(out, found)
    for n, one in enumerate(outcomes, 1):
        _tell(out, Finished(one.job, one, n, len(outcomes)), several)
    _line(
        out,
        f"{done} of {len(outcomes)} runs have a number; `bilevel compare --folder {shlex.quote(str(path))}` "
        + ("prints what they say" if done == len(outcomes) else "goes on"),
    )


def tasks_in(text: str) -> tuple[str, ...]:
    """The tasks that are named with commas between; what reads like `option=value` belongs to the task before it."""
    found: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if found and re.match(r"\w+=", part) and ":" in found[-1]:
            found[-1] += f",{part}"
        elif part:
            found.append(part)
    return tuple(found)


def _there(wishes: Mapping[str, Any], folder: Path | None) -> Folder | None:
    """The comparison in a folder, if there is one. Raises InputError where another one is asked for."""
    if folder is not None and not wishes and not is_comparison(folder):
        raise InputError(
            f"there is no comparison in {str(folder)!r} to go on with; give --arms and --task for a new one"
        )
    if folder is None or not is_comparison(folder):
        return None
    found = open_folder(folder)
    try:
        other = differences(found.plan, make(Wishes(**wishes))) if wishes else []
    except InputError as error:
        raise InputError(f"{error}; what {str(folder)!r} holds is shown by --folder and no other option") from error
    if other:
        raise InputError(
            f"{str(folder)!r} holds another comparison (what differs: {', '.join(other)}); go on with it by `bilevel "
            f"compare --folder {folder}` and no other option, or use another --folder"
        )
    return found


def _new(plan: Plan, folder: Path | None, root: Path = Path("comparisons")) -> Folder:
    check_models(plan)
    name = Path(plan.task.removeprefix(PREFIX).split(":")[0]).name
    task, number = "tasks" if plan.tasks else name, 1
    while folder is None and (root / f"{task}-{number}").exists():
        number += 1
    return create(folder or root / f"{task}-{number}", plan)


def _announce(out: Console, folder: Folder) -> None:
    plan = folder.plan
    _line(out, f"{', '.join(plan.arms)} on {plan.task}: {len(folder.jobs)} runs, interleaved by replicate")
    _line(out, f"plan {plan.hash} in {folder.path / 'plan.json'}")
    gone = said(folder)
    if gone:
        _line(out, f"{gone}: runs that are there are told by their records; to go on, {BACK}")
    for task in folder.measured_otherwise():
        _line(out, f"what measures task {task!r} has changed since: runs that are there are told by their records")


def _tell(out: Console, finished: Finished, several: bool) -> None:
    outcome = finished.outcome
    how = outcome.reason and f"no number: {outcome.reason}"
    how = how or (outcome.lost and f"{number(outcome.gain, True)}, as the baseline: its best {outcome.lost}")
    spent = f"{outcome.spent.measurements} measurements, {outcome.spent.seconds:.1f} s"
    where = f"{finished.job.task}, " if several else ""
    _line(
        out,
        f"{finished.done}/{finished.of}  {where}{finished.job}: {how or f'{number(outcome.gain, True)} ({spent})'}",
    )


def _print_result(out: Console, result: Result) -> None:
    tasks = f"{len(result.tasks)} tasks, " if result.tasks else ""
    out.rule(f"[bold]{tasks}{len(result.arms)} arms, {result.replicates} replicates[/]")
    for line in heading(result):
        _line(out, line)
    for table in tables_of(result):
        _print_table(out, table)
    for title, lines in sections(result):
        out.print(f"\n[bold]{title}[/]", highlight=False)
        for line in lines:
            _line(out, f"  {line}")


def stays(kept: Sequence[Path]) -> str:
    """That files were not written again, since a task is gone."""
    names = ", ".join(map(str, kept))
    return f"left as they were, since less could be written without the task: {names}"


def _where(path: Path) -> str:
    return f"result: {path / RESULT}, {path / REPORT}, {path / PAGE}"


def _print_table(out: Console, table: Table) -> None:
    grid = Grid(
        box=None, pad_edge=False, padding=(0, 2), collapse_padding=True, title=f"\n{table.title}", title_justify="left"
    )
    for n, name in enumerate(table.header):
        grid.add_column(name, justify="right" if n else "left", no_wrap=True)
    for row in table.rows:
        grid.add_row(*row)
    out.print(grid, highlight=False, markup=False)


def _print_expected(expected: Expected, plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(jsonable(expected))
        return
    out = console()
    _line(out, f"plan {expected.plan}")
    tasks = f"{len(plan.tasks)} tasks × " if plan.tasks else ""
    arms = f"{tasks}{len(plan.arms)} arms × {expected.replicates} replicates"
    _line(out, f"{expected.runs} runs: {arms}, equal {plan.equal} ({plan.budget:g})")
    _print_table(out, expected_table(expected))
    time = "unknown" if expected.seconds is None else f"{expected.seconds:,.1f} s with {expected.workers} at a time"
    cost = "unknown" if expected.money is None else f"{expected.money:.2f} US dollars"
    tokens = "unknown" if expected.tokens is None else f"{expected.tokens:,} tokens"
    _line(
        out,
        f"\nin all, where nothing is refused: at most {expected.measurements or 'unknown'} measurements · {time} · "
        f"{tokens} · {cost}",
    )
    each = max((one.each for one in expected.arms), default=1)
    if each > 1:
        _line(out, f"trials are measurements here: repeats of the keep rule count, an idea takes up to {each} of them")
    if plan.recheck:
        most = "an unknown number" if expected.rechecks is None else f"{expected.rechecks:,} at most"
        _line(out, f"of the measurements {most} to measure keeps again, outside the budget")
    _line(out, f"the time is from {expected.source}")


def _line(out: Console, text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
