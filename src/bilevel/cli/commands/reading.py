"""Commands that read a run: `status`, `show`, `diff`, `best`, `export`, `replay`, `verify`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bilevel.cli.program import Json, app


@app.command
def status(folder: Path, *, json: Json = False) -> None:
    """Say where a run stands and what it has come to; also while it goes on.

    Parameters
    ----------
    folder
        The run folder.
    """
    from bilevel.cli.inspecting import print_status

    print_status(folder, json)


@app.command
def show(
    folder: Path,
    *,
    trial: int | None = None,
    branch: str | None = None,
    mechanism: str | None = None,
    calls: Annotated[bool, Parameter(negative="")] = False,
    call: int | None = None,
    front: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Show the trials of a run, one trial in full, one mechanism with its source, ledger and control, or model calls.

    Parameters
    ----------
    folder
        The run folder.
    trial
        The number of one trial to show in full.
    branch
        Which branch's trials (the innermost loop's last one if not given); `status` lists them.
    mechanism
        The name of one mechanism.
    calls
        List the calls to language models: who asked what for, the tokens and the price.
    call
        The number of one call to show in full: prompt, reasoning, reply.
    front
        Of a task with several objectives: the candidates that no other one dominates, and the volume below them.
    """
    from bilevel.cli.inspecting import print_show, print_the_front

    if front:
        print_the_front(folder, json)
    elif calls or call is not None:
        from bilevel.cli.calls import print_calls

        print_calls(folder, call, json)
    else:
        print_show(folder, trial, branch, mechanism, json)


@app.command
def diff(folder: Path, *, json: Json = False) -> None:
    """Show what the best candidate changed: typed values, and files as a unified diff.

    Parameters
    ----------
    folder
        The run folder.
    """
    from bilevel.cli.inspecting import print_diff

    print_diff(folder, json)


@app.command
def best(
    folder: Path, *, apply: Path | None = None, export: Path | None = None, sealed: bool = False, json: Json = False
) -> None:
    """Print the best candidate, write its files into a folder, or export it as a patch.

    Parameters
    ----------
    folder
        The run folder.
    apply
        A folder that gets the task's files with the winning changes; files that it has and the task has are replaced.
    export
        A file that gets the winning changes as a patch (for tasks without files: as JSON).
    sealed
        Measure the baseline and the best candidate once on the task's sealed split, which no researcher ever sees.
    """
    from bilevel.cli.inspecting import print_best

    print_best(folder, apply, export, sealed, json)


@app.command
def export(
    folder: Path, *, git: Path | None = None, tag: str = "", tsv: Path | None = None, json: Json = False
) -> None:
    """Write a run as a git repository: a branch with what was kept, a reference for each try, and results.tsv.

    Exporting again adds what is new. The task's own folder is only read.

    Parameters
    ----------
    folder
        The run folder.
    git
        The repository to make or to add to (FOLDER/git if not given); never one that is there already.
    tag
        Names the branch: autoresearch/TAG (the run folder's name if not given).
    tsv
        A file that gets the table of results too.
    """
    from bilevel.cli.exporting import print_export

    print_export(folder, git, tag, tsv, json)


@app.command
def replay(folder: Path, *, json: Json = False) -> None:
    """Rebuild a run from its records, asking no model and measuring nothing; fails at the first difference.

    Parameters
    ----------
    folder
        The run folder; it is only read.
    """
    from bilevel.cli.calls import print_replay

    print_replay(folder, json)


@app.command
def verify(path: Path, *, json: Json = False) -> None:
    """Compute again what a run, a comparison or one of their reports states; name each number the records do not give.

    Nothing is measured and no model is asked. The exit code is 1 where something differs.

    Parameters
    ----------
    path
        A run folder, a comparison's folder, or a claims.json, result.json or report.md in one.
    """
    from bilevel.cli.verifying import print_verified

    sys.exit(print_verified(path, json))
