"""The door: the first rung of the ladder that a mechanism climbs before it may steer a search.

    door(guest)            why a source text is refused, or None; fits `MechanismSurface(door=door)`
    admit(source)          the same as an Admission, with every problem
    Door(try_in, look)     a door that tries guests elsewhere: in a sandbox (see `doors`)

First the text is read without running it (`reading`). Then it is put through `conformance.check_mechanism` in a process
of its own. Where there is a wall, the guest steers a small search from behind it as well, and the host judges what it
did (`look`): a guest that forges the verdict of the suite in its own process still shows its faults here.

A verdict is given once per source and door, and can be stored and given back (`known`): what a run decided before it
was interrupted does not depend on how fast the machine is when it goes on.
"""

import contextlib
import importlib
import io
import json
import linecache
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bilevel.carrying import STEP, carrier_of
from bilevel.codec import content_hash
from bilevel.conformance import check_mechanism
from bilevel.errors import GuestError, HarnessError
from bilevel.mechanism import Guest, load
from bilevel.reading import allowed, numerical, read
from bilevel.watch import Watch, timer_works
from bilevel.workflow_step import is_step

__all__ = ["Admission", "Door", "admit", "allowed", "door", "handle", "read", "source_key"]

CPU_SECONDS = 25  # the last resort: the suite itself ends a hook long before
WALL_SECONDS = 120.0
MEMORY_BYTES = 2**30
FILE = "<mechanism guest>"
NAME = "guest"  # a mechanism's name while it is tried
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from bilevel.admission import child; child()"
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
MOST_PROBLEMS = 20
MOST_SAID = 1_500  # characters of one problem
SOUND = """from bilevel.mechanism import Mechanism


class Sound(Mechanism):
    def remember(self, memory, trial):
        return trial.number

    def propose(self, view, parent, proposals):
        return proposals

    def decide(self, view, trial):
        return trial.decision
"""
"""A mechanism that passes: if the suite fails on this one too, it is the suite that is broken."""
MISNAMED = (
    "a subclass of WorkflowStep is a step of the article workflow: its file is ./NAME.step.py, its name step:NAME, and "
    "its carrier step; any other mechanism is a subclass of Mechanism in NAME.py"
)
TOO_MUCH_MEMORY = f"it used more than {MEMORY_BYTES // 2**20} MiB of memory in the conformance suite"


@dataclass(frozen=True)
class Admission:
    """Whether a mechanism passed the door, every problem found, and how many seconds it took. It can be stored."""

    ok: bool
    problems: tuple[str, ...]
    seconds: float


class SuiteFailed(HarnessError):
    """The conformance suite ended by an error with no line of the guest in it, or a guest made it seem so."""


class Door:
    """Admits mechanisms, each source once.

    `try_in` gives the problems that the conformance suite finds in a process elsewhere; `look` those that the host sees
    itself. `known` are verdicts given earlier, by `source_key`; `keep` is told of each new one. `shared` gives those
    that doors of the same kind admitted in this process: they are not tried again. What was refused is, as a limit of
    time may have been the reason.
    """

    def __init__(
        self,
        try_in: Callable[[str], list[str]],
        look: Callable[[Guest], list[str]] = lambda guest: [],
        known: Mapping[str, Admission] = MappingProxyType({}),
        keep: Callable[[str, Admission], object] = lambda key, admission: None,
        shared: Callable[[], dict[str, Admission]] = dict,
    ) -> None:
        self._try_in = try_in
        self._look = look
        self._keep = keep
        self._shared = shared
        self._judged = dict(known)

    def __call__(self, guest: Guest) -> str | None:
        """The same as `door`, so that a door fits `MechanismSurface(door=...)`."""
        return self.door(guest)

    def door(self, guest: Guest) -> str | None:
        """Why a mechanism is refused, in sentences for its author, or None."""
        if (problem := misnamed(guest)) is not None:
            return problem
        admission = self.admit(guest.source)
        return None if admission.ok else "; ".join(admission.problems)

    def admit(self, source: str) -> Admission:
        """Judge a source text. Raises HarnessError where the process that tries it fails by itself."""
        key = source_key(source)
        if key not in self._judged:
            admission = self._shared().get(key) or self._judge(source)
            if admission.ok:
                self._shared()[key] = admission
            self._keep(key, admission)
            self._judged[key] = admission
        return self._judged[key]

    def _judge(self, source: str) -> Admission:
        began = time.perf_counter()
        problems = read(source) or self._tried(source) or self._look(Guest(NAME, source))
        return Admission(not problems, tuple(problems), time.perf_counter() - began)

    def _tried(self, source: str) -> list[str]:
        """What the suite says. Where it failed itself, a mechanism known to be sound shows whose fault that was."""
        try:
            return self._try_in(source)
        except SuiteFailed as error:
            if self._try_in(SOUND):
                raise
            last = str(error).strip().splitlines()[-1]
            return [f"what a hook returns cannot be tried, compared or printed: {last:.300}"]


