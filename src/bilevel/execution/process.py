"""Run one command as a contained tree of processes: limits, bounded output, and nothing left behind.

Between the host and the command stands a small supervisor process (`supervisor.py`), one for each run. It costs
about 30 ms a run (a bare `subprocess.run` costs 1 ms, the experiments it serves take seconds to minutes) and buys
what threads in the host cannot give:

- when the host is killed with -9 the supervisor sees its pipe end and kills the tree;
- it is a subreaper (Linux), so a descendant that calls `setsid` or loses its parent comes back to it, and
  "no child left" proves that the tree is gone; runs side by side in one host never touch each other's processes.

The command gets exactly the environment it is given and one more name, `BILEVEL_RUN_ID`, by which the host finds
what is left should the command kill its own supervisor. No shell is ever used.

What holds where: Linux: everything. Other POSIX systems: only the process group is killed (a child that calls
`setsid` escapes), memory is reported but not limited, and CPU time is limited per process. Windows: not supported.

Not covered: GPU memory; files in shared memory that no process maps; a command of the same user that attacks its
supervisor or the host on purpose (that is what a sandbox is for, which can be the command given here).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bilevel.errors import HarnessError, InputError
from bilevel.execution.outcome import MACHINE_ENDINGS, Ending, Limits, Outcome, judged

__all__ = ["CONTAINMENT", "MACHINE_ENDINGS", "Ending", "Limits", "Outcome", "run"]

RUN_ID = "BILEVEL_RUN_ID"
CONTAINMENT = "tree" if sys.platform.startswith("linux") else "group"
"""What is certain to die with a run: the whole `tree` of descendants, or only the process `group`."""

# Imported, not run as a script: a script is compiled anew for each run.
_SUPERVISOR = "import sys; sys.path.append(sys.argv[1]); import supervisor; supervisor.main()"
_GRACE_SECONDS = 30.0  # beyond the wall limit, before a silent supervisor is given up


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    stdin: bytes = b"",
    on_start: Callable[[int], None] | None = None,
    cancel: threading.Event | None = None,
    offline: bool = False,
) -> Outcome:
    """Run `command` to its end or to its first limit; every process it started is dead on return.

    `command[0]` is looked up in the PATH of `env`. `stdin` is read as a file that ends after it. `on_start` gets
    the process id once the command runs. Setting `cancel` kills the run. `offline` gives the tree a network of its own
    with a loopback and nothing else: it is in force where this returns, and a HarnessError where the system does not
    let us (`network.network_isolation` says so beforehand). What the command does wrong is an `Outcome`; InputError is
    for a request that cannot be run (a missing folder, an empty command), HarnessError for failures of our own, or of a
    tree that cannot be killed.
    """
    if sys.platform == "win32":
        raise HarnessError("running commands needs a POSIX system: use Linux, macOS or WSL")
    if not command or not command[0] or any("\0" in part for part in (*command, *env, *env.values())):
        raise InputError(f"not a command with its environment: {list(command)!r}")
    if not Path(cwd).is_dir():
        raise InputError(f"the working folder of a command is not a folder: {str(cwd)!r}")
    if cancel is not None and cancel.is_set():
        return Outcome(Ending.CANCELLED, None, None, 0.0, 0.0, 0, "", "")
    run_id = uuid.uuid4().hex
    request: dict[str, Any] = {
        "command": list(command), "cwd": str(Path(cwd).absolute()), "env": {**env, RUN_ID: run_id}, "stdin": None,
        "offline": offline, **vars(limits),
    }  # fmt: skip
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        pass_fds: tuple[int, ...] = ()
        if stdin:
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(stdin)
            file.seek(0)
            request["stdin"] = file.fileno()
            pass_fds = (file.fileno(),)
        supervisor = stack.enter_context(_supervisor(pass_fds))
        reply = _converse(supervisor, request, limits.wall_seconds, on_start, cancel)
    head, _, body = reply.partition(b"\n")
    if head.startswith(b'{"pid"'):
        head, _, body = body.partition(b"\n")
    try:
        facts = json.loads(head)
    except ValueError:  # it was killed in the middle
        _kill_marked(run_id)
        lost = "the process that supervised this run was killed or stopped answering"
        return Outcome(Ending.KILLED, None, None, time.monotonic() - began, 0.0, 0, "", lost)
    if "error" in facts:
        raise HarnessError(f"the supervisor of {command[0]!r} failed: {facts['error']}")
    if not facts["clean"]:
        raise HarnessError(f"processes of {command[0]!r} could not be killed; look for {RUN_ID}={run_id}")
    return judged(facts, body, limits, [str(cwd), env.get("TMPDIR", str(cwd))])


@contextlib.contextmanager
def _supervisor(pass_fds: tuple[int, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor process, told to kill its tree and waited for on leaving."""
    if not sys.executable:
        raise HarnessError("the path of the Python interpreter is unknown (sys.executable is empty)")
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    bytecode = ["-B"] if sys.dont_write_bytecode else []
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", *bytecode, "-c", _SUPERVISOR, str(Path(__file__).parent)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            cwd="/", env=kept, start_new_session=True, pass_fds=pass_fds,
        )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"cannot start a supervisor process: {error}") from error
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()  # the supervisor kills what is left
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _converse(
    supervisor: subprocess.Popen[bytes],
    request: Mapping[str, Any],
    wall_seconds: float,
    on_start: Callable[[int], None] | None,
    cancel: threading.Event | None,
) -> bytes:
    """Send the request and collect all that comes back; incomplete if the supervisor dies or falls silent."""
    control, answers = supervisor.stdin, supervisor.stdout
    assert control is not None and answers is not None
    _send(control, json.dumps(request).encode() + b"\n")
    reply = bytearray()
    poll = select.poll()
    poll.register(answers, select.POLLIN)
    deadline = time.monotonic() + wall_seconds + _GRACE_SECONDS
    while time.monotonic() < deadline:
        seconds = deadline - time.monotonic() if cancel is None else 0.05
        if not poll.poll(max(1.0, min(seconds, 3600.0) * 1000)):
            if cancel is not None and cancel.is_set():
                _send(control, b"c")
                cancel, deadline = None, time.monotonic() + _GRACE_SECONDS
            continue
        data = answers.read(1 << 20)
        if not data:
            return bytes(reply)
        reply += data
        if on_start is not None and b"\n" in reply and reply.startswith(b'{"pid"'):
            on_start(int(json.loads(reply[: reply.index(b"\n")])["pid"]))
            on_start = None
    supervisor.kill()
    return bytes(reply)


def _send(control: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(BrokenPipeError):  # its end is seen as the end of its answers
        while view:
            view = view[control.write(view) :]


def _kill_marked(run_id: str) -> None:
    """Kill what carries the mark of a run whose supervisor is gone (Linux); raises HarnessError if some resist."""
    mark = f"{RUN_ID}={run_id}".encode()
    deadline = time.monotonic() + _GRACE_SECONDS
    while CONTAINMENT == "tree" and time.monotonic() < deadline:
        found = False
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.001)
    if CONTAINMENT == "tree":
        raise HarnessError(f"processes of a run could not be killed; look for {RUN_ID}={run_id} in their environment")
