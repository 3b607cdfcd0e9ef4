"""The command line: `bilevel COMMAND`. Every command here is thin; the work is done by the modules it imports late.

Exit codes: 0 done · 1 our own failure, or the machine's · 2 the input cannot be used · 3 stopped, and `bilevel resume`
goes on · 4 `check` or `doctor` found problems.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from bilevel import __version__
from bilevel.errors import BilevelError, DiskFull, InputError, Stopped

app = App(
    name="bilevel",
    version=__version__,
    help="Autoresearch that researches itself: a search loop, and outer loops that change how it searches.\n\n"
    "Exit codes: 0 done, 1 failure, 2 unusable input, 3 stopped (resume goes on), 4 problems found.",
)
Json = Annotated[bool, Parameter(negative="", help="Print JSON instead of text.")]
MaxSeconds = Annotated[float | None, Parameter(help="Wall time that the whole run may take.")]
MaxTokens = Annotated[int | None, Parameter(help="Tokens that all models together may use.")]
MaxMoney = Annotated[float | None, Parameter(help="US dollars that all models together may cost.")]


@app.command
def run(
    recipe: str = "default",
    *,
    task: str | None = None,
    model: tuple[str, ...] = (),
    researcher: str | None = None,
    agent: str | None = None,
    trials: int | None = None,
    inner_budget: int | None = None,
    outer_cycles: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    rung: str | None = None,
    time_budget: float | None = None,
    max_seconds: MaxSeconds = None,
    max_tokens: MaxTokens = None,
    max_money: MaxMoney = None,
    folder: Path | None = None,
    json: Json = False,
) -> None:
    """Search a task with a recipe, in a new run folder.

    Parameters
    ----------
    recipe
        A shipped recipe's name (`bilevel check` lists them) or the path of a .toml file.
    task
        A shipped task (sphere, gpt-table, gpt; options as in sphere:noise=0.1), a folder with a task.toml, or
        python:MODULE:NAME of a module in the current folder or installed.
    model
        The language model that researches at all levels, PROVIDER:MODEL (`bilevel models` lists the providers); or
        LEVEL=PROVIDER:MODEL for one level (inner, settings, mechanisms, judge). May be given several times.
    researcher
        Who proposes in the innermost loop: coordinate, random, stuck, optuna, llm, agent, or python:MODULE:CLASS.
    agent
        The coding agent that proposes in the innermost loop: claude, codex, opencode, aider, gemini, or a command line
        with {prompt} where it takes one.
    trials
        Measurements of the whole run, the baseline's calibration not counted.
    inner_budget
        Trials of the innermost loop per cycle of the level above.
    outer_cycles
        Cycles of the outermost level, its baseline among them.
    seed
        The seed of everything: same seed, same trace.
    workers
        Measurements that go on at once.
    rung
        The size of measurement that scores (the task's full one if not given).
    time_budget
        Seconds of training per run, where the task lets one choose (karpathy).
    folder
        Where to store the run (runs/RECIPE-TASK-NUMBER if not given).
    """
    from bilevel.cli.running import run_recipe
    from bilevel.recipe import find, override
    from bilevel.tasks.karpathy import with_time_budget

    found = find(recipe)
    if time_budget is not None:
        task = with_time_budget(task or found.task, time_budget)
    chosen = override(
        found,
        task=task,
        researcher=researcher,
        agent=agent,
        trials=trials,
        inner_budget=inner_budget,
        outer_cycles=outer_cycles,
        seed=seed,
        workers=workers,
        rung=rung,
        models=model,
        limits={"seconds": max_seconds, "tokens": max_tokens, "money": max_money},
    )
    run_recipe(chosen, folder, json)


@app.command
def resume(
    folder: Path,
    *,
    max_seconds: MaxSeconds = None,
    max_tokens: MaxTokens = None,
    max_money: MaxMoney = None,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed; the result is that of the run that would have been.

    A run that a limit ended goes on with a higher one.

    Parameters
    ----------
    folder
        The run folder.
    """
    from bilevel.cli.running import resume_run

    resume_run(folder, {"seconds": max_seconds, "tokens": max_tokens, "money": max_money}, json)


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
    """
    from bilevel.cli.inspecting import print_show

    if calls or call is not None:
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
    task, recipe, researcher, model, trials, inner_budget, outer_cycles, seed, rung, folder
        Of a new run, as for `bilevel run`.
    measured_by
        Of a new run: caller or bilevel (caller, unless the researcher is external).
    into
        A folder that gets the task's files as they are to be measured, or changed.
    history
        How many of the last trials to tell.
    """
    from bilevel.cli.driving import suggest_in, suggest_new
    from bilevel.recipe import find, override

    described = dict(
        task=task, researcher=researcher, trials=trials, inner_budget=inner_budget, outer_cycles=outer_cycles,
        seed=seed, rung=rung, models=model,
    )  # fmt: skip
    if run is None:
        suggest_new(override(find(recipe or "default"), **described), folder, measured_by, history, into, json)  # type: ignore[arg-type]
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


@app.command
def models(*, test: str | None = None, json: Json = False) -> None:
    """List the providers of language models and which keys are found; ask one model for a single token.

    Parameters
    ----------
    test
        PROVIDER:MODEL to ask.
    """
    from bilevel.cli.models import print_models

    sys.exit(print_models(test, json))


@app.command
def init(
    path: Path = Path(),
    *,
    out: Path | None = None,
    command: str = "",
    metric: str = "",
    goal: Literal["minimize", "maximize", ""] = "",
    python: str = "",
    env: tuple[str, ...] = (),
    read: tuple[str, ...] = (),
    write: tuple[str, ...] = (),
    network: Annotated[bool, Parameter(negative="")] = False,
    time_limit: float = 1800.0,
    yes: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Make a task and a recipe from a repository or a script: find its command, run it once, write what was found.

    Parameters
    ----------
    path
        The folder of a repository, or a single script. It is only read.
    out
        Where to write the task (PATH/.bilevel if not given).
    command
        The command that measures it, as you would type it in that folder.
    metric
        The name of the number that counts, as the command prints it; `seconds` is the command's wall time.
    goal
        Whether less or more of the metric is better.
    python
        The interpreter for the command (the repository's .venv, else the active environment, else bilevel's own).
    env
        The name of a variable that runs may have. May be given several times.
    read
        A file or folder that runs find as it is, ~/.cache/NAME or a path in the repository. May be given several times.
    write
        A folder elsewhere that runs may write to, as a cache. May be given several times.
    network
        Let runs use the network.
    time_limit
        Seconds that the first run may take.
    yes
        Ask nothing; what cannot be found is an error that says which option to give. So it is without a terminal.
    force
        Replace an existing task in that folder.
    """
    from bilevel.cli.init import run_init
    from bilevel.init.making import Wishes

    run_init(Wishes(path, out, command, metric, goal, python, env, read, write, network, time_limit, force), yes, json)


@app.command
def check(target: str = "", *, baseline: bool = True, json: Json = False) -> None:
    """Say what is wrong with a task, a recipe or a mechanism; without a target, list what is shipped.

    Parameters
    ----------
    target
        A task's name, folder or python:MODULE:NAME, a recipe's name or .toml file, or a mechanism's .py file, which is
        put to the door.
    baseline
        Run the task's baseline once on its cheapest rung, to see that its metrics are printed.
    """
    from bilevel.cli.checking import print_check

    sys.exit(print_check(target, baseline, json))


@app.command
def doctor(*, json: Json = False) -> None:
    """Say what this machine offers (isolation, GPU, extras, file system), and the fix for what is missing."""
    from bilevel.cli.checking import print_doctor

    sys.exit(print_doctor(json))


@app.command
def demo(*, quick: bool = False, folder: Path | None = None, seed: int = 0, workers: int = 2) -> None:
    """Search a real GPT pre-training task with levels 1, 1.5 and 2; or, with --quick, a table of it without torch.

    Parameters
    ----------
    quick
        Recipe c on gpt-table with the stuck researcher, beside the same researcher alone; seconds instead of minutes.
    folder
        Where to store the run.
    seed
        The seed of everything.
    workers
        Measurements that go on at once.
    """
    from bilevel.cli.running import run_demo

    run_demo(quick, folder, seed, workers)


def main() -> None:
    """The entry point of the `bilevel` command."""
    try:
        app()
    except Stopped as error:
        _fail(error, 3)
    except DiskFull as error:
        _fail(error, 3)
    except InputError as error:
        _fail(error, 2)
    except BilevelError as error:
        _fail(error, 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _fail(error: BilevelError, code: int) -> None:
    from bilevel.cli.printing import visible

    print(f"bilevel: {visible(str(error))}", file=sys.stderr)
    sys.exit(code)