def misnamed(guest: Guest) -> str | None:
    """Why a mechanism cannot be in force under its name: a step of a workflow is carried as one, nothing else is."""
    return MISNAMED if is_step(guest.source) != (carrier_of(guest.name) == STEP) else None


def source_key(source: str) -> str:
    """The name under which a source's verdict is stored: the hash of its text."""
    return content_hash(source)


def door(guest: Guest) -> str | None:
    """Why a mechanism is refused, or None; it is tried in a child process with limits, once per process."""
    return _HERE.door(guest)


def admit(source: str) -> Admission:
    """Judge a source text, in a child process with limits; equal sources are judged once per process."""
    return _HERE.admit(source)


# ---- in a child process with limits ----


def tried_in_child(source: str) -> list[str]:
    """What the conformance suite says, in a child process that is killed with all its children at its limits."""
    here = str(Path(__file__).resolve().parents[1])
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-B", "-c", CHILD, here],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=ENVIRONMENT, cwd="/", start_new_session=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"the process that tests mechanisms cannot be started: {error}") from error
    out, err, timed_out = "", "", False
    try:
        out, err = process.communicate(source, timeout=WALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        timed_out, out = True, _text(error.stdout)
    finally:
        _kill(process)
    return _verdict(process.returncode, out, err, timed_out)


def _verdict(code: int, out: str, err: str, timed_out: bool) -> list[str]:
    """The child's problems, or how it ended; its lines say what it was about to try, and at last what it found."""
    lines = []
    for line in out.splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    last = lines[-1] if lines else {}
    if "problems" in last or "failed" in last:
        return problems_of(last)
    if not lines:
        raise HarnessError(f"the process that tests mechanisms ended with code {code}: {err.strip()[-1000:]}")
    where = f"{last.get('trying')}: "
    if timed_out:
        return [f"{where}it took more than {WALL_SECONDS:g} s: a hook never ends, or waits"]
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return [f"{where}it used more than {CPU_SECONDS} s of CPU time: a hook never ends, or is far too slow"]
    how = signal.Signals(-code).name if code < 0 else f"code {code}"
    return [f"{where}it ended the process that tested it ({how}); a hook returns, whatever happens"]


def problems_of(reply: Mapping[str, Any]) -> list[str]:
    """The problems in what `handle` gave. Raises SuiteFailed where it was the suite that failed, or so it says."""
    if "failed" in reply:
        raise SuiteFailed(f"the conformance suite failed, not the mechanism that it tried:\n{reply['failed']}")
    return [_short(str(problem)) for problem in list(reply["problems"])[:MOST_PROBLEMS]]


def _short(problem: str) -> str:
    """A problem of at most so many characters: it is stored, and shown to the author."""
    return problem if len(problem) <= MOST_SAID else f"{problem[:MOST_SAID]} ..."


def _text(said: bytes | str | None) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""


def _kill(process: subprocess.Popen[str]) -> None:
    """End the child and everything that it started, and free its pipes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it did not read is lost, and may be
                pipe.close()


def child() -> None:
    """In the child process: read a source text, try it, write what is tried and at last the problems, line by line."""
    source = sys.stdin.read()
    answers = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # what a guest prints is not an answer
    _limit()

    def write(line: object) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    write({"trying": "the text itself"})
    os.dup2(null, 2)
    write(handle({"source": source}, write))
    os._exit(0)


def _limit() -> None:
    """Bound this process's CPU time, memory and files, where the system can."""
    try:
        import resource
    except ImportError:  # not on this system; the wall limit of the parent still holds
        return
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(what, (most, most + (what == resource.RLIMIT_CPU)))
        except (ValueError, OSError):  # a system with a lower limit, or without this one
            continue


# ---- in whatever process it is tried in ----


def handle(request: Any, ask: Callable[[Any], Any]) -> dict[str, object]:
    """The entry of a process that tries one mechanism: {"source": text} gives {"problems": [...]}.

    `ask` is told what is tried next. {"failed": text} says that the suite itself failed: an error with no line of the
    guest in it. What a guest prints goes nowhere.
    """
    source = request["source"]
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    for name in numerical(source):  # the machine's time, not the guest's
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    watch = Watch(lambda what: ask({"trying": what}), "timer" if timer_works() else "trace")
    try:
        with contextlib.redirect_stdout(_Nowhere()), contextlib.redirect_stderr(_Nowhere()):
            return {"problems": check_mechanism(lambda: load(Guest(NAME, source)), watch)}
    except MemoryError:
        return {"problems": [TOO_MUCH_MEMORY]}
    except GuestError as error:
        return {"problems": [str(error)]}
    except BaseException as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<mechanism")]
        if lines:
            return {"problems": [f"line {lines[-1]}: it raised {type(error).__name__}: {error}"[:2000]]}
        return {"failed": traceback.format_exc()[-2000:]}


class _Nowhere(io.TextIOBase):
    """Takes what is printed, and forgets it."""

    def write(self, text: str) -> int:
        return len(text)


_HERE = Door(tried_in_child)
