"""Starting one sandboxed process: its command, its environment, the first words that it exchanges with the host."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bilevel.errors import HarnessError

CHILD = Path(__file__).with_name("child.py")
START_SECONDS = 60.0  # importing scikit-learn from a cold disk takes its time
TAIL_BYTES = 4096
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "GOTO")
ENVIRONMENT = {f"{name}_NUM_THREADS": "1" for name in THREADS} | {
    "VECLIB_MAXIMUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1",
}  # fmt: skip
"""All that a sandboxed process finds in its environment, beside the search path of the interpreter's own libraries."""
_LOADER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_COMPANIONS = {"sklearn": ("numpy", "scipy", "joblib", "threadpoolctl"), "scipy": ("numpy",)}


@dataclass(frozen=True)
class Setup:
    """What a sandboxed process loads, and what it may use."""

    entry: str
    preload: tuple[str, ...] = ()
    memory_bytes: int = 2**30
    cpu_seconds: int = 3600


class Started:
    """A sandboxed process that is ready: its pipes, and how it ended. Closing it kills all of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self.process = process
        self.pid = process.pid  # the process that runs the guest, as the host sees it
        self.report: dict[str, Any] = {}
        self.requests, self.replies, self.errors = process.stdin, process.stdout, process.stderr
        for stream in (self.requests, self.replies, self.errors):
            os.set_blocking(stream.fileno(), False)
        self._tail = b""
        self._how: str | None = None

    def drain(self) -> None:
        """Take what was written to standard error, and keep the end of it."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.errors.fileno(), 1 << 16):
                self._tail = (self._tail + data)[-TAIL_BYTES:]

    def tail(self, lines: int = 5) -> str:
        """The last lines that were written to standard error."""
        return "\n".join(self._tail.decode("utf-8", "replace").strip().splitlines()[-lines:])

    def end(self) -> str:
        """Kill what is left, and say how the process ended if it had ended by itself (else nothing)."""
        if self._how is not None:
            return self._how
        self._how = self._ended()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.pid != self.process.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(OSError):
            self.drain()
        for stream in (self.requests, self.replies, self.errors):
            with contextlib.suppress(OSError):
                stream.close()
        return self._how

    def _ended(self) -> str:
        code = self.process.poll()
        if code is None:
            return ""
        if self.pid != self.process.pid and code > 128:  # bubblewrap says it as a shell does
            code = 128 - code
        if code >= 0:
            return f"it ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it was killed by signal {-code}"


def start(setup: Setup, way: str) -> Started:
    """A process that is ready for its first request. Raises HarnessError where it cannot be had that way."""
    if sys.platform == "win32":
        raise HarnessError("the sandbox needs a POSIX system: use Linux, macOS or WSL")
    words = {
        "entry": setup.entry, "preload": setup.preload, "path": paths([setup.entry.partition(":")[0], *setup.preload]),
        "walls": {"host": os.getpid(), "memory_bytes": setup.memory_bytes, "cpu_seconds": setup.cpu_seconds},
    }  # fmt: skip
    started = Started(_SPAWNER.submit(_spawn, [sys.executable, "-P", "-s", "-S", "-B", str(CHILD)]).result())
    try:
        started.report = _greet(started, words)
    except BaseException:
        started.end()
        raise
    return started


def _spawn(command: list[str]) -> subprocess.Popen[bytes]:
    environment = ENVIRONMENT | {name: os.environ[name] for name in _LOADER if name in os.environ}
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            cwd="/", env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"cannot start a sandboxed process: {error}") from error


# Linux ends a child with the *thread* that started it: so it is one that lasts as long as the host.
_SPAWNER = ThreadPoolExecutor(1, "bilevel-sandbox")


def _greet(started: Started, words: dict[str, Any]) -> dict[str, Any]:
    data = memoryview(json.dumps(words).encode() + b"\n")
    reply = b""
    deadline = time.monotonic() + START_SECONDS
    while b"\n" not in reply:
        poll = select.poll()
        poll.register(started.replies, select.POLLIN)
        poll.register(started.errors, select.POLLIN)
        if data:
            poll.register(started.requests, select.POLLOUT)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise HarnessError(f"a sandboxed process was not ready after {START_SECONDS:.0f} s")
        started.drain()
        try:
            if data:
                data = data[os.write(started.requests.fileno(), data) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            data = memoryview(b"")
        with contextlib.suppress(BlockingIOError):
            part = os.read(started.replies.fileno(), 1 << 16)
            if not part:
                how = started.end()
                raise HarnessError(f"a sandboxed process died before it was ready: {how}; {started.tail()}")
            reply += part
    answer: dict[str, Any] = json.loads(reply)
    if "failed" in answer:
        raise HarnessError(f"a sandboxed process cannot start: {answer['failed']}")
    report: dict[str, Any] = answer["ready"]
    return report


def paths(modules: Iterable[str]) -> list[str]:
    """The folders that hold bilevel and these modules, without the standard library's."""
    tops = dict.fromkeys(["bilevel", *(name.partition(".")[0] for name in modules)])
    for name in [*tops]:
        tops.update(dict.fromkeys(_COMPANIONS.get(name, ())))
    found: dict[str, None] = {}
    for name in tops:
        if name in sys.stdlib_module_names:
            continue
        spec = find_spec(name)
        if spec is None:
            raise HarnessError(f"a sandboxed process needs module {name!r}, and it is not installed")
        if spec.submodule_search_locations:
            found.update((str(Path(place).resolve().parent), None) for place in spec.submodule_search_locations)
        elif spec.origin and spec.origin not in ("built-in", "frozen"):
            found[str(Path(spec.origin).resolve().parent)] = None
    return list(found)
