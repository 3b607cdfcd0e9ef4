"""What a run may use, how it ended, and the facts of it."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bilevel.errors import InputError

_FULL_BYTES = 1 << 20  # a failed command on a file system with less than this left failed for want of room
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}


@dataclass(frozen=True)
class Limits:
    """What one run may use. The tree is killed at the first limit that it passes.

    `cpu_seconds` and `memory_bytes` count the whole tree. They are looked at every 0.1 s (more rarely on a host with
    thousands of processes), so a run may pass them by what it can use in that time; a limit on memory below about
    16 MiB is not meaningful. `output_bytes` counts stdout and stderr together. `file_bytes` bounds each file written.
    """

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    output_bytes: int
    file_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"limit {name!r} must be a positive, finite number, not {value!r}")


class Ending(StrEnum):
    """Why a run ended. `MACHINE_ENDINGS` says which of them are never the command's own doing."""

    EXITED = "exited"  # by itself; `exit_code` says how
    CRASHED = "crashed"  # by a signal that stands for a fault of the program: SIGSEGV, SIGABRT …
    WALL_LIMIT = "wall_limit"
    CPU_LIMIT = "cpu_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    FILE_LIMIT = "file_limit"
    KILLED = "killed"  # by another signal, not sent by us; or its supervisor was killed
    CANCELLED = "cancelled"  # by the caller
    NOT_STARTED = "not_started"  # not found, not executable; the reason is in `stderr`
    DISK_FULL = "disk_full"  # it failed, and no room is left in its folder or its TMPDIR


MACHINE_ENDINGS = frozenset({Ending.KILLED, Ending.CANCELLED, Ending.DISK_FULL})


@dataclass(frozen=True)
class Outcome:
    """The facts of one run.

    `exit_code` and `signal` belong to the command itself, and exactly one is given where it ended; after a limit
    `signal` is the 9 that we sent. `cpu_seconds` is the whole tree with its reaped children. `peak_memory_bytes` is
    the larger of the summed resident memory seen while polling and the largest single process (which is at least
    the supervisor's own 10 MB, inherited over the fork). stdout and stderr are decoded as UTF-8 with replacement
    and hold together at most `output_bytes` bytes, the first ones.
    """

    ending: Ending
    exit_code: int | None
    signal: int | None
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command ended by itself with exit code 0."""
        return self.ending is Ending.EXITED and self.exit_code == 0

    def tail(self, lines: int = 40) -> str:
        """The last lines of stdout followed by stderr: what a reader needs first. It is untrusted text."""
        return "\n".join((self.stdout.splitlines() + self.stderr.splitlines())[-lines:])


def judged(facts: Mapping[str, Any], body: bytes, limits: Limits, folders: Sequence[str]) -> Outcome:
    """The outcome that a supervisor's report and the output after it stand for; `folders` are looked at for room."""
    out, err = body[: facts["stdout"]], body[facts["stdout"] : facts["stdout"] + facts["stderr"]]
    end = facts["exit"]
    return Outcome(
        ending=_ending(facts, limits, folders),
        exit_code=end if end is not None and end >= 0 else None,
        signal=-end if end is not None and end < 0 else None,
        wall_seconds=facts["wall_seconds"],
        cpu_seconds=facts["cpu_seconds"],
        peak_memory_bytes=facts["peak_memory_bytes"],
        stdout=out.decode("utf-8", "replace"),
        stderr=err.decode("utf-8", "replace"),
    )


def _ending(facts: Mapping[str, Any], limits: Limits, folders: Sequence[str]) -> Ending:
    """What stood behind the end of a command that ended without the supervisor."""
    ending, end = Ending(facts["ending"]), facts["exit"]
    if ending is not Ending.EXITED:
        return ending
    if facts["received"] > limits.output_bytes:
        return Ending.OUTPUT_LIMIT
    if end == 0:
        return Ending.EXITED
    if facts["cpu_seconds"] >= limits.cpu_seconds:  # RLIMIT_CPU, in the command or in one of its children
        return Ending.CPU_LIMIT
    if end == -signal.SIGXFSZ:
        return Ending.FILE_LIMIT
    if end == -signal.SIGKILL and facts["peak_memory_bytes"] >= limits.memory_bytes:  # the kernel was faster
        return Ending.MEMORY_LIMIT
    if any(map(_is_full, folders)):
        return Ending.DISK_FULL
    if end > 0:
        return Ending.EXITED
    return Ending.CRASHED if -end in _FAULTS else Ending.KILLED


def _is_full(folder: str) -> bool:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return False
    free = facts.f_bfree if os.geteuid() == 0 else facts.f_bavail
    return free * facts.f_frsize < _FULL_BYTES or (facts.f_files > 0 and facts.f_ffree == 0)
