"""The host's side of worker processes: where a function is found, and calls of it that come back as facts."""

import ast
import base64
import contextlib
import inspect
import json
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bilevel.errors import HarnessError, InputError
from bilevel.execution.environment import allowed
from bilevel.execution.outcome import Ending, Limits, Outcome, judged

GRACE_SECONDS = 30.0  # beyond the wall limit, before a silent worker is given up
IMPORT_SECONDS = 300.0  # that importing the function may take
CANCEL_SECONDS = 0.05  # between two looks at whether to cancel
SERVE = "import sys; sys.path.insert(0, sys.argv[1]); from bilevel.tasks.served import serve; serve()"
WAY_OUT = (
    "define it with `def` at the top level of a .py file and give it by name, or give the text 'FILE.py:NAME' or "
    "'package.module:NAME'; for values to bind, functools.partial of such a function works"
)


@dataclass(frozen=True)
class Target:
    """Where a worker process finds a function: `name` in `module` (dotted, or the path of a .py file), or a pickle.

    `main` is what the program's `__main__` is made of again (the same two forms), where the function needs it. `path`
    is the search path for imports, `cwd` the working folder of calls. `source` is the function's text, as far as known.
    """

    module: str = ""
    name: str = ""
    pickled: str = ""
    main: str = ""
    path: tuple[str, ...] = ()
    cwd: str = ""
    source: str = ""

    @classmethod
    def of(cls, function: Callable[..., Any] | str) -> "Target":
        """The target of a callable, or of "module:name". Raises InputError for what no other process could find."""
        path = tuple(os.path.abspath(entry) for entry in sys.path)
        place = {"path": path, "cwd": os.getcwd()}
        if isinstance(function, str):
            return _named(function, place)
        if not callable(function):
            raise InputError(f"not a function: {function!r}; {WAY_OUT}")
        try:
            pickled = pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            said = "a lambda" if getattr(function, "__name__", "") == "<lambda>" else f"{function!r}"
            raise InputError(
                f"{said} cannot be handed to a process of its own ({error}); {WAY_OUT}; a lambda or a closure never can"
            ) from None
        main = _main(function) if b"__main__" in pickled else ""
        source = _source(function)
        if inspect.isfunction(function):
            return cls(function.__module__, function.__qualname__, "", main, source=source, **place)  # type: ignore[arg-type]
        return cls("", "", base64.b64encode(pickled).decode(), main, source=source, **place)  # type: ignore[arg-type]


