"""Stands between the host and one command: starts it, watches its limits, and leaves nothing of it behind.

`process.run` starts `main` in a `python -I -S` that imports this module alone (a script would be compiled anew for each
run); it uses the standard library only. One run, one supervisor: every descendant it has belongs to the run, so "no
child left" (`ECHILD`) proves that the tree is gone. On Linux it is a subreaper: a grandchild that calls `setsid` and
loses its parent comes back to it. On other systems only the process group is killed.

It speaks with the host over two descriptors: 0 carries one line of JSON (the request) and then stays open:
a byte on it means cancel, its end means that the host died; 1 carries `{"pid": …}`, then one line of JSON (the
report) and the kept output as raw bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import math
import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

LINUX = sys.platform.startswith("linux")
POLL_SECONDS = 0.1  # between two looks at memory and CPU
POLL_SHARE = 20  # … or this many times what a look costs: under 5 % on a host with thousands of processes
KILL_SECONDS = 10.0  # how long a tree may resist SIGKILL (a process in the kernel's uninterruptible sleep)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
AF_INET, SOCK_DGRAM, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 2, 2, 0x8913, 0x8914, 1
NO_NETWORK = "cannot be cut off from the network: "
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def prctl(option: int, value: int) -> None:
    """Set one process attribute; nothing happens where the system has none."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


class Run:
    """One command from fork to the last of its descendants."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.pid = 0
        self.status: int | None = None  # as from wait(2), once the command itself has ended
        self.childless = False
        self.kept = {1: bytearray(), 2: bytearray()}
        self.streams: dict[int, int] = {}  # our end of a pipe -> 1 or 2
        self.received = 0
        self.cpu = 0.0
        self.peak = 0
        self.interval = POLL_SECONDS
        self.not_started = ""

    def start(self) -> None:
        """Fork and exec the command; an exec that fails is noted in `not_started`."""
        pipes = {1: os.pipe(), 2: os.pipe()}
        failure, failed = os.pipe()
        supervisor = os.getpid()
        self.began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            become(self.request, supervisor, pipes[1][1], pipes[2][1], failed)
        os.close(failed)
        for number, (ours, theirs) in pipes.items():
            os.close(theirs)
            os.set_blocking(ours, False)
            self.streams[ours] = number
        with open(failure, "rb") as stream:  # ends at exec, which closes the other side
            self.not_started = stream.read().decode("utf-8", "replace")
        if self.not_started.startswith(NO_NETWORK):
            raise OSError(self.not_started)

    def watch(self, wake: int) -> str:
        """Wait for the end or for a broken limit; return which, as a value of `process.Ending`."""
        request, due = self.request, self.began
        while True:
            now = time.monotonic()
            end = self.began + request["wall_seconds"]
            timeout = max(0.0, min(due, end) - now)
            ready = select.select([0, wake, *self.streams], [], [], timeout)[0]
            self.read([stream for stream in ready if stream in self.streams])
            if wake in ready:
                os.read(wake, 4096)
            self.reap()
            if self.status is not None:
                return "exited"
            if 0 in ready or stopped or os.getppid() != host:
                return "cancelled"
            if self.received > request["output_bytes"]:
                return "output_limit"
            if (now := time.monotonic()) >= end:
                return "wall_limit"
            if now >= due:
                if self.look() > request["memory_bytes"]:
                    return "memory_limit"
                if self.cpu > request["cpu_seconds"]:
                    return "cpu_limit"
                due = now + self.interval

    def read(self, ready: Sequence[int]) -> None:
        """Take what the pipes hold; beyond the cap it is counted, not kept."""
        for stream in ready:
            try:
                data = os.read(stream, 1 << 16)
            except BlockingIOError:
                continue
            room = max(0, self.request["output_bytes"] - self.received)
            self.kept[self.streams[stream]] += data[:room]
            self.received += len(data)
            if not data:
                del self.streams[stream]
                os.close(stream)

    def reap(self) -> None:
        while not self.childless:
            try:
                pid, status, _ = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status

    def look(self) -> int:
        """Measure the tree now: bytes of memory returned, CPU seconds and the peak noted."""
        began = time.monotonic()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu, memory = usage.ru_utime + usage.ru_stime, 0
        tree = descendants()
        for ticks, pages in tree.values():
            cpu += ticks / TICK
            memory += pages * PAGE
        if memory > self.request["memory_bytes"]:  # forked workers share pages: count each once before judging
            memory = sum(proportional(pid, pages * PAGE) for pid, (_, pages) in tree.items())
        self.cpu, self.peak = max(self.cpu, cpu), max(self.peak, memory)
        self.interval = max(POLL_SECONDS, POLL_SHARE * (time.monotonic() - began))
        return memory

    def kill(self) -> bool:
        """Kill every descendant, again and again until none is left; false if some resist."""
        deadline = time.monotonic() + KILL_SECONDS
        while not self.childless:
            for pid in descendants() if LINUX else [-self.pid]:  # -pid: the process group
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.reap()
            if not self.childless:
                if time.monotonic() > deadline:
                    return False
                select.select([], [], [], 0.001)
        return True

    def report(self, ending: str, wall: float, clean: bool) -> tuple[dict[str, Any], bytes, bytes]:
        """The facts, once the tree is dead: drains the pipes first."""
        before = None
        while self.streams and self.received <= self.request["output_bytes"] and before != self.received:
            before = self.received
            self.read(list(self.streams))
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = max(self.cpu, usage.ru_utime + usage.ru_stime)
        self.peak = max(self.peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        end = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        if self.not_started:
            ending, end = "not_started", None
            self.kept[2] += self.not_started.encode()
        facts = {"ending": ending, "exit": end, "wall_seconds": wall, "cpu_seconds": self.cpu, "clean": clean}
        facts |= {"peak_memory_bytes": self.peak, "received": self.received}
        facts |= {"stdout": len(self.kept[1]), "stderr": len(self.kept[2])}
        return facts, bytes(self.kept[1]), bytes(self.kept[2])


def become(request: dict[str, Any], supervisor: int, out: int, err: int, failed: int) -> NoReturn:
    """In the forked child: turn into the command, or write why not to `failed`."""
    try:
        os.setsid()
        if request["offline"]:
            leave_network()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)
        prefer_as_victim()
        limit(resource.RLIMIT_CORE, 0)
        # Behind the watch, for each process alone: the kernel counts ticks, on a busy machine a sixth too many.
        limit(resource.RLIMIT_CPU, math.ceil(1.5 * min(request["cpu_seconds"], 1e9)) + 1)
        if request["file_bytes"] is not None:
            limit(resource.RLIMIT_FSIZE, request["file_bytes"])
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        given = request["stdin"]
        for to, source in enumerate((os.open(os.devnull, os.O_RDONLY) if given is None else given, out, err)):
            os.dup2(source, to)
        if given is not None:
            os.close(given)
        os.chdir(request["cwd"])
        os.execvpe(request["command"][0], request["command"], request["env"])
    except NoNetworkNamespace as error:
        os.write(failed, f"{NO_NETWORK}{error}".encode("utf-8", "replace"))
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        os.write(failed, f"cannot start {request['command'][0]!r}: {reason}".encode("utf-8", "replace"))
    os._exit(127)


class NoNetworkNamespace(Exception):
    """The operating system does not let this process have a network of its own."""


def leave_network() -> None:
    """Move this process into a network of its own, which has a loopback and nothing else (Linux).

    Without the right to do so it takes a user namespace too, in which it goes on as the user that it is. UNIX sockets
    by path still reach the host. Raises NoNetworkNamespace.
    """
    if not LINUX:
        raise NoNetworkNamespace(f"not implemented on {sys.platform}")
    system = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if system.unshare(CLONE_NEWNET) != 0:
        if system.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise NoNetworkNamespace(os.strerror(ctypes.get_errno()))
        try:
            maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
            for name, text in maps.items():
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        except OSError as error:
            raise NoNetworkNamespace(f"{error.filename}: {error.strerror}") from error
    with contextlib.suppress(OSError):  # without a loopback most programs still run
        loopback_up(system)


def loopback_up(system: ctypes.CDLL) -> None:
    handle = system.socket(AF_INET, SOCK_DGRAM, 0)
    if handle < 0:
        return
    try:
        shape = "16sh22x"  # struct ifreq: a name, flags, padding
        (_, flags) = struct.unpack(shape, fcntl.ioctl(handle, SIOCGIFFLAGS, struct.pack(shape, b"lo", 0)))
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack(shape, b"lo", flags | IFF_UP))
    finally:
        os.close(handle)


def limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def prefer_as_victim() -> None:
    """When the whole machine runs out of memory, let the kernel end the command rather than the host (Linux)."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


