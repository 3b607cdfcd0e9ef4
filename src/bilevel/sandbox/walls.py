"""The walls around a sandboxed process, put up from inside, once everything that it needs is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bilevel.sandbox import landlock, namespaces, seccomp

LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
SIGKILL = 9
AF_UNIX, SOCK_DGRAM = 1, 2
OWN_USERS, HOW_MANY = 1_900_000_000, 100_000_000  # a range of users that own nothing
NOBODY = 65534


class Refused(Exception):
    """A wall cannot be put up here."""


def close(walls: dict[str, Any], announce: Callable[[int], None]) -> dict[str, Any]:
    """Put up the walls that are asked for, and say what is in force. Raises Refused where one cannot be had.

    `walls`: `wanted` (of `namespaces`, `landlock`, `seccomp`; limits are always in force), `memory_bytes` beyond what
    is in use, `cpu_seconds`, and `parent`, the process that this one must not outlive (0 where another sees to that).
    """
    wanted, memory, outer = walls["wanted"], used(), None
    report: dict[str, Any] = {"landlock": 0, "seccomp": False, "namespaces": "namespaces" in wanted}
    alone()
    if "namespaces" in wanted:
        with wall("namespaces"):
            outer = namespaces.enter(seccomp.machine(), announce)
    report["user"] = own_user()
    if LINUX:
        with wall("capabilities"):
            namespaces.drop_capabilities()
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        end_with(walls["parent"], outer)
    if "landlock" in wanted:
        with wall("Landlock"):
            report["landlock"] = landlock.restrict()
    limit(memory + walls["memory_bytes"], walls["cpu_seconds"])
    if "seccomp" in wanted:
        with wall("seccomp"):
            seccomp.restrict()
        report["seccomp"] = True
    report["tried"] = tried()
    if "seccomp" in wanted and set(report["tried"].values()) != {"EPERM"}:
        raise Refused(f"the seccomp filter does not hold: {report['tried']}")
    return report


@contextlib.contextmanager
def wall(name: str) -> Iterator[None]:
    """Say which wall it was that the system refused."""
    try:
        yield
    except (OSError, AttributeError) as error:
        raise Refused(f"{name}: {error}") from error


def alone() -> None:
    """Nothing else may run in this process while the walls close: a thread could stay outside of some of them."""
    if LINUX and os.path.isdir("/proc/self/task") and len(os.listdir("/proc/self/task")) > 1:
        raise Refused("a module that was loaded has started a thread")


def own_user() -> int:
    """Where this is root: become a user that owns nothing, without any privilege. Returns the user in force."""
    if os.geteuid() != 0:
        return os.geteuid()
    for user in (OWN_USERS + os.getpid() * 7919 % HOW_MANY, NOBODY):
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setregid(user, user)
            os.setreuid(user, user)
            return user
    return 0


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process (Linux)."""
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def end_with(parent: int, outer: int | None) -> None:
    """Be killed when the process that started this one ends, or end now if it has ended."""
    if outer is not None:
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        os.set_blocking(outer, False)
        with contextlib.suppress(BlockingIOError):
            os.read(outer, 1)
            os._exit(1)  # nobody writes there: this was its end
        os.close(outer)
    elif parent:
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def limit(memory: int, cpu_seconds: int) -> None:
    """Resource limits that cannot be raised again; no new descriptor can be opened: no file, no socket, no pipe."""
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_CPU, cpu_seconds)
    with contextlib.suppress(ValueError, OSError):  # macOS may refuse; the host looks at the memory there
        lower(resource.RLIMIT_AS, memory)
    lower(resource.RLIMIT_NPROC, 0)
    lower(resource.RLIMIT_NOFILE, 0)


def lower(which: int, value: int) -> None:
    """Set a limit for good, never above the one in force."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def used() -> int:
    """Bytes of address space that this process has already (0 where that is unknown)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def tried() -> dict[str, str]:
    """What happens here to one who opens a folder, makes a socket and starts a process: an error's name, or `done`."""
    system = ctypes.CDLL(None, use_errno=True)

    def socket() -> None:
        made = system.socket(AF_UNIX, SOCK_DGRAM, 0)
        if made < 0:
            raise OSError(ctypes.get_errno(), "socket")
        os.close(made)

    def process() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    found = {}
    for name, act in {
        "file": lambda: os.close(os.open("/", os.O_RDONLY)),
        "socket": socket,
        "process": process,
    }.items():
        try:
            act()
            found[name] = "done"
        except OSError as error:
            found[name] = errno.errorcode.get(error.errno or 0, str(error))
    return found
