"""The command that compares: `compare`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bilevel.cli.program import Json, app


@app.command
def compare(
    *,
    arms: str | None = None,
    task: str | None = None,
    replicates: int | None = None,
    equal: Literal["trials", "tokens", "seconds", "money"] | None = None,
    budget: float | None = None,
    reference: str | None = None,
    seed: int | None = None,
    fresh: int | None = None,
    recheck: int | Literal["all"] | None = None,
    researcher: str | None = None,
    model: tuple[str, ...] = (),
    inner_budget: int | None = None,
    rung: str | None = None,
    most_trials: int | None = None,
    workers: int = 1,
    on: Annotated[
        tuple[str, ...],
        Parameter(
            help="finished=COMMAND, failed=COMMAND: a command of yours when the comparison has ended, and for each run "
            "that has no number, with the facts as JSON on its input; what happens within a run is told by the "
            "commands of its recipe. Counts for this call."
        ),
    ] = (),
    folder: Path | None = None,
    plan: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Run several recipes at equal budget, with the same seeds, and say what the difference is worth.

    Each run is a run folder of its own. With --folder alone a comparison goes on that was stopped or killed, and one
    that is finished is printed again. The exit code is 1 where runs are missing.

    Parameters
    ----------
    arms
        Recipes by name or by .toml file, with commas: a,d,restart,static,shuffle,random if not given.
    task
        The task, as for `bilevel run` (gpt-table if not given), or several with commas: then scores are averaged over
        them, and each is shown in its own unit.
    replicates
        Runs per arm and task (10 if not given); each replicate has a seed that all arms share.
    equal
        What each run gets the same of (trials if not given). Trials are measurements, those of all arms of forks
        counted; what is refused before it is measured costs nothing.
    budget
        How much of it (30 if not given).
    reference
        The arm that all others are tested against ("a" if it is among them, else the first).
    seed
        The seed of everything.
    fresh
        On how many fresh seeds the best candidate and the baseline are measured again (3 if not given; 0: improvements
        are best-seen values).
    recheck
        How many keeps of each run, or "all", are measured again on the fresh seeds after the search, beside the
        candidate they started from, to see how many survive; outside the budget (none if not given).
    researcher
        Who proposes in the innermost loop of all arms that do not name one themselves.
    model
        The language model, as for `bilevel run`; arms that name their researcher keep it.
    inner_budget
        Trials of the innermost loop per cycle, in arms with levels above.
    rung
        The size of measurement that scores.
    most_trials
        How many measurements a run may take whose budget is not in trials.
    workers
        Runs that go on at once, each in a process of its own.
    folder
        Where the comparison is stored (comparisons/TASK-NUMBER if not given).
    plan
        Say what it will take, and stop.
    """
    from bilevel.cli.comparisons import run_compare, tasks_in

    given = {
        "arms": None if arms is None else tuple(part.strip() for part in arms.split(",") if part.strip()),
        "tasks": None if task is None else tasks_in(task),
        "replicates": replicates,
        "equal": equal,
        "budget": budget,
        "reference": reference,
        "seed": seed,
        "fresh": fresh,
        "recheck": recheck,
        "researcher": researcher,
        "models": model or None,
        "inner_budget": inner_budget,
        "rung": rung,
        "most_trials": most_trials,
    }
    wishes = {name: value for name, value in given.items() if value is not None}
    sys.exit(run_compare(wishes, folder, workers, plan, json, on))
