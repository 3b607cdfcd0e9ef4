"""Commands for other programs: `suggest`, `propose`, `record`, and `import` of what they left."""

from pathlib import Path
from typing import Literal

from bilevel.cli.program import Json, app
from bilevel.errors import InputError


@app.command
def suggest(
    run: Path | None = None,
    *,
    task: str | None = None,
    recipe: str = "",
    researcher: str | None = None,
    model: tuple[str, ...] = (),
    trials: int | None = None,
    inner_budget: int | None = None,
    outer_cycles: int | None = None,
    seed: int | None = None,
    rung: str | None = None,
    keep: Literal["race", "fixed", "greedy", "margin"] | None = None,
    measured_by: str = "",
    folder: Path | None = None,
    into: Path | None = None,
    history: int = 20,
    json: Json = False,
) -> None:
    """Say what a driven run asks for next: what to measure, or what to propose. Begins a new one where RUN is missing.

    The caller measures what bilevel proposes; with --researcher external the caller proposes and bilevel measures.

    Parameters
    ----------
    run
        The folder of a run that was begun with this command; options that describe a new run cannot be given with it.
    task, recipe, researcher, model, trials, inner_budget, outer_cycles, seed, rung, keep, folder
        Of a new run, as for `bilevel run`.
    measured_by
        Of a new run: caller or bilevel (caller, unless the researcher is external).
    into
        A folder that gets the task's files as they are to be measured, or changed.
    history
        How many of the last trials to tell.
    """
    from bilevel.cli.driving import suggest_in, suggest_new
    from bilevel.cli.running import of_texts
    from bilevel.overriding import override
    from bilevel.recipe import find

    described = dict(
        task=task, researcher=researcher, trials=trials, inner_budget=inner_budget, outer_cycles=outer_cycles,
        seed=seed, rung=rung, keep=keep, models=model,
    )  # fmt: skip
    if run is None:
        found = find(recipe or "default")
        described["researcher"] = researcher or of_texts(found, task, model)
        suggest_new(override(found, **described), folder, measured_by, history, into, json)  # type: ignore[arg-type]
    elif recipe or measured_by or folder or any(value not in (None, ()) for value in described.values()):
        raise InputError("a run keeps what it was begun with: give RUN alone, or the options of a new run without RUN")
    else:
        suggest_in(run, history, into, json)


@app.command
def propose(
    run: Path,
    *,
    trial: str,
    set: tuple[str, ...] = (),
    files: Path | None = None,
    why: str = "",
    author: str = "",
    json: Json = False,
) -> None:
    """Propose what a driven run is to try; bilevel checks it, and measures it unless the caller does.

    Parameters
    ----------
    run
        The run folder.
    trial
        Which question this answers: the id that `suggest` printed.
    set
        NAME=VALUE, a parameter's new value; may be given several times.
    files
        A folder with the edited files (`bilevel suggest RUN --into FOLDER` writes it).
    why, author
        Stored with the trial.
    """
    from bilevel.cli.driving import propose as take

    take(run, trial, set, files, why, author, json)


@app.command
def record(
    run: Path,
    *,
    trial: str,
    metric: tuple[str, ...] = (),
    failed: str | None = None,
    status: str = "exit",
    seconds: float = 0.0,
    json: Json = False,
) -> None:
    """Record what the caller measured for a driven run.

    Parameters
    ----------
    run
        The run folder.
    trial
        Which question this answers: the id that `suggest` printed.
    metric
        NAME=VALUE; the objective is needed, others may follow.
    failed
        Instead of metrics: why there are none.
    status
        The kind of failure: exit, time-out, out-of-memory, output-limit, invalid-metric, diverged, refused.
    seconds
        How long the measurement took.
    """
    from bilevel.cli.driving import record as take

    take(run, trial, metric, failed, status, seconds, json)


@app.command(name="import")
def import_(
    source: Path,
    *,
    program: Path | None = None,
    into: Path | None = None,
    metric: tuple[str, ...] = (),
    minimize: bool | None = None,
    file: tuple[Path, ...] = (),
    seconds: float = 600.0,
) -> None:
    """Take over what another tool left: a results.tsv as guidance for researchers, or an evaluator as a task.

    Parameters
    ----------
    source
        A table (.tsv: commit, score, memory, status, description), or an evaluator (.py with evaluate(path) -> dict).
    program
        The program that the evaluator judges.
    into
        The task folder: one that gets the table's summary as guidance.md, or a new one for the evaluator's task.
    metric
        The evaluator's score (combined_score unless given); then others to store beside it.
    minimize
        Whether lower is better: yes for a table, no for an evaluator, unless given.
    file
        A file that lies beside the evaluator when it runs; may be given several times.
    seconds
        The wall time that one evaluation may take.
    """
    from bilevel.cli.importing import import_evaluator, import_table

    if source.suffix == ".py":
        if program is None:
            raise InputError(f"evaluator {str(source)!r} judges a program: give --program PROGRAM.py")
        import_evaluator(source, program, into, metric, not minimize, file, seconds)
    elif program is not None or metric or file:
        raise InputError("--program, --metric and --file belong to an evaluator, that is a .py file")
    else:
        import_table(source, into, minimize is False)
