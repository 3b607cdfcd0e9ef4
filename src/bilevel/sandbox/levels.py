"""Levels of isolation: which of them this machine has, and why not the others.

| level | what it adds |
|---|---|
| `limits` | a process of its own, nothing in its environment, limits on all it uses, no new file, socket or pipe |
| `sealed` | Landlock and a seccomp filter: no files, no network, no processes, no signals |
| `contained` | the same in namespaces of its own, with nothing in the file system |

A level is there if a tiny program could be run that way, which is tried once in a process: what a machine has is
seldom what it allows.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from typing import Any

from bilevel.errors import HarnessError, InputError
from bilevel.sandbox.preloads import expanded
from bilevel.sandbox.starting import BUBBLEWRAP, UNSHARE, WALLS, Setup, start

LIMITS, SEALED, CONTAINED = "limits", "sealed", "contained"
LEVELS = (LIMITS, SEALED, CONTAINED)
AUTO = "auto"
WAYS = {LIMITS: ("",), SEALED: ("",), CONTAINED: (UNSHARE, BUBBLEWRAP)}
"""Who may make a level's namespaces, in the order in which they are tried: our own leave less to see."""
REMEDIES = {
    LIMITS: "use Linux, macOS or WSL",
    SEALED: "use Linux 5.13 or newer on x86_64 or aarch64; a container must not forbid seccomp()",
    CONTAINED: "allow user namespaces (Docker: --security-opt seccomp=unconfined; Ubuntu 24.04: sudo sysctl -w "
    "kernel.apparmor_restrict_unprivileged_userns=0), run as root, or install bubblewrap where it is allowed",
}
"""How to get a level that is missing."""


@dataclass(frozen=True)
class Probe:
    """Whether a level works here: what a process reported that was started so, or what stood in its way."""

    level: str
    way: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    obstacle: str = ""


@functools.cache
def probe(level: str) -> Probe:
    """Start a tiny process at a level, by each way in turn, and see. The answer is kept for this process."""
    if level != LIMITS and not sys.platform.startswith("linux"):
        return Probe(
            level, obstacle=f"seccomp, Landlock and namespaces are Linux's own; {sys.platform} has limits only"
        )
    obstacles = []
    for way in WAYS[level]:
        try:
            started = start(Setup("bilevel.sandbox.walls:tried", WALLS[level], way))
        except HarnessError as error:
            obstacles.append(f"{way}: {error}" if way else str(error))
            continue
        started.end()
        return Probe(level, way, started.report)
    return Probe(level, obstacle="; ".join(obstacles))


def available() -> tuple[str, ...]:
    """The levels that work here, the weakest first."""
    return tuple(level for level in LEVELS if not probe(level).obstacle)


def best() -> str:
    """The strongest level that works here. Raises HarnessError where there is none at all."""
    found = next((level for level in reversed(LEVELS) if not probe(level).obstacle), "")
    if not found:
        raise HarnessError(f"no sandboxed process can be started here: {probe(LIMITS).obstacle}")
    return found


def require(level: str) -> str:
    """The level that is asked for, where `auto` is the best. Raises InputError where it is unknown or cannot be had."""
    if level == AUTO:
        return best()
    if level not in LEVELS:
        raise InputError(f"{level!r} is no level of the sandbox; there are {', '.join((AUTO, *LEVELS))}")
    obstacle = probe(level).obstacle
    if obstacle:
        raise InputError(
            f"the sandbox cannot be {level!r} here: {obstacle}. Way out: {REMEDIES[level]}; or ask for "
            f"{best()!r}, the best that this machine has now"
        )
    return level


def describe(level: str) -> str:
    """One line for people: what holds at a level here, and by what."""
    found = probe(level)
    if found.obstacle:
        return f"{level}: not available here ({found.obstacle})"
    if level == LIMITS:
        opened = "can open no file, socket or pipe; " if found.report["tried"]["file"] != "done" else ""
        return f"{level}: a process of its own that {opened}limited in memory and time (rlimits; no kernel sandbox)"
    by = [
        f"Landlock {found.report['landlock']}" if found.report["landlock"] else "no Landlock in this kernel",
        "seccomp",
    ]
    if level == CONTAINED:
        by.append(f"namespaces by {found.way}")
    return f"{level}: no files, no network, no processes ({', '.join(by)})"


def setup(level: str, entry: str, preload: tuple[str, ...], memory_bytes: int, cpu_seconds: int) -> Setup:
    """How a process of a level is started here. Raises HarnessError where that level cannot be had."""
    found = probe(level)
    if found.obstacle:
        raise HarnessError(f"the sandbox cannot be {level!r} here: {found.obstacle}")
    return Setup(entry, WALLS[level], found.way, expanded(preload), memory_bytes, cpu_seconds)
