"""A run without a network: what it cannot reach, what it still can, and what is said where the system forbids it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bilevel.execution.network import NOT_ENFORCED, OFF, network_isolation, network_obstacle
from bilevel.execution.process import CONTAINMENT, Ending, Limits, run

SOURCE = Path(__file__).parents[2] / "src"
ENV = {"PATH": os.environ["PATH"]}
enforced = pytest.mark.skipif(network_isolation() != OFF, reason=f"not enforceable here: {network_obstacle()}")
LIMITS = Limits(20.0, 20.0, 1 << 29, 1 << 20)


def python(code, cwd, offline=True, limits=LIMITS):
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    return run(command, cwd=cwd, env=ENV, limits=limits, offline=offline)


CONNECT = """
import socket
found = socket.socket(); found.settimeout(2)
print(found.connect_ex(("127.0.0.1", {port})))
"""


@enforced
def test_a_run_reaches_no_service_of_the_host_and_no_other_machine(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = CONNECT.format(port=server.getsockname()[1])
        assert python(code, tmp_path, offline=False).stdout == "0\n"
        assert python(code, tmp_path).stdout not in ("0\n", "")
    names = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert python(names, tmp_path).stdout == "['lo']\n"
    datagram = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
    assert "unreachable" in python(datagram, tmp_path).stderr


@enforced
def test_processes_of_a_run_still_talk_to_each_other(tmp_path):
    code = """
import multiprocessing, socket
from multiprocessing.connection import Client, Listener
def serve(listener): listener.accept().send("hello")
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname())
for family in ("AF_UNIX", "AF_INET"):
    with Listener(family=family) as listener:
        child = multiprocessing.Process(target=serve, args=(listener,)); child.start()
        with Client(listener.address) as client: print(client.recv())
        child.join()
with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2]))
"""
    outcome = python(code, tmp_path)
    assert outcome.stdout == "hello\nhello\n[1, 2]\n", outcome.stderr


@enforced
def test_limits_and_the_end_of_the_tree_hold_without_a_network_too(tmp_path):
    code = "import os\nif os.fork() == 0: os.setsid()\nheld = bytearray(1 << 28)\nwhile True: pass"
    outcome = python(code, tmp_path, limits=Limits(20.0, 20.0, 1 << 27, 1 << 20))
    assert outcome.ending is Ending.MEMORY_LIMIT
    assert python("import os; print(os.getuid())", tmp_path).stdout == f"{os.getuid()}\n"


NO_UNSHARE = """
import ctypes, struct
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 272), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]  # unshare: EPERM
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
system = ctypes.CDLL(None)
assert system.prctl(38, 1, 0, 0, 0) == 0
assert system.prctl(22, 2, ctypes.byref(Program(len(steps), ctypes.addressof(code))), 0, 0) == 0
from pathlib import Path
from bilevel.errors import HarnessError
from bilevel.execution.network import network_isolation, network_obstacle
from bilevel.execution.process import Limits, run
print(network_isolation())
print(network_obstacle())
try:
    run(["true"], cwd=Path("/"), env={"PATH": "/bin"}, limits=Limits(9.0, 9.0, 1 << 29, 1 << 20), offline=True)
except HarnessError:
    print("refused")
"""


@pytest.mark.skipif(CONTAINMENT != "tree" or os.uname().machine != "x86_64", reason="needs seccomp of x86-64 Linux")
def test_where_the_system_does_not_let_us_it_is_said_and_never_run_with_the_network_instead():
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", NO_UNSHARE], env=env, capture_output=True, text=True, check=False)
    level, why, refused = done.stdout.splitlines()
    assert level == NOT_ENFORCED and "not permitted" in why and refused == "refused"
