"""Commands that read a run: `status`, `show`, `diff`, `best`, `report`, `export`, `replay`, `verify`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bilevel.cli.program import Json, app


@app.command
def status(folder: Path, *, watch: Annotated[bool, Parameter(negative="")] = False, json: Json = False) -> None:
    """Say where a run, or each run of a comparison, stands and what it has come to; also while it goes on.

    Parameters
    ----------
    folder
        The run folder, or a comparison's folder.
    watch
        Show the live view of a run that another terminal has started, until it ends or Ctrl-C; the run is left alone.
    """
    from bilevel.cli.comparisons import print_where
    from bilevel.cli.inspecting import print_status, watch_run
    from bilevel.compare.folder import is_comparison

    if watch:
        watch_run(folder)
    elif is_comparison(folder):
        print_where(folder, json)
    else:
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
def report(folder: Path, *, to: Path | None = None, plots: bool | None = None, json: Json = False) -> None:
    """Write what a run or a comparison came to as one HTML page that loads nothing, and as Markdown, with plots.

    What was improved and by how much, what changed, which mechanisms earned it, what failed, what it cost, on what it
    was made, how to make it again. Each number is computed from the records; `bilevel verify REPORT` does it again.

    Parameters
    ----------
    folder
        A run folder, or a comparison's folder.
    to
        The folder that gets report.html, report.md and plots/ (the first if not given).
    plots
        Whether to write the plots as SVG and PNG too; they need matplotlib (where it is installed if not given).
    """
    from bilevel.cli.reports import print_report

    print_report(folder, to, plots, json)


@app.command
def export(
    folder: Path,
    *,
    to: Literal["git", "csv", "results.tsv", "mlflow"] = "git",
    out: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    experiment: str = "",
    git: Path | None = None,
    tag: str = "",
    tsv: Path | None = None,
    json: Json = False,
) -> None:
    """Write a run for other programs: as a git repository, as a table, or into an MLflow store.

    Exporting again adds what is new, also while the run goes on. The run and the task's own folder are only read.

    Parameters
    ----------
    folder
        The run folder.
    to
        git: a branch with what was kept, a reference for each try, and results.tsv. csv: a row per trial of all levels
        and arms. results.tsv: the five columns of Karpathy's autoresearch. mlflow: a run with the trials below it,
        those of inner levels below the trials of the outer ones.
    out
        Of csv and results.tsv the file (FOLDER/trials.csv, FOLDER/results.tsv if not given; - prints it); of mlflow the
        SQLite file (FOLDER/mlflow.db), or a tracking URI.
    experiment
        Of mlflow the experiment (the task's name if not given).
    git
        The repository to make or to add to (FOLDER/git if not given); never one that is there already.
    tag
        Names the branch: autoresearch/TAG (the run folder's name if not given).
    tsv
        A file that gets the table of results too.
    """
    from bilevel.cli import exporting
    from bilevel.errors import InputError

    given = {"git": (git, tag, tsv), "mlflow": (experiment,)}
    for name, values in given.items():
        if to != name and any(values):
            options = "--git, --tag and --tsv belong" if name == "git" else "--experiment belongs"
            raise InputError(f"{options} to an export to {name}, not to {to}")
    if to == "git" and out:
        raise InputError("--out names a table or an MLflow store; of an export to git it is --git")
    if to == "git":
        exporting.print_export(folder, git, tag, tsv, json)
    elif to == "mlflow":
        exporting.print_tracked(folder, out, experiment, json)
    else:
        exporting.print_table(folder, to, out, json)


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
def verify(path: Path, *, run: Path | None = None, json: Json = False) -> None:
    """Compute again what a run, a comparison or one of their reports states; name each number the records do not give.

    Nothing is measured and no model is asked. The exit code is 1 where something differs.

    Parameters
    ----------
    path
        A run folder, a comparison's folder, or a claims.json, result.json, report.html or report.md in one.
    run
        The run folder that a report rests on, where it was written elsewhere.
    """
    from bilevel.cli.verifying import print_verified

    sys.exit(print_verified(path, run, json))
