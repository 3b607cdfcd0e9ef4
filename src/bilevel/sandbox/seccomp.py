"""A seccomp filter: the few system calls that computing needs, and EPERM for all others.

It is a list of what is allowed, so a call that a later kernel brings is refused too. What computes may use memory
(never executable), clocks, random numbers, its own signals, a timer of its own CPU time, and the descriptors that are
open; it can open nothing, start no process or thread, send no signal to others, and change no limit. Source: the
kernel's `Documentation/userspace-api/seccomp_filter.rst`; classic BPF is McCanne and Jacobson, "The BSD Packet Filter",
USENIX Winter 1993.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_…
SECCOMP = {"x86_64": 317, "aarch64": 277}
ALLOWED = {
    # name: (x86_64, aarch64)
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "close": (3, 57), "lseek": (8, 62),
    "fstat": (5, 80), "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233),
    "futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168),
    "membarrier": (324, 283), "sysinfo": (99, 179), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "restart_syscall": (219, 128), "getpid": (39, 172),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "times": (100, 153), "getrusage": (98, 165), "getrandom": (318, 278), "exit": (60, 93),
    "exit_group": (231, 94),
}  # fmt: skip
"""What is allowed whatever its arguments are."""
NOT_EXECUTABLE = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed without PROT_EXEC, which is in the third argument."""
TO_ITSELF = {"tgkill": (234, 131)}
"""Allowed where the first argument is the process itself: `abort` is such a signal."""
ON_ITS_OWN_TIME = {"setitimer": (38, 103)}
"""Allowed where the first argument is ITIMER_PROF: a timer that stands still while the process waits for a request."""
UNKNOWN = {"clone3": (435, 435)}
"""Answered with ENOSYS, upon which the C library takes the older call."""
PROT_EXEC = 4
ITIMER_PROF = 2
TSYNC = 1
SET_MODE_FILTER = 1
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data


def machine() -> str:
    """The architecture of this process, as the tables name it; empty where there is no table."""
    name = platform.machine()
    return name if name in ARCHITECTURES and struct.calcsize("P") == 8 else ""


def program(name: str, pid: int) -> list[tuple[int, int, int, int]]:
    """The filter for a process of that architecture: instructions (code, jump if true, jump if false, constant)."""
    column = list(ARCHITECTURES).index(name)
    steps = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, ARCHITECTURES[name]),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    for numbers in ALLOWED.values():
        steps += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, ALLOW)]
    for numbers in NOT_EXECUTABLE.values():
        steps += [
            (EQUAL, 0, 4, numbers[column]),
            (LOAD, 0, 0, ARGUMENTS_AT + 2 * 8),
            (ANY_BIT, 0, 1, PROT_EXEC),
            (RETURN, 0, 0, ERRNO | errno.EPERM),
            (RETURN, 0, 0, ALLOW),
        ]
    for table, first in ((TO_ITSELF, pid), (ON_ITS_OWN_TIME, ITIMER_PROF)):
        for numbers in table.values():
            steps += [
                (EQUAL, 0, 4, numbers[column]),
                (LOAD, 0, 0, ARGUMENTS_AT),
                (EQUAL, 0, 1, first),
                (RETURN, 0, 0, ALLOW),
                (RETURN, 0, 0, ERRNO | errno.EPERM),
            ]
    for numbers in UNKNOWN.values():
        steps += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    return [*steps, (RETURN, 0, 0, ERRNO | errno.EPERM)]


def restrict() -> None:
    """Put up the filter for every thread of this process, for good. Needs `no_new_privs`; raises OSError."""
    name = machine()
    if not name:
        raise OSError(errno.ENOSYS, f"there is no table of system calls for {platform.machine()}")
    steps = program(name, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    system = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_long(SECCOMP[name])
    if system.syscall(number, ctypes.c_uint(SET_MODE_FILTER), ctypes.c_uint(TSYNC), filter_) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