def descendants() -> dict[int, tuple[int, int]]:
    """Each living descendant of this process: CPU ticks (with its reaped children) and resident pages (Linux)."""
    facts: dict[int, tuple[int, int]] = {}
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc") if LINUX else ()):
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                fields = file.read(2048).rpartition(b")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if len(fields) > 21:
            children.setdefault(int(fields[1]), []).append(int(name))
            facts[int(name)] = sum(map(int, fields[11:15])), int(fields[21])
    found: dict[int, tuple[int, int]] = {}
    todo = [os.getpid()]
    while todo:
        for pid in children.pop(todo.pop(), ()):
            found[pid] = facts[pid]
            todo.append(pid)
    return found


def proportional(pid: int, resident: int) -> int:
    """Bytes of memory of one process, each shared page divided among its sharers; `resident` if unknown."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return int(file.read().partition(b"\nPss:")[2].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return resident


def receive() -> dict[str, Any]:
    """The request: the first line on descriptor 0."""
    data = bytearray()
    while not data.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            sys.exit(0)  # the host died before it asked for anything
        data += part
    request: dict[str, Any] = json.loads(data)
    return request


def answer(facts: dict[str, Any], *parts: bytes) -> None:
    data = memoryview(json.dumps(facts).encode() + b"\n" + b"".join(parts))
    while data:
        data = data[os.write(1, data) :]


stopped: list[int] = []  # signals that asked this supervisor to end
host = os.getppid()


def main() -> None:
    """Serve one request and end."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stopped.append(number))
    run = Run(receive())
    try:
        run.start()
        if not run.not_started:
            answer({"pid": run.pid})
        ending = run.watch(wake)
        wall = time.monotonic() - run.began
        answer(*run.report(ending, wall, clean=run.kill()))
    except BrokenPipeError:
        pass  # the host died
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
    finally:
        run.kill()
