"""`export`: a run as a git repository and as a table of results."""

from pathlib import Path

from bilevel.cli.inspecting import opened
from bilevel.cli.printing import print_json
from bilevel.errors import InputError
from bilevel.gitlog import TABLE, export, results
from bilevel.levels import leaf
from bilevel.tasks.folder import FolderTask


def print_export(path: Path, git: Path | None, tag: str, tsv: Path | None, as_json: bool) -> None:
    """Export a run and say what was written. A task without files has a table only."""
    with opened(path) as run:
        store = run.folder.store
        if git is None and tsv is not None and not isinstance(leaf(run.spec).task, FolderTask):
            _written(tsv, results(store, run.spec))
            print_json({"table": str(tsv)}) if as_json else print(f"wrote {tsv}")
            return
        done = export(store, run.spec, git or path / "git", tag or path.resolve().name)
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
    print(f"read it with: git -C {done.folder} log --oneline {done.base[:7]}..{done.branch}")


def _written(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