def _named(text: str, place: Mapping[str, Any]) -> Target:
    module, _, name = text.rpartition(":")
    if not module or not name.replace(".", "").isidentifier():
        raise InputError(f"{text!r} does not name a function; write 'FILE.py:NAME' or 'package.module:NAME'")
    if not module.endswith(".py"):
        return Target(module, name, source=f"{module}:{name}", **place)
    file = Path(module).resolve()
    try:
        tree = ast.parse(source := file.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{text!r}: the file cannot be read: {error}") from None
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = next((n for n in tree.body if isinstance(n, kinds) and n.name == name), None)
    segment = None if found is None else ast.get_source_segment(source, found)
    return Target(str(file), name, source=segment or source, **place)


def _main(function: Callable[..., Any]) -> str:
    """The file or module that this program's `__main__` is. Raises InputError where it is neither."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name and not spec.name.endswith("__main__"):
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if spec is not None and spec.origin:
        file = spec.origin
    if not file or not Path(file).is_file():
        raise InputError(
            f"{getattr(function, '__name__', function)!r} was defined in an interactive session or on standard input, "
            f"where no other process can find it; {WAY_OUT}"
        )
    return str(Path(file).resolve())


def _source(function: Any) -> str:
    """The text of a function; of a callable object its class's text and what it holds."""
    if inspect.isfunction(function):
        with contextlib.suppress(OSError, TypeError):
            return inspect.getsource(function)
    inner = getattr(function, "func", None)  # of a functools.partial
    text = _source(inner) if callable(inner) else ""
    with contextlib.suppress(OSError, TypeError):
        text += inspect.getsource(type(function))
    return f"{text} {sorted(vars(function).items()) if hasattr(function, '__dict__') else ''} " + (
        f"{function.args!r} {sorted(function.keywords.items())!r}" if callable(inner) else ""
    )


@dataclass(frozen=True)
class Answer:
    """What a function answered: finite numbers by name, and `text`, which shows the value; or a failure's status, and
    `text`, which is the end of the traceback."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    text: str = ""


@dataclass(frozen=True)
class Called:
    """One call: how its process ended, and the answer, if it got that far."""

    outcome: Outcome
    answer: Answer | None


class Worker:
    """A process that has imported a function; `call` measures. Raises InputError where the import fails."""

    def __init__(self, target: Target) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="bilevel-worker-"))
        self.cwd = target.cwd
        here = str(Path(__file__).resolve().parents[2])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-B", "-c", SERVE, here],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
                cwd=self.cwd, env=allowed(scratch=self.scratch), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise HarnessError(f"a worker process cannot be started in {self.cwd!r}: {error}") from error
        self._buffer = bytearray()
        self.alive = True
        try:
            self._import(target)
        except BaseException:
            self.close()
            raise

    def _import(self, target: Target) -> None:
        what = target.name or "the function"
        fields = {name: getattr(target, name) for name in ("module", "name", "pickled", "main", "path")}
        self._send(fields)
        deadline = time.monotonic() + IMPORT_SECONDS
        while b"\n" not in self._buffer:
            if time.monotonic() > deadline:
                raise InputError(f"importing {what!r} in a worker process took more than {IMPORT_SECONDS:g} s")
            if not self._receive(1.0):
                raise InputError(f"importing {what!r} ended the worker process; {WAY_OUT}")
        said = json.loads(self._line())
        if "failed" in said:
            raise InputError(f"{what!r} cannot be imported in a process of its own; {WAY_OUT}\n{said['failed']}")

    def call(self, request: Mapping[str, Any], cancel: threading.Event) -> Called:
        """One call with its limits. A worker that is lost on the way is an outcome: the machine's."""
        self._send({**request, "cwd": self.cwd})
        began = time.monotonic()
        deadline = began + request["wall_seconds"] + GRACE_SECONDS
        cancelled = False
        while (reply := self._reply()) is None:
            if cancel.is_set() and not cancelled:
                self._hang_up()  # the worker kills the call and ends
                cancelled, deadline = True, time.monotonic() + GRACE_SECONDS
            if time.monotonic() > deadline or not self._receive(CANCEL_SECONDS):
                self.alive = False
                ending = Ending.CANCELLED if cancelled else Ending.KILLED
                lost = "" if cancelled else "the worker process of this call was killed or stopped answering"
                return Called(Outcome(ending, None, None, time.monotonic() - began, 0.0, 0, "", lost), None)
        if cancelled:
            self.alive = False
        facts, out, answer = reply
        if "error" in facts:
            raise HarnessError(f"a worker process failed: {facts['error']}")
        if not facts["clean"]:
            self.alive = False
            raise HarnessError("processes of a call could not be killed; look for children of this program")
        names = ("wall_seconds", "cpu_seconds", "memory_bytes", "output_bytes")
        limits = Limits(**{name: request[name] for name in names})
        outcome = judged(facts, out, limits, [str(self.scratch), self.cwd])
        return Called(outcome, Answer(**json.loads(answer)) if answer else None)

    def _reply(self) -> tuple[dict[str, Any], bytes, bytes] | None:
        """The whole reply, once it is there."""
        head, newline, body = bytes(self._buffer).partition(b"\n")
        if not newline:
            return None
        facts: dict[str, Any] = json.loads(head)
        printed = facts.get("stdout", 0) + facts.get("stderr", 0)
        if len(body) < printed + facts.get("answer", 0):
            return None
        self._buffer.clear()
        return facts, body[:printed], body[printed:]

    def _line(self) -> bytes:
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line

    def _receive(self, seconds: float) -> bool:
        """Take what the worker has said within so many seconds; false once it has ended."""
        assert self._process.stdout is not None
        if select.select([self._process.stdout], [], [], seconds)[0]:
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            self._buffer += data
            return bool(data)
        return True

    def _send(self, message: Mapping[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is seen as the end of its answers
            while data:
                data = data[self._process.stdin.write(data) :]

    def _hang_up(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        """End the worker and what runs below it."""
        self._hang_up()
        try:
            self._process.wait(1.0 if self.alive else 0.0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


class Pool:
    """The workers of one task that wait for a call. They end with the pool, with this process, or when lost."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    @contextlib.contextmanager
    def worker(self, target: Target) -> Iterator[Worker]:
        """A worker for one call: one that waits, or a new one."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = Worker(target)
        try:
            yield worker
        except BaseException:
            worker.alive = False
            raise
        finally:
            if worker.alive:
                with self._lock:
                    self._idle.append(worker)
            else:
                worker.close()

    def close(self) -> None:
        """End the workers that wait."""
        with self._lock:
            _close_all(self._idle)


def _close_all(workers: list[Worker]) -> None:
    while workers:
        workers.pop().close()
