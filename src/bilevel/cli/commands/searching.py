"""Commands that search: `run`, `resume`, `demo`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bilevel.cli.program import Json, MaxMoney, MaxSeconds, MaxTokens, On, app


@app.command
def run(
    recipe: str = "default",
    *,
    task: str | None = None,
    article: tuple[Path, ...] = (),
    model: tuple[str, ...] = (),
    researcher: str | None = None,
    agent: str | None = None,
    trials: int | None = None,
    inner_budget: int | None = None,
    outer_cycles: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    rung: str | None = None,
    noise: Literal["stored", "own", "baseline"] | None = None,
    keep: Literal["race", "fixed", "greedy", "margin"] | None = None,
    warm: Annotated[bool, Parameter(negative="")] = False,
    time_budget: float | None = None,
    gate: tuple[str, ...] = (),
    max_seconds: MaxSeconds = None,
    max_tokens: MaxTokens = None,
    max_money: MaxMoney = None,
    on: On = (),
    folder: Path | None = None,
    json: Json = False,
) -> None:
    """Search a task with a recipe, in a new run folder.

    Parameters
    ----------
    recipe
        A shipped recipe's name (`bilevel check` lists them) or the path of a .toml file.
    task
        A shipped task (sphere, gpt-table, gpt, page, hpo:TABLE, landscape:KIND, sklearn:STUDY, listed by `bilevel
        check`; options as in sphere:noise=0.1 or page:file=README.md), a folder with a task.toml, or python:MODULE:NAME
        of a module in the current folder or installed.
    article
        A text that the task article searches, in place of the shipped ones. May be given several times.
    model
        The language model that researches at all levels, PROVIDER:MODEL (`bilevel models` lists the providers); or
        LEVEL=PROVIDER:MODEL for one level (inner, settings, mechanisms, judge). May be given several times.
    researcher
        Who proposes in the innermost loop: bayesian, coordinate, random, stuck, optuna, page_rules, llm, agent,
        or python:MODULE:CLASS.
    agent
        The coding agent that proposes in the innermost loop: claude, codex, opencode, aider, gemini, or a command line
        with {prompt} where it takes one.
    trials
        Trials of a recipe with one level, or measurements of the whole run of a nested one, arms of forks and repeats
        included; the baseline's calibration is not counted.
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
    noise
        What is known of the noise at the start: stored, what `bilevel noise` measured here; own, nothing; baseline, as
        in older versions, nothing, and only the baseline's repeats are learned from.
    keep
        The rule by which a candidate takes its parent's place: race (on one seed, on a second as long as it leads and
        that is not clear), fixed (always on both), greedy (better on one), margin (better on one by more than the noise
        margin). Another number of seeds is depth in a recipe.
    warm
        Let level 2 choose by what earlier runs on tasks of the same family left in the library (`bilevel mechanisms
        list`): first what helped, last what hurt.
    time_budget
        Seconds of training per run, where the task lets one choose (karpathy).
    gate
        What waits for a person (`bilevel steer approve RUN`, `reject`): keep, each candidate before it is kept
        (keep=outermost: those of the outermost level); mechanism, each one before it is tried; money=N, tokens=N,
        seconds=N or evaluations=N, whenever so much more is spent; wait=SECONDS, after which no answer is no. May be
        given several times.
    folder
        Where to store the run (runs/RECIPE-TASK-NUMBER if not given).
    """
    from bilevel.cli.running import of_files, of_texts, run_recipe
    from bilevel.events import with_commands
    from bilevel.overriding import override
    from bilevel.recipe import find
    from bilevel.tasks.karpathy import with_time_budget

    found = find(recipe)
    task = of_files(found, task, article)
    if time_budget is not None:
        task = with_time_budget(task or found.task, time_budget)
    chosen = override(
        found,
        task=task,
        researcher=researcher or (None if agent else of_texts(found, task, model)),
        agent=agent,
        trials=trials,
        inner_budget=inner_budget,
        outer_cycles=outer_cycles,
        seed=seed,
        workers=workers,
        rung=rung,
        noise=noise,
        keep=keep,
        warm=warm or None,
        models=model,
        limits={"seconds": max_seconds, "tokens": max_tokens, "money": max_money},
        gate=gate,
    )
    run_recipe(with_commands(chosen, on), folder, json)


@app.command
def once(
    recipe: str = "article",
    *,
    task: str | None = None,
    article: tuple[Path, ...] = (),
    model: tuple[str, ...] = (),
    seed: int | None = None,
    max_tokens: MaxTokens = None,
    max_money: MaxMoney = None,
    on: On = (),
    folder: Path | None = None,
    json: Json = False,
) -> None:
    """A single pass, to see whether everything works: the baseline is measured once, and one trial.

    Parameters
    ----------
    recipe
        A shipped recipe's name or the path of a .toml file, of one level.
    task
        The task, as for `bilevel run`.
    article
        A text that the task article works on, in place of the shipped ones. May be given several times.
    model
        The language model, as for `bilevel run`.
    seed
        The seed of everything.
    folder
        Where to store the run (runs/RECIPE-TASK-NUMBER if not given).
    """
    from bilevel.cli.running import of_files, of_texts, run_recipe
    from bilevel.cli.running import once as single
    from bilevel.events import with_commands
    from bilevel.overriding import override
    from bilevel.recipe import find

    found = find(recipe)
    task = of_files(found, task, article)
    limits = {"tokens": max_tokens, "money": max_money}
    researcher = of_texts(found, task, model)
    chosen = override(found, task=task, researcher=researcher, seed=seed, models=model, limits=limits)
    run_recipe(with_commands(single(chosen), on), folder, json)


@app.command
def resume(
    folder: Path,
    *,
    max_seconds: MaxSeconds = None,
    max_tokens: MaxTokens = None,
    max_money: MaxMoney = None,
    on: On = (),
    other_machine: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped or killed; the result is that of the run that would have been.

    A run that a limit ended goes on with a higher one.

    Parameters
    ----------
    folder
        The run folder.
    other_machine
        Go on although the processor, interpreter or packages are not those that measured the run so far.
    """
    from bilevel.cli.running import resume_run

    resume_run(folder, {"seconds": max_seconds, "tokens": max_tokens, "money": max_money}, json, other_machine, on)


