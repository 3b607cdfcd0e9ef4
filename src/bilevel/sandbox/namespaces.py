"""Namespaces without another program: processes, network, mounts, IPC and host name of their own, and an empty root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
from collections.abc import Callable
from typing import NoReturn

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
ALL = NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWPID | NEWNET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 0x4000, 0x40000
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
PLACES = ("/tmp", "/mnt", "/media", "/run", "/dev")


def enter(architecture: str, announce: Callable[[int], None]) -> int:
    """Go on as process 1 of namespaces of its own, with nothing in its file system. Raises OSError.

    The process that calls this stays outside, announces the number of the inner one, waits for it and ends as it
    does. Returns a descriptor that ends with the outer process.
    """
    _unshare()
    alive, held = os.pipe()
    go, going = os.pipe()
    inner = os.fork()
    if inner:
        os.close(alive)
        announce(inner)
        os.write(going, b"g")
        _stand_by(inner)
    os.close(held)
    os.close(going)
    os.read(go, 1)
    os.close(go)
    _empty_root(architecture)
    return alive


def drop_capabilities() -> None:
    """Give up every capability, also those that a user namespace of its own gave."""
    header = struct.pack("Ii", CAPABILITIES, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _unshare() -> None:
    system = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 and system.unshare(ALL) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    if system.unshare(ALL | NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _empty_root(architecture: str) -> None:
    system = ctypes.CDLL(None, use_errno=True)

    def call(what: str, done: int) -> None:
        if done != 0:
            raise OSError(ctypes.get_errno(), what)

    def mount(kind: bytes | None, place: bytes, flags: int, data: bytes | None = None) -> None:
        call("mount", system.mount(kind, place, kind, ctypes.c_ulong(flags), data))

    place = next(place for place in PLACES if os.path.isdir(place)).encode()
    plain = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount(None, b"/", MS_REC | MS_PRIVATE)
    mount(b"tmpfs", place, plain, b"size=4k,nr_inodes=2,mode=555")
    mount(b"tmpfs", place, plain | MS_REMOUNT | MS_RDONLY)
    os.chdir(place)
    call("pivot_root", system.syscall(ctypes.c_long(PIVOT_ROOT[architecture]), b".", b"."))
    call("umount2", system.umount2(b".", MNT_DETACH))
    os.chdir("/")


def _stand_by(inner: int) -> NoReturn:
    """Wait for the inner process, and end as it does."""
    status = os.waitpid(inner, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
