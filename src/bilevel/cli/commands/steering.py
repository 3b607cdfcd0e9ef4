"""Commands that steer a run while it goes on: `steer pause`, `resume`, `stop`, `budget`, `guide`, and so on."""

from dataclasses import dataclass
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
Run = Annotated[Path, Parameter(help="The run folder.")]
Named = Annotated[str, Parameter(help="The parameter's name.")]
Mechanism = Annotated[str, Parameter(help="The mechanism's name in the run.")]
Level = Annotated[str, Parameter(help="Which level is meant, where it is not the innermost one (inner).")]
Question = Annotated[
    str,
    Parameter(
        help="Which question is meant, as `steer list` prints it: to be sure that it is still the one that is open."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class By:
    """Who says it. What all acts have."""

    author: Annotated[str, Parameter(help="Who says so (the user of this machine if not given).")] = ""
    json: Json = False


@Parameter(name="*")
@dataclass(frozen=True)
class Said(By):
    """Who says it, and why: what acts have that have no text of their own."""

    why: Annotated[str, Parameter(help="The reason, stored with the act.")] = ""


def _give(run: Path, kind: str, by: By, **asked: Any) -> None:
    from bilevel.cli.steering import print_given

    if isinstance(by, Said):
        asked["text"] = by.why
    print_given(run, kind, by.json, author=by.author, **asked)


@steer.command
def pause(run: Run, *, said: Said = Said()) -> None:
    """Let the run finish what is running and begin nothing new, until `steer resume`; also over its end."""
    _give(run, "pause", said)


@steer.command
def resume(run: Run, *, said: Said = Said()) -> None:
    """Let a paused run go on."""
    _give(run, "resume", said)


@steer.command
def stop(run: Run, *, said: Said = Said()) -> None:
    """End the run after the trial that is running; `bilevel resume` goes on with it."""
    _give(run, "stop", said)


@steer.command
def budget(
    run: Run,
    *,
    trials: int | None = None,
    cycles: int | None = None,
    evaluations: int | None = None,
    max_seconds: float | None = None,
    max_tokens: int | None = None,
    max_money: float | None = None,
    by: By = By(),
) -> None:
    """Raise or lower what a run may spend; one budget at a time. A finished run goes on with `bilevel resume` then.

    Parameters
    ----------
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
    _give(run, "budget", by, what=what, value=value)


@steer.command
def guide(
    run: Run,
    text: Annotated[str, Parameter(help="What to say, beside the task's guidance.md.")],
    *,
    level: Level = "",
    by: By = By(),
) -> None:
    """Tell whoever researches something more, from the next proposal on; refused where nobody there reads text."""
    _give(run, "guide", by, text=text, level=level)


@steer.command
def freeze(run: Run, parameter: Named, *, said: Said = Said()) -> None:
    """Let a parameter keep the value that the search has found for it, until `steer unfreeze`."""
    _give(run, "freeze", said, what=parameter)


@steer.command
def unfreeze(run: Run, parameter: Named, *, said: Said = Said()) -> None:
    """Let a parameter be searched again that a person, the recipe or level 1.5 froze; level 1.5 then cannot."""
    _give(run, "unfreeze", said, what=parameter)


@steer.command
def pin(run: Run, mechanism: Mechanism, *, level: Level = "", said: Said = Said()) -> None:
    """Let a mechanism that is in force, or on trial, stay as it is: no level removes, replaces or tests it any more."""
    _give(run, "pin", said, what=mechanism, level=level)


@steer.command
def retire(run: Run, mechanism: Mechanism, *, level: Level = "", said: Said = Said()) -> None:
    """Take a mechanism out of force from the next trial on; the same one does not come back."""
    _give(run, "retire", said, what=mechanism, level=level)


@steer.command
def approve(run: Run, question: Question = "", *, said: Said = Said()) -> None:
    """Say yes to what waits at the gate of a run."""
    _give(run, "approve", said, what=question)


@steer.command
def reject(run: Run, question: Question = "", *, said: Said = Said()) -> None:
    """Say no to what waits at the gate of a run: it is not kept, not tried, or nothing more is spent."""
    _give(run, "reject", said, what=question)


@steer.command(name="list")
def list_(run: Run, *, json: Json = False) -> None:
    """List what persons told a run, by whom and when, and what became of it."""
    from bilevel.cli.steering import print_acts

    print_acts(run, json)
