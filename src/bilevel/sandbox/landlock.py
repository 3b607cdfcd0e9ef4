"""Landlock (Linux 5.13 and newer): a process gives up all access to files, and what later versions added to that.

Nothing is allowed again here, so a set of rules is made, applied and closed. Source: the kernel's
`Documentation/userspace-api/landlock.rst`.
"""

from __future__ import annotations

import ctypes
import os
import struct

CREATE_RULESET, RESTRICT_SELF = 444, 446  # the same number on every architecture
VERSION = 1  # the flag that asks for the version of the interface
FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights to files each version of the interface knows: the lowest so many bits."""
NETWORK_SINCE, NETWORK = 4, 0b11  # bind and connect TCP
SCOPES_SINCE, SCOPES = 6, 0b11  # abstract UNIX sockets, signals


def version() -> int:
    """The version of the interface that this kernel has; 0 for none."""
    return max(0, int(_system().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(VERSION))))


def restrict() -> int:
    """Give up every right that this kernel's Landlock knows, for good. Returns its version; 0 where there is none.

    Needs `no_new_privs`. Raises OSError where the kernel has Landlock and refuses.
    """
    found = version()
    if not found:
        return 0
    system = _system()
    files = (1 << max(count for since, count in FILES.items() if since <= found)) - 1
    rights = struct.pack("Q", files)
    if found >= NETWORK_SINCE:
        rights += struct.pack("Q", NETWORK)
    if found >= SCOPES_SINCE:
        rights += struct.pack("Q", SCOPES)
    rules = system.syscall(CREATE_RULESET, rights, ctypes.c_size_t(len(rights)), ctypes.c_uint(0))
    if rules < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        if system.syscall(RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint(0)) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(rules)
    return found


def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
