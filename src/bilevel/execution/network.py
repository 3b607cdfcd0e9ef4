"""Whether a run can be cut off from the network here, found by running a tiny program that way."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from pathlib import Path

from bilevel.errors import BilevelError
from bilevel.execution import process
from bilevel.execution.outcome import Limits

ON, OFF, NOT_ENFORCED = "on", "off", "off asked, not enforceable here"
"""What holds for a run's network; the last is recorded where a task asks for `off` and the system does not give it."""

_PROBE = """
import errno, socket
names = [name for _, name in socket.if_nameindex()]
with socket.socket() as found:
    found.settimeout(1)
    code = found.connect_ex(("192.0.2.1", 9))  # an address that is kept for documentation
print(names == ["lo"] and code == errno.ENETUNREACH)
"""


def network_isolation() -> str:
    """`off` where runs can be cut off from the network, or `off asked, not enforceable here`; found once a process."""
    return NOT_ENFORCED if network_obstacle() else OFF


@functools.cache
def network_obstacle() -> str:
    """Why runs cannot be cut off from the network here; empty where they can."""
    with tempfile.TemporaryDirectory(prefix="bilevel-") as folder:
        try:
            outcome = process.run(
                [sys.executable, "-I", "-S", "-B", "-c", _PROBE],
                cwd=Path(folder), env={"PATH": os.defpath}, limits=Limits(30.0, 30.0, 2**30, 2**16), offline=True,
            )  # fmt: skip
        except BilevelError as error:
            return str(error)
    if outcome.ok and outcome.stdout.strip() == "True":
        return ""
    return f"the probe did not find itself cut off: {outcome.tail(3) or outcome.ending.value}"
