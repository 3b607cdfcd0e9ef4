"""The worker's side: a process that imports a function once, and forks a child for each call of it.

Started by `pool.Worker`; a program of its own. Descriptor 0 carries one line of JSON with the target, then one for each
call; its end means that the host died or wants no more. Descriptor 1 carries one line for the import, then for each
call a line of facts (those of `execution/supervisor.py`, whose watching is used here) and the kept output and answer.
"""

import contextlib
import gc
import importlib
import importlib.util
import inspect
import json
import math
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import types
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, NoReturn, cast

from bilevel.codec import build
from bilevel.execution import supervisor
from bilevel.execution.supervisor import LINUX, POLL_SECONDS, Run, limit, prctl, prefer_as_victim
from bilevel.tasks.function import LOG_LINES, numbers_in

MAIN = "__bilevel_main__"  # what a script is called while a worker imports it: not __main__
MOST_TEXT = 2000
BACK_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_state = {"importing": False}


class Reached(BaseException):
    """A script that a worker imports came to the search it belongs to: everything that the function needs is there."""


def importing() -> bool:
    """Whether this process is a worker that is importing its function."""
    return _state["importing"]


# ---- importing ----


def found(target: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that a target names; whatever its import raises comes through."""
    function: Any
    sys.path[:] = target["path"]
    _state["importing"] = True
    try:
        if target["main"]:
            sys.modules["__main__"] = _script(target["main"])
        if target["pickled"]:
            function = pickle.loads(b64decode(target["pickled"]))
        else:
            function = _module(target["module"])
            for name in target["name"].split("."):
                function = getattr(function, name)
    finally:
        _state["importing"] = False
    if not callable(function):
        raise TypeError(f"{target['name']!r} is not a function but {type(function).__name__}")
    return cast(Callable[..., Any], function)


def _module(name: str) -> types.ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    sys.path.insert(0, str(Path(name).parent))
    return _script(name)


def _script(file_or_module: str) -> types.ModuleType:
    """A module of a script's definitions, up to the first search that it starts outside `if __name__ == "__main__"`."""
    module = types.ModuleType(MAIN)
    file = file_or_module
    if not file.endswith(".py"):
        spec = importlib.util.find_spec(file_or_module)
        if spec is None or spec.origin is None:
            raise ImportError(f"there is no module {file_or_module!r}")
        file, module.__package__ = spec.origin, spec.parent
    module.__file__ = file
    sys.argv[:] = [file]
    sys.modules[MAIN] = module
    with contextlib.suppress(Reached):
        exec(compile(Path(file).read_bytes(), file, "exec"), module.__dict__)
    return module


# ---- one call ----


class Call(Run):
    """One call of the function in a forked child, watched like a command."""

    def __init__(self, request: dict[str, Any], function: Callable[..., Any], answer: int) -> None:
        self.before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_before = self.before.ru_utime + self.before.ru_stime
        super().__init__({**request, "cpu_seconds": request["cpu_seconds"] + self.cpu_before})
        self.own_cpu = request["cpu_seconds"]
        self.function = function
        self.answer = answer

    def start(self) -> None:
        """Fork, and call the function in the child."""
        pipes = {1: os.pipe(), 2: os.pipe()}
        worker = os.getpid()
        self.began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._be_called(worker, pipes[1][1], pipes[2][1])
        for number, (ours, theirs) in pipes.items():
            os.close(theirs)
            os.set_blocking(ours, False)
            self.streams[ours] = number

    def look(self) -> int:
        """Measure the tree; not in the first moment of a call, which most do not outlive."""
        return super().look() if time.monotonic() - self.began > POLL_SECONDS / 2 else 0

    def report(self, ending: str, wall: float, clean: bool) -> tuple[dict[str, Any], bytes, bytes]:
        """The facts of this call alone: the counters of the system are those of all calls."""
        peak = self.peak
        facts, out, err = super().report(ending, wall, clean)
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        grown = largest * (1024 if LINUX else 1) if largest > self.before.ru_maxrss else 0
        facts["cpu_seconds"] = max(0.0, facts["cpu_seconds"] - self.cpu_before)
        facts["peak_memory_bytes"] = max(peak, grown)
        return facts, out, err

    def _be_called(self, worker: int, out: int, err: int) -> NoReturn:
        try:
            os.setsid()
            prctl(supervisor.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != worker:
                os._exit(1)
            prefer_as_victim()
            limit(resource.RLIMIT_CORE, 0)
            limit(resource.RLIMIT_CPU, math.ceil(min(self.own_cpu, 1e9)) + 1)
            signal.set_wakeup_fd(-1)
            for number in BACK_TO_DEFAULT:
                signal.signal(number, signal.SIG_DFL)
            for to, source in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
                os.dup2(source, to)
            os.chdir(self.request["cwd"])
            text = json.dumps(answered(self.function, self.request))
            os.write(self.answer, text.encode())
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except BaseException:
            os.write(2, traceback.format_exc()[-MOST_TEXT:].encode("utf-8", "replace"))
            os._exit(1)
        os._exit(0)


def answered(function: Callable[..., Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """What the function answers to one request, as the fields of `pool.Answer`."""
    params, seed = dict(build(Mapping[str, Any], request["params"])), request["seed"]
    _seed(seed)
    try:
        value = function(params, seed) if request["takes_seed"] else function(params)
        metrics = numbers_in(_plain(value), request["metric"])
        return {"metrics": metrics, "text": repr(value)[:MOST_TEXT]}
    except MemoryError as error:
        return {"failure": "out-of-memory", "text": _last_lines(error)}
    except BaseException as error:
        return {"failure": "exit", "text": _last_lines(error)}


def _takes_seed(function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter `seed`, or a second one without a default."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built into Python, without a signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [p for p in parameters if p.kind in positional]
    needed = [p for p in places if p.default is inspect.Parameter.empty]
    return len(needed) > 1 or (len(places) > 1 and places[1].name == "seed")


def _plain(value: Any) -> Any:
    """A value with arrays and tensors of one number as that number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _seed(seed: int) -> None:
    """Seed the global generators there are: a function that uses them is a function of its arguments then."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _last_lines(error: BaseException) -> str:
    """The end of a traceback, without our own frame and without folders, so that it is the same on every machine."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    lines = [f'  File "{PurePath(f.filename).name}", line {f.lineno}, in {f.name}\n    {f.line}' for f in frames]
    text = "\n".join([*lines, *traceback.format_exception_only(error)])
    return "\n".join(text.splitlines()[-LOG_LINES:])


# ---- the process ----


def serve() -> None:
    """Import, then serve calls until descriptor 0 ends."""
    control, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    try:
        prctl(supervisor.PR_SET_PDEATHSIG, signal.SIGKILL)  # an import that hangs does not outlive its host
        function = found(json.loads(_read_line(control)))
        takes_seed = _takes_seed(function)
        prctl(supervisor.PR_SET_PDEATHSIG, 0)
    except BaseException as error:
        _say(answers, {"failed": _last_lines(error)})
        return
    prctl(supervisor.PR_SET_CHILD_SUBREAPER, 1)
    os.dup2(control, 0)  # where `Run.watch` looks
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.collect()
    gc.freeze()  # what was imported is shared with the children
    _say(answers, {"ready": os.getpid()})
    with tempfile.TemporaryFile() as answer:
        while line := _read_line(0):
            _serve_one({**json.loads(line), "takes_seed": takes_seed}, function, answer.fileno(), wake, answers)


def _serve_one(request: dict[str, Any], function: Callable[..., Any], answer: int, wake: int, answers: int) -> None:
    os.ftruncate(answer, 0)
    os.lseek(answer, 0, os.SEEK_SET)
    call = Call(request, function, answer)
    try:
        call.start()
        ending = call.watch(wake)
        wall = time.monotonic() - call.began
        facts, out, err = call.report(ending, wall, clean=call.kill())
        size = os.fstat(answer).st_size
        _say(answers, {**facts, "answer": size}, out, err, os.pread(answer, size, 0))
    except BrokenPipeError:
        pass  # the host died
    except Exception as error:
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
    finally:
        call.kill()
        for stream in list(call.streams):
            os.close(stream)


def _read_line(descriptor: int) -> bytes:
    """The next line; empty at the end. The host sends one and waits."""
    data = bytearray()
    while not data.endswith(b"\n"):
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b""
        data += part
    return bytes(data)


def _say(answers: int, facts: Mapping[str, Any], *parts: bytes) -> None:
    data = memoryview(json.dumps(facts).encode() + b"\n" + b"".join(parts))
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(answers, data) :]
