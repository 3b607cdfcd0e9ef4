"""Commands that steer a run while it goes on: `steer pause`, `resume`, `stop`, `budget`, `guide`, and so on."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from bilevel.cli.program import Json, app

steer = App(
    name="steer",
    help="Tell a run what to do while it goes on in another terminal. Each act is stored with its time and author, and "
    "is taken up between two trials; the run that a kill interrupts takes up later what it had not taken up.\n\n"
    "An act that cannot be applied is refused at once. `bilevel steer list RUN` says what became of each.",
)
app.command(steer)
Author = Annotated[str, Parameter(help="Who says so (the user of this machine if not given).")]
Level = Annotated[str, Parameter(help="Which level is meant, where it is not the innermost one (inner).")]
Why = Annotated[str, Parameter(help="The reason, stored with the act.")]


def _give(run: Path, kind: str, json: bool, **asked: Any) -> None:
    from bilevel.cli.steering import print_given

    print_given(run, kind, json, **asked)


@steer.command
def pause(run: Path, *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """Let the run finish what is running and begin nothing new, until `steer resume`; also over its end.

    Parameters
    ----------
    run
        The run folder.
    """
    _give(run, "pause", json, text=why, author=author)


@steer.command
def resume(run: Path, *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """Let a paused run go on.

    Parameters
    ----------
    run
        The run folder.
    """
    _give(run, "resume", json, text=why, author=author)


@steer.command
def stop(run: Path, *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """End the run after the trial that is running; `bilevel resume` goes on with it.

    Parameters
    ----------
    run
        The run folder.
    """
    _give(run, "stop", json, text=why, author=author)


@steer.command
def budget(
    run: Path,
    *,
    trials: int | None = None,
    cycles: int | None = None,
    evaluations: int | None = None,
    max_seconds: float | None = None,
    max_tokens: int | None = None,
    max_money: float | None = None,
    author: Author = "",
    json: Json = False,
) -> None:
    """Raise or lower what a run may spend; one budget at a time. A finished run goes on with `bilevel resume` then.

    Parameters
    ----------
    run
        The run folder.
    trials
        Trials of a recipe with one level, the baseline not counted.
    cycles
        Cycles of the outermost level, its baseline among them.
    evaluations
        Measurements of the whole run, the baseline's calibration not counted.
    max_seconds
        Wall time of the whole run, pauses not counted.
    max_tokens
        Tokens of all models together.
    max_money
        US dollars of all models together.
    """
    from bilevel.errors import InputError

    named = {
        "trials": trials, "cycles": cycles, "evaluations": evaluations,
        "seconds": max_seconds, "tokens": max_tokens, "money": max_money,
    }  # fmt: skip
    given = {name: value for name, value in named.items() if value is not None}
    if len(given) != 1:
        raise InputError(
            "one budget at a time: --trials, --cycles, --evaluations, --max-seconds, --max-tokens, --max-money"
        )
    what, value = given.popitem()
    _give(run, "budget", json, what=what, value=value, author=author)


@steer.command
def guide(run: Path, text: str, *, level: Level = "", author: Author = "", json: Json = False) -> None:
    """Tell whoever researches something more, from the next proposal on; refused where nobody there reads text.

    Parameters
    ----------
    run
        The run folder.
    text
        What to say, beside the task's guidance.md.
    """
    _give(run, "guide", json, text=text, level=level, author=author)


@steer.command
def freeze(run: Path, parameter: str, *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """Let a parameter keep the value that the search has found for it, until `steer unfreeze`.

    Parameters
    ----------
    run
        The run folder.
    parameter
        Its name.
    """
    _give(run, "freeze", json, what=parameter, text=why, author=author)


@steer.command
def unfreeze(run: Path, parameter: str, *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """Let a parameter be searched again that a person, the recipe or level 1.5 froze; level 1.5 cannot freeze it then.

    Parameters
    ----------
    run
        The run folder.
    parameter
        Its name.
    """
    _give(run, "unfreeze", json, what=parameter, text=why, author=author)


@steer.command
def pin(
    run: Path, mechanism: str, *, level: Level = "", why: Why = "", author: Author = "", json: Json = False
) -> None:
    """Let a mechanism that is in force, or on trial, stay as it is: no level removes, replaces or tests it any more.

    Parameters
    ----------
    run
        The run folder.
    mechanism
        Its name in the run.
    """
    _give(run, "pin", json, what=mechanism, level=level, text=why, author=author)


@steer.command
def retire(
    run: Path, mechanism: str, *, level: Level = "", why: Why = "", author: Author = "", json: Json = False
) -> None:
    """Take a mechanism out of force from the next trial on; the same one does not come back.

    Parameters
    ----------
    run
        The run folder.
    mechanism
        Its name in the run.
    """
    _give(run, "retire", json, what=mechanism, level=level, text=why, author=author)


@steer.command
def approve(run: Path, question: str = "", *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """Say yes to what waits at the gate of a run.

    Parameters
    ----------
    run
        The run folder.
    question
        Which question is meant, as `steer list` prints it: to be sure that it is still the one that is open.
    """
    _give(run, "approve", json, what=question, text=why, author=author)


@steer.command
def reject(run: Path, question: str = "", *, why: Why = "", author: Author = "", json: Json = False) -> None:
    """Say no to what waits at the gate of a run: it is not kept, not tried, or nothing more is spent.

    Parameters
    ----------
    run
        The run folder.
    question
        Which question is meant, as `steer list` prints it: to be sure that it is still the one that is open.
    """
    _give(run, "reject", json, what=question, text=why, author=author)


@steer.command(name="list")
def list_(run: Path, *, json: Json = False) -> None:
    """List what persons told a run, by whom and when, and what became of it.

    Parameters
    ----------
    run
        The run folder.
    """
    from bilevel.cli.steering import print_acts

    print_acts(run, json)
