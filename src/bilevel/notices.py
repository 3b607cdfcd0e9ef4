"""A person's command on an event: which there are, what one is given, how it is run, and how it ended.

A command gets the facts as JSON on its standard input and the main ones as variables; its environment is an allow-list,
as that of candidates.
"""

import json
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.errors import HarnessError, InputError
from bilevel.execution.environment import allowed
from bilevel.execution.outcome import Ending, Limits
from bilevel.execution.process import run as run_command
from bilevel.recipe import EVENTS, EventsTable

TOLD = "told by its command"  # so it ends where a command worked
MEMORY, OUTPUT = 1 << 30, 1 << 16  # bytes that a command may use, and print
SHOWN = 200  # characters of what a command printed that are kept


@dataclass(frozen=True)
class Notice:
    """What happened, in a sentence and in facts; `best` is the best score so far, where there is one."""

    event: str
    message: str
    folder: Path
    facts: Mapping[str, Any]
    best: float | None = None


def call(table: EventsTable, notice: Notice, redact: Callable[[str], str], cancel: threading.Event) -> str:
    """Run the command of an event, which there must be; what happened and how the command ended, in a sentence."""
    message = redact(notice.message)
    text = redact(json.dumps({"event": notice.event, "message": message, **notice.facts}))
    said = f"{notice.event}: {message}; "
    limits = Limits(table.seconds, table.seconds, MEMORY, OUTPUT)
    variables = {
        **variables_for(table),
        "BILEVEL_EVENT": notice.event,
        "BILEVEL_MESSAGE": message.replace("\0", ""),
        "BILEVEL_RUN": str(notice.folder.resolve()),
        "BILEVEL_BEST": "" if notice.best is None else repr(notice.best),
    }
    try:
        done = run_command(
            ["/bin/sh", "-c", getattr(table, notice.event)], cwd=Path.cwd(), env=variables, limits=limits,
            stdin=text.encode("utf-8", "replace"), cancel=cancel,
        )  # fmt: skip
    except (HarnessError, InputError, OSError) as error:
        return redact(f"{said}its command could not be run: {error}")
    printed = " ".join((done.stderr or done.stdout).split())[-SHOWN:] or "it printed nothing"
    if done.ok:
        return said + TOLD
    if done.ending is Ending.EXITED:
        return redact(f"{said}its command failed with exit code {done.exit_code}: {printed}")
    return f"{said}its command was ended ({done.ending.value}) after {done.wall_seconds:.1f} s"


def variables_for(table: EventsTable) -> dict[str, str]:
    """The variables of a command, but for the facts. Raises InputError for one that looks like a secret."""
    home = Path.home()
    try:
        places = {"HOME": str(home), "TMPDIR": tempfile.gettempdir()}
        return allowed(table.env_pass, places, scratch=home)
    except InputError as error:
        raise InputError(f"events.env_pass: {error}") from None


def commands_in(options: Sequence[str], events: Sequence[str] = EVENTS) -> dict[str, str]:
    """The commands that options name, EVENT=COMMAND each, by event. Raises InputError for other texts."""
    given: dict[str, str] = {}
    for text in options:
        event, equals, command = text.partition("=")
        if not equals or event not in events:
            raise InputError(f"--on {text!r} cannot be used; write EVENT=COMMAND with one of: {', '.join(events)}")
        given[event] = command
    return given
