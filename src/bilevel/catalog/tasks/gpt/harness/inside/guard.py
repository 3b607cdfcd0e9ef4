"""A tripwire in the candidate's processes: it ends them where they reach for what they must not have.

An audit hook (PEP 578) sees each opened file, process and connection made through Python. It cannot see
native code that calls the system itself: keeping that out is the sandbox's task. What it does stop is the
plain cheat, and with a reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

REFUSED = 10
PROCESSES = frozenset(
    {"os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
)
NETWORK = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"})
PATHS = frozenset({"open", "os.link", "os.symlink", "os.rename", "os.truncate", "os.listdir", "os.scandir"})


def watch(forbidden: Sequence[str], read_only: bool, single: bool) -> None:
    """Refuse any path under `forbidden`; if `read_only`, any write; if `single`, processes and connections."""
    roots = tuple(os.path.realpath(path) for path in forbidden)

    def hook(event: str, args: tuple[object, ...]) -> None:
        if single and (event in PROCESSES or event in NETWORK):
            refuse(f"the candidate used {event}")
        elif event in PATHS:
            for path in args[:2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    real = os.path.realpath(os.fsdecode(path))
                    if any(real == root or real.startswith(root + os.sep) for root in roots) or _of_a_process(real):
                        refuse(f"the candidate touched {real}, which is not part of its task")
            if read_only and event in ("open", "os.link", "os.symlink", "os.rename", "os.truncate"):
                flags = args[2] if event == "open" and len(args) > 2 else os.O_WRONLY
                if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and args[0] != os.devnull:
                    refuse(f"the candidate wrote {args[0]!r} while it was being scored")

    sys.addaudithook(hook)


def refuse(reason: str) -> None:
    """End this process and say why."""
    os.write(2, f"REFUSED: {reason}\n".encode())
    os._exit(REFUSED)


def marks(holder: object) -> dict[str, object]:
    """What a module or class holds, by name, such that any replaced function or number shows as a difference."""
    found: dict[str, object] = {}
    for name, value in list(vars(holder).items()):
        inner = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
        inner = getattr(inner, "__wrapped__", inner)
        if isinstance(value, type) and value.__module__ == getattr(holder, "__name__", None):
            found[name] = (id(value), marks(value))
        elif isinstance(value, (int, float, str, frozenset, dict)) and not name.startswith("__"):
            found[name] = repr(value)
        elif not name.startswith("__") or hasattr(inner, "__code__"):
            found[name] = (id(value), getattr(inner, "__code__", None))
    return found


def _of_a_process(path: str) -> bool:
    parts = path.split(os.sep)
    return len(parts) > 2 and parts[1] == "proc" and parts[2].isdigit() and parts[2] != str(os.getpid())
