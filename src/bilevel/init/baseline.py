"""Runs a repository's command once, as the task will run it, and keeps what it left."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bilevel.codec import derive_seed
from bilevel.errors import InputError
from bilevel.init.numbers import Output
from bilevel.lab import Bench, Lab
from bilevel.tasks.folder import FolderTask
from bilevel.trial import Status

HINTS = (
    (
        r"ModuleNotFoundError|ImportError",
        "the interpreter lacks a package: give the one that you use with --python PATH",
    ),
    (
        r"resolv|Network is unreachable|ConnectionError|URLError|Max retries exceeded",
        "runs have no network unless --network is given; better, download what it needs before",
    ),
    (
        r"FileNotFoundError|No such file",
        "a run has a copy of the files that git knows and a HOME of its own: name what it reads elsewhere with --read "
        "PATH, and caches that it writes with --write PATH",
    ),
    (r"KeyError: '([A-Z][A-Z0-9_]+)'", "runs get no variables of yours: name those that are needed with --env NAME"),
)
MOST_OUTPUT = 64 * 2**20


def machine_memory() -> int:
    """The bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def measure(folder: Path, text: str, say: Callable[[str], None]) -> Output:
    """Run the baseline of the draft in `folder`, whose command goes through probe.py.

    Raises InputError where it fails or takes too long, with the end of its output and the likely way out.
    """
    task = FolderTask.open(folder)
    rung = task.rungs[0]
    say(f"running `{text}` once in a copy (at most {rung.options['wall_seconds']:g} s) …")
    run = task.run(task.baseline(), Bench(Lab(), rung.name, 0, derive_seed(0, "evaluation", 0), rung.options))
    facts = _facts(run.log)
    if facts is None:
        limit = run.status is Status.TIME_OUT
        way = "give a smaller command, or more time with --time-limit SECONDS" if limit else "see what it printed"
        raise InputError(f"`{text}` could not be measured: {run.status.value}; {way}\n{_end(run.log)}")
    output = Output(
        facts["stdout"], facts["stderr"], facts["seconds"], facts["cpu_seconds"],
        int((run.data or {}).get("peak_memory_bytes") or 0), tuple(facts["written"]), facts["texts"],
        facts["exit_code"], facts["printed"],
    )  # fmt: skip
    if output.exit_code != 0:
        printed = f"{output.stdout}\n{output.stderr}"
        hints = "".join(f"\n  {hint}" for pattern, hint in HINTS if re.search(pattern, printed))
        raise InputError(
            f"`{text}` failed with exit code {output.exit_code}; give a command that works with --command:"
            f"{hints}\n{_end(printed)}"
        )
    return output


def _facts(log: str) -> dict[str, Any] | None:
    for line in reversed(log.splitlines()):
        if line.startswith('{"probe"'):
            try:
                facts: dict[str, Any] = json.loads(line)["probe"]
                return facts
            except ValueError:
                return None
    return None


def _end(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith('{"probe"')][-12:]
    return "\n".join(f"    {line[:200]}" for line in lines)
