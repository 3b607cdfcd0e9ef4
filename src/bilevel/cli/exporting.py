"""`export`: a run as a git repository, as a table, or in an MLflow store."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from bilevel.cli.inspecting import Opened, opened
from bilevel.cli.printing import jsonable, print_json
from bilevel.errors import InputError
from bilevel.exports import tracking
from bilevel.exports.rows import storable, trial_table
from bilevel.gitlog import TABLE, export, results
from bilevel.levels import leaf
from bilevel.report import archive_best
from bilevel.tasks.absent import Absent
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import text_task

CSV, STORE = "trials.csv", "mlflow.db"
STDOUT = "-"


def print_export(path: Path, git: Path | None, tag: str, tsv: Path | None, as_json: bool) -> None:
    """Export a run and say what was written. A task without files has a table only."""
    with opened(path) as run:
        store = run.folder.store
        task = leaf(run.spec).task
        if git is None and tsv is not None and not isinstance(task, FolderTask) and text_task(task) is None:
            _written(tsv, results(store, run.spec))
            print_json({"table": str(tsv)}) if as_json else print(f"wrote {tsv}")
            return
        if isinstance(task, Absent):
            task.refuse("a git repository begins with the task's files (`--to csv` and `--to results.tsv` need none)")
        done = export(store, run.spec, git or path / "git", tag or _tag_of(path.resolve().name))
    if tsv is not None:
        _written(tsv, done.table)
    if as_json:
        facts = {name: value for name, value in vars(done).items() if name != "table"}
        print_json({**facts, "folder": str(done.folder), "table": str(tsv or done.folder / TABLE)})
        return
    above = "the history of its source" if done.cloned else "the files that the run began with"
    print(
        f"{done.folder}: branch {done.branch} with {done.commits} kept commits on {above}; {done.tries} tries under "
        f"refs/trials, {done.new} of them new; {TABLE} with {done.table.count(chr(10)) - 1} rows"
    )
    print(f"read it with: git -C {shlex.quote(str(done.folder))} log --oneline {done.base[:7]}..{done.branch}")


def _tag_of(name: str) -> str:
    """A folder's name as git takes it in the name of a branch."""
    tag = re.sub(r"[\s\x00-\x1f\x7f~^:?*\[\\]+|\.{2,}|@\{", "-", name).strip(".")
    return tag.removesuffix(".lock") or "run"


def print_table(path: Path, to: str, out: str, as_json: bool) -> None:
    """Write a run's table, `csv` or `results.tsv`, into a file, or print it where that is `-`."""
    if out == STDOUT and as_json:
        raise InputError("--out - prints the table itself, so --json has no place; give a file, or leave --json out")
    make: Callable[[Opened], str]
    if to == "csv":
        name, make = CSV, lambda run: trial_table(run.folder.store, run.spec).csv()
    else:
        name, make = TABLE, lambda run: results(run.folder.store, run.spec)
    with opened(path) as run:
        text = make(run)
    if out == STDOUT:
        sys.stdout.write(text)
        return
    file = Path(out) if out else path / name
    _written(file, text)
    print_json({"table": str(file)}) if as_json else print(f"wrote {file}")


def print_tracked(path: Path, out: str, experiment: str, as_json: bool) -> None:
    """Write a run into an MLflow store, and say what was written."""
    if out == STDOUT:
        raise InputError("--out -: an MLflow store is a file or an address, and cannot be printed")
    with opened(path) as run:
        task = leaf(run.spec).task
        done = tracking.export(
            run.folder.store, run.spec, _about(run), out or str(path / STORE), experiment or task.name
        )
    if as_json:
        print_json(vars(done))
        return
    print(
        f"{done.store}: experiment {done.experiment!r}, run {done.run_id} with {done.trials} trials below it, "
        f"{done.new} of them new"
    )
    if "://" not in done.store:
        print(f"look at it with: mlflow ui --backend-store-uri sqlite:///{Path(done.store).resolve()}")


def _about(run: Opened) -> tracking.About:
    summary, path = run.summary(), run.folder.path
    config = dict(run.folder.config)
    texts = {"recipe.json": json.dumps(config["recipe"], indent=2) + "\n"}
    claims, task = path / "claims.json", leaf(run.spec).task
    if claims.is_file():
        texts["claims.json"] = claims.read_text("utf-8")
    best = archive_best(run.folder.store, run.spec)
    files = task if isinstance(task, FolderTask) else text_task(task)
    if best is not None and files is not None:
        texts["best.patch"] = files.patch(best[1].candidate)
    elif best is not None:
        texts["best.json"] = json.dumps(jsonable(best[1].candidate), indent=2) + "\n"
    return tracking.About(
        name=path.resolve().name,
        state=run.state,
        config=config,
        numbers={
            "baseline": summary.baseline, "best": summary.best, "gain": summary.gain,
            "evaluations": float(summary.evaluations), "charged": float(summary.charged),
        },
        texts=texts,
        began=(path / "run.json").stat().st_mtime,
    )  # fmt: skip


def _written(path: Path, text: str) -> None:
    try:
        path.write_text(storable(text), "utf-8")
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
