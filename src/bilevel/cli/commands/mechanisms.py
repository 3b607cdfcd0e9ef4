"""Commands for the library: `mechanisms list`, `show`, `check`, `rehearse`, `export`, `import`, `remove`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from bilevel.cli.program import Json, app

mechanisms = App(
    name="mechanisms",
    help="The library of mechanisms: what there is, what is known of each, and how they come out of a run and in.\n\n"
    "A mechanism is named NAME, shipped:NAME, project:NAME, user:NAME, package:NAME, or by the path of its .py file."
    "\n\nOne that is a text (a prompt, a skill, a memory rule, a step of the workflow) is named CARRIER:NAME, as in "
    "skill:wide_steps, or by the path of its file NAME.CARRIER.md (NAME.step.py for a step as code).",
)
app.command(mechanisms)
Force = Annotated[bool, Parameter(negative="")]


@mechanisms.command(name="list")
def list_(*, family: str = "", json: Json = False) -> None:
    """List the mechanisms that are there, where each comes from, and the best evidence on it.

    Parameters
    ----------
    family
        Show evidence from tasks of this family only (a task's name without options).
    """
    from bilevel.cli.shelving import print_list

    print_list(family, json)


@mechanisms.command
def show(name: str, *, run: Path | None = None, json: Json = False) -> None:
    """Show one mechanism: source, parameters, author, evidence; or its whole life in a run.

    Parameters
    ----------
    name
        The mechanism; with --run, the name that it has there.
    run
        A run folder: who proposed it and in which calls, the rungs that it climbed, its ledger, its forks, and where it
        is in force.
    """
    from bilevel.cli.shelving import print_show

    print_show(name, run, json)


@mechanisms.command
def check(file: Annotated[tuple[str, ...], Parameter(negative="")], /, *, json: Json = False) -> None:
    """Put mechanisms to the door and say all that is wrong. The exit code is 1 where one is refused.

    Parameters
    ----------
    file
        .py files, or names of mechanisms.
    """
    from bilevel.cli.shelving import print_check

    sys.exit(print_check(file, json))


@mechanisms.command
def rehearse(
    file: Annotated[tuple[str, ...], Parameter(negative="")], /, *, run: Path | None = None, json: Json = False
) -> None:
    """Race mechanisms on models of a task, against a placebo and a restart on the same seeds. Nothing is measured.

    Each passes the door first. The exit code is 1 where one is refused: at the door, or because it is worse than a
    placebo beyond chance. A rehearsal shows harm; it proves no gain.

    Parameters
    ----------
    file
        .py files, or names of mechanisms.
    run
        A run folder: rehearse on a surrogate fitted to what its innermost loop measured too, not only on a synthetic
        landscape.
    """
    from bilevel.cli.rehearsing import print_rehearse

    sys.exit(print_rehearse(file, run, json))


@mechanisms.command
def export(
    run: Path,
    name: str,
    *,
    to: Path | None = None,
    library: Annotated[bool, Parameter(negative="")] = False,
    trial: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Take a mechanism out of a run, with what the run's forks say of it: NAME.py, or NAME.CARRIER.md for a text, and
    its record beside it.

    It goes into the project's folder `mechanisms` unless another place is given. Where the same source lies there, the
    evidence is added to it.

    Parameters
    ----------
    run
        The run folder; it is only read.
    name
        The mechanism's name in that run.
    to
        The file to write: .py, or .CARRIER.md for a text.
    library
        Write it into the user library; it passes the door first.
    trial
        Take the version that was proposed in this trial of level 2 (the one in force at the end if not given).
    force
        Replace another source that lies there.
    """
    from bilevel.cli.shelving import print_export

    print_export(run, name, to, library, trial, force, json)


@mechanisms.command(name="import")
def import_(source: Path, /, *, force: Force = False, json: Json = False) -> None:
    """Take mechanisms, code and texts, over into the user library. Each passes the door first, or is not stored.

    Parameters
    ----------
    source
        NAME.py, or a text NAME.CARRIER.md (each with its .toml beside it, if that is there); a folder of such pairs; or
        a .tar, .tar.gz or .zip of them.
    force
        Replace other sources that have the same names.
    """
    from bilevel.cli.shelving import print_import

    sys.exit(print_import(source, force, json))


@mechanisms.command
def remove(name: str, *, json: Json = False) -> None:
    """Remove a mechanism, and what is known of it, from the user library.

    Parameters
    ----------
    name
        Its name there.
    """
    from bilevel.cli.shelving import print_remove

    print_remove(name, json)
