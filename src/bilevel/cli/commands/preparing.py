"""Commands before a search: `init`, `check`, `doctor`, `models`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bilevel.cli.program import Json, app


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
    """Say what this machine offers (sandbox, GPU, packages, keys, file system), and the fix for what is missing."""
    from bilevel.cli.doctoring import print_doctor

    sys.exit(print_doctor(json))


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