@app.command
def confirm(
    folder: Path,
    *,
    mechanism: str | None = None,
    pairs: int | None = None,
    trials: int | None = None,
    plan: Annotated[bool, Parameter(negative="")] = False,
    max_seconds: MaxSeconds = None,
    max_tokens: MaxTokens = None,
    max_money: MaxMoney = None,
    json: Json = False,
) -> None:
    """Measure the answer of a run further on fresh seeds; or, with --mechanism, test whether mechanisms help.

    The claim stage at the end of the run goes on where it ended; its evidence is not begun anew. A run without one gets
    one. With --mechanism whole loops start from the baseline with fresh run seeds: with the mechanism, without it, and
    with a restart or a placebo in its place; the same command goes on with that evidence, or with what was interrupted.

    Parameters
    ----------
    folder
        The run folder.
    mechanism
        The mechanisms to test, A,B; or all: those in force on level 1 at the end of the run.
    pairs
        How many more fresh seeds, or pairs of loops, at most (the recipe's claim.most if not given).
    trials
        With --mechanism: trials per loop (as many as the run gave its innermost loop if not given).
    plan
        With --mechanism: say what it will take, and do nothing.
    """
    from bilevel.cli.running import confirm_run

    limits = {"seconds": max_seconds, "tokens": max_tokens, "money": max_money}
    if mechanism is None:
        confirm_run(folder, pairs, limits, json)
        return
    from bilevel.cli.confirmations import confirm_mechanisms

    confirm_mechanisms(folder, mechanism, pairs, trials, plan, limits, json)


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
