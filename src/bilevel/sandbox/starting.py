"""Starting one sandboxed process: its command, its environment, the first words that it exchanges with the host."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
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


BUBBLEWRAP, UNSHARE = "bubblewrap", "unshare"
WALLS = {"limits": (), "sealed": ("landlock", "seccomp"), "contained": ("landlock", "seccomp")}
"""What each level puts up beside limits; namespaces come by the way that a level is reached."""
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/nix/store", "/gnu/store")


@dataclass(frozen=True)
class Setup:
    """What a sandboxed process loads, what it may use, and how it is walled in.

    `walls` are those it puts up itself; `way` is empty where it gets no namespaces, else who makes them.
    """

    entry: str
    walls: tuple[str, ...] = ()
    way: str = ""
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

    def obituary(self) -> str:
        """How it died, once its pipes are closed, and its last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # the pipes end a moment before the process does
            self.process.wait(0.25)
        how = self.end() or "it closed its end of the pipe"
        return f"{how}\n{self.tail()}".strip()

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


def start(setup: Setup) -> Started:
    """A process that is ready for its first request. Raises HarnessError where it cannot be had."""
    if sys.platform == "win32":
        raise HarnessError("the sandbox needs a POSIX system: use Linux, macOS or WSL")
    places = paths([setup.entry.partition(":")[0], *setup.preload])
    wanted = setup.walls + (("namespaces",) if setup.way == UNSHARE else ())
    words = {
        "entry": setup.entry, "preload": setup.preload, "path": places,
        "walls": {
            "wanted": wanted, "parent": 0 if setup.way else os.getpid(),
            "memory_bytes": setup.memory_bytes, "cpu_seconds": setup.cpu_seconds,
        },
    }  # fmt: skip
    started = _SPAWNER.submit(_spawn, setup.way, places).result()
    try:
        _greet(started, words)
    except BaseException:
        started.end()
        raise
    return started


def _spawn(way: str, places: list[str]) -> Started:
    environment = ENVIRONMENT | {name: os.environ[name] for name in _LOADER if name in os.environ}
    bytecode = ["-B"] if sys.dont_write_bytecode else []  # as the host has it: without any, scipy takes thrice as long
    command = [sys.executable, "-P", "-s", "-S", *bytecode, str(CHILD)]  # -I would overhear PYTHONHASHSEED
    told, telling = os.pipe() if way == BUBBLEWRAP else (-1, -1)
    try:
        process = subprocess.Popen(
            (_bubblewrap(places, telling) if way == BUBBLEWRAP else []) + command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            cwd="/", env=environment, start_new_session=True, pass_fds=(telling,) if way == BUBBLEWRAP else (),
        )  # fmt: skip
    except (OSError, HarnessError) as error:
        if told >= 0:
            os.close(told)
        raise HarnessError(f"cannot start a sandboxed process: {error}") from error
    finally:
        if telling >= 0:
            os.close(telling)
    started = Started(process)
    if told >= 0:
        with open(told, "rb") as stream, contextlib.suppress(ValueError):  # it ends once bubblewrap has said all
            started.pid = json.loads(stream.read())["child-pid"]
    return started


# Linux ends a child with the *thread* that started it: so it is one that lasts as long as the host.
_SPAWNER = ThreadPoolExecutor(1, "bilevel-sandbox")


def _bubblewrap(places: list[str], telling: int) -> list[str]:
    """The command that runs another one in namespaces of its own, where only what Python needs can be read."""
    needed = [
        *_SYSTEM, sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"], str(Path(sys.executable).parent),
        str(Path(sys.executable).resolve().parent), *places,
        *(place for name in _LOADER for place in os.environ.get(name, "").split(":") if place),
    ]  # fmt: skip
    kept: list[str] = []
    for place in sorted({os.path.abspath(place) for place in needed if os.path.exists(place)}):
        if not any(place.startswith(f"{above}/") for above in kept):
            kept.append(place)
    program = shutil.which("bwrap")
    if program is None:
        raise HarnessError("bwrap is not installed")
    binds = [word for place in kept for word in ("--ro-bind", place, place)]
    return [
        program, "--unshare-all", "--die-with-parent", "--as-pid-1", "--info-fd", str(telling), *binds,
        "--dev", "/dev", "--proc", "/proc", "--chdir", "/", "--",
    ]  # fmt: skip


def _greet(started: Started, words: dict[str, Any]) -> None:
    """Say what to load, and wait until it is loaded and the walls are up."""
    data = memoryview(json.dumps(words).encode() + b"\n")
    received = b""
    deadline = time.monotonic() + START_SECONDS
    while True:
        line, end, rest = received.partition(b"\n")
        if end:
            received, message = rest, json.loads(line)
            if "failed" in message:
                raise HarnessError(f"a sandboxed process cannot start: {message['failed']}")
            if "ready" in message:
                started.report = message["ready"]
                return
            started.pid = message["pid"]
            continue
        poll = select.poll()
        poll.register(started.replies, select.POLLIN)
        poll.register(started.errors, select.POLLIN)
        if data:
            poll.register(started.requests, select.POLLOUT)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise HarnessError(f"a sandboxed process was not ready after {START_SECONDS:.0f} s")
        started.drain()
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            data = data[os.write(started.requests.fileno(), data) :] if data else data
        with contextlib.suppress(BlockingIOError):
            part = os.read(started.replies.fileno(), 1 << 16)
            if not part:
                raise HarnessError(f"a sandboxed process died before it was ready: {started.obituary()}")
            received += part


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
