"""CPU time and memory of a process and all that it started, read from /proc (Linux only).

CPU time is that of every living descendant, and of those that ended and were waited for by their parents. Memory is the
proportional set size (PSS): a page that several processes share counts once. Processes whose parents end come to this
one (`adopt`), so that nothing which a peer leaves behind is lost from sight.
"""

import contextlib
import ctypes
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
EVERY = 0.5  # seconds between two looks at the memory


@dataclass(frozen=True)
class Sample:
    """Wall and CPU time in seconds, memory in bytes, of all descendants at one moment."""

    wall: float
    cpu: float
    memory: int


def supported() -> bool:
    return Path("/proc/self/smaps_rollup").exists()


def adopt() -> None:
    """Become the parent of all descendants whose own parents end. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def sample() -> Sample:
    pids = descendants(os.getpid())
    return Sample(time.perf_counter(), sum(map(cpu_seconds, pids)), sum(map(memory_bytes, pids)))


def descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            parents[int(entry)] = int(fields[1])
    found, level = list[int](), [root]
    while level:
        level = [pid for pid, parent in parents.items() if parent in level]
        found += level
    return found


def cpu_seconds(pid: int) -> float:
    """To the nanosecond for the process itself, to a tick for children that it waited for; 0 for one that is gone."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    waited = (int(fields[13]) + int(fields[14])) / TICKS
    try:
        return time.clock_gettime((~pid << 3) | 2) + waited  # the clock of another process, as clock_getcpuclockid(3)
    except OSError:
        return (int(fields[11]) + int(fields[12])) / TICKS + waited


def memory_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: [0] is the state, [1] the parent; none where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def end_what_is_left() -> None:
    """Kill and reap every descendant; only what this process or its children started can be one."""
    for _ in range(100):
        left = descendants(os.getpid())
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)
    raise RuntimeError(f"processes that do not end: {descendants(os.getpid())}")


class Highest:
    """The highest memory of all descendants while the block runs, looked at now and then and by `note`."""

    def __init__(self) -> None:
        self.memory = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def note(self, memory: int) -> None:
        self.memory = max(self.memory, memory)

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            self.note(sum(map(memory_bytes, descendants(os.getpid()))))

    def __enter__(self) -> "Highest":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
