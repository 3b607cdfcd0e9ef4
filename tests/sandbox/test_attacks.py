"""Hostile code in a cell, with no door before it: what it tries is stopped, and by which layer.

Run as a program, this prints the table of `docs/sandbox.md`.
"""

import errno
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bilevel.sandbox import levels, starting
from bilevel.sandbox.cell import Cell, CellFault, CellLimits

LIMITS, SEALED, CONTAINED = levels.LEVELS
DOC = Path(__file__).parents[2] / "docs" / "sandbox.md"
NOT_COVERED = "not covered"
UNLESS_ROOT = "not covered (as root: a user of its own)"
PRELUDE = """
import os, sys, ctypes, _signal
libc = ctypes.CDLL(None, use_errno=True)
def must(done):
    if done == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return done
def own_id():
    frame = sys._getframe()
    while "number" not in frame.f_locals or "wire" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["number"], frame.f_locals["wire"].sink
"""


@dataclass(frozen=True)
class Attack:
    """What is tried; for each level the layer that stops it and the evidence for that.

    Evidence is an errno or the name of an error that the guest met, the cause of a CellFault, or the value it got.
    """

    name: str
    source: str
    limits: tuple[str, object]
    sealed: tuple[str, object]
    then: str = ""  # a second call, where the first one is not the attack's end
    contained: tuple[str, object] | None = None
    cell: CellLimits = field(default=CellLimits(call_cpu_seconds=0.15, call_wall_seconds=10.0, purse_seconds=60.0))

    def expected(self, level):
        return {LIMITS: self.limits, SEALED: self.sealed, CONTAINED: self.contained or self.sealed}[level]


def fault(cause):
    return f"fault {cause}"


def everywhere(layer, evidence):
    return {"limits": (layer, evidence), "sealed": (layer, evidence)}


NO_DESCRIPTOR, BY_SECCOMP = ("rlimits", errno.EMFILE), ("seccomp", errno.EPERM)
NO_LAYER = (NOT_COVERED, None)
OWN_USER_DENIED, OWN_USER_SIGNAL = (UNLESS_ROOT, errno.EACCES), (UNLESS_ROOT, errno.EPERM)
DEATH = fault("died")
ATTACKS = [
    Attack("read a file", "open('/etc/passwd').read()", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("list a folder, home for one", "os.listdir('/root')", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("read keys from the environment", "result = sorted(os.environ)", **everywhere("bare environment", "ENV")),
    Attack("read the host's environment in /proc", "open('/proc/PARENT/environ').read()", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("open a TCP socket", "must(libc.socket(2, 1, 0))", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("open a UDP socket", "must(libc.socket(2, 2, 0))", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("open a UNIX socket", "must(libc.socket(1, 1, 0))", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("write a file, fill a disk", "open('/tmp/bilevel-attack', 'w').write('x')", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("fill shared memory", "must(libc.memfd_create(b'x', 0))", NO_DESCRIPTOR, BY_SECCOMP),
    Attack("delete a file", "os.unlink('OWN/file')", OWN_USER_DENIED, BY_SECCOMP),
    Attack("empty a file", "os.truncate('OWN/file', 0)", OWN_USER_DENIED, BY_SECCOMP),
    Attack("make folders and links", "os.mkdir('OWN/made')", OWN_USER_DENIED, BY_SECCOMP),
    Attack("ask whether a file exists", "os.stat('/etc/passwd')", NO_LAYER, BY_SECCOMP),
    Attack("fork bomb", "while True: os.fork()", ("rlimits", errno.EAGAIN), BY_SECCOMP),
    Attack("start a thread", "import _thread; _thread.start_new_thread(print, ())",
           ("rlimits", "RuntimeError"), ("seccomp", "RuntimeError")),
    Attack("run a program", "os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
           ("rlimits (one that loads libraries)", DEATH), BY_SECCOMP),
    Attack("kill the parent", "os.kill(PARENT, 18)", OWN_USER_SIGNAL, BY_SECCOMP),
    Attack("trace the parent", "must(libc.ptrace(16, PARENT, None, None))", OWN_USER_SIGNAL, BY_SECCOMP),
    Attack("outlive the host", "must(libc.prctl(1, 0, 0, 0, 0))", NO_LAYER, BY_SECCOMP),
    Attack("raise its own limits", "must(libc.setrlimit(7, (ctypes.c_ulong * 2)(64, 64)))",
           ("rlimits", errno.EPERM), BY_SECCOMP),
    Attack("new namespaces", "must(libc.unshare(0x10000000))", NO_LAYER, BY_SECCOMP),
    Attack("map machine code of its own",
           "libc.mmap.restype = ctypes.c_long; must(libc.mmap(None, ctypes.c_size_t(4096), 7, 34, -1, 0))",
           NO_LAYER, BY_SECCOMP),
    Attack("raw system calls through ctypes", "must(libc.syscall(257, -100, b'/etc/passwd', 0))"
           if os.uname().machine == "x86_64" else "must(libc.syscall(56, -100, b'/etc/passwd', 0))",
           NO_DESCRIPTOR, BY_SECCOMP),
    Attack("import what was not loaded", "import socket", **everywhere("closed imports", "ModuleNotFoundError")),
    Attack("allocate 100 GB", "bytearray(10**11)", **everywhere("rlimits", "MemoryError")),
    Attack("endless loop", "while True: pass", **everywhere("host: CPU of a call", fault("cpu"))),
    Attack("endless wait", "import time; time.sleep(1e6)", **everywhere("host: wall time of a call", fault("wall")),
           cell=CellLimits(call_wall_seconds=0.2)),
    Attack("endless loop deaf to signals", "for n in (1, 2, 3, 13, 14, 15): _signal.signal(n, _signal.SIG_IGN)\n"
           "while True: pass", **everywhere("host: CPU of a call, by SIGKILL", fault("cpu"))),
    Attack("a little less than each limit", "import time\nend = time.process_time() + 0.1\n"
           "while time.process_time() < end: pass", **everywhere("host: purse of all calls", fault("purse")),
           cell=CellLimits(call_cpu_seconds=0.5, purse_seconds=0.25, refill_seconds=0.01)),
    Attack("go on after the answer",
           "def burn(*_):\n    while True: pass\n"
           "_signal.signal(14, burn); must(libc.ualarm(20000, 0)); result = 'later'",
           ("host: CPU of the next call, purse", fault("cpu")), BY_SECCOMP, then="while True: pass"),
    Attack("go on after the answer, by a timer of CPU time",
           "def burn(*_):\n    while True: pass\n"
           "_signal.signal(27, burn); _signal.setitimer(2, 0.02); result = 'later'",
           **everywhere("host: CPU of the next call", fault("cpu")),
           then="import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass"),
    Attack("os._exit", "os._exit(7)", **everywhere("host: fresh process", DEATH)),
    Attack("sys.exit", "sys.exit(7)", **everywhere("host: fresh process", fault("raised"))),
    Attack("crash the interpreter", "ctypes.string_at(1)", **everywhere("host: fresh process", DEATH)),
    Attack("close the pipes", "os.closerange(3, 1024)\nwhile True: pass", **everywhere("host: fresh process", DEATH)),
    Attack("endless recursion", "def f(): f()\nf()", **everywhere("interpreter", "RecursionError")),
    Attack("recursion without a limit", "sys.setrecursionlimit(10**9)\nclass A:\n    def __getattr__(self, name):\n"
           "        return getattr(self, name + 'x')\nA().a", **everywhere("host: fresh process, or rlimits", "ANY")),
    Attack("huge reply", "result = 'x' * 2**21", **everywhere("host: length of a reply", fault("reply"))),
    Attack("endless line", "i, s = own_id()\nwhile True: os.write(s, b'x' * 65536)",
           **everywhere("host: length of a reply", fault("reply"))),
    Attack("deeply nested JSON", "i, s = own_id(); os.write(s, b'[' * 500000 + b'\\n')",
           **everywhere("host: parser", fault("protocol"))),
    Attack("something that is not JSON", "i, s = own_id(); os.write(s, b'\\xff\\n')",
           **everywhere("host: parser", fault("protocol"))),
    Attack("a reply with line breaks", "result = 'a\\n{\"id\": 1}\\nb'", **everywhere("JSON", "a\n{\"id\": 1}\nb")),
    Attack("forge an answer to another request", "i, s = own_id(); os.write(s, b'{\"id\":\"0\",\"reply\":1}\\n')",
           **everywhere("host: request ids", fault("protocol"))),
    Attack("answer twice", "import json\ni, s = own_id(); os.write(s, json.dumps({'id': i, 'reply': 'later'}).encode()"
           " + b'\\n'); result = 2", **everywhere("host: request ids", fault("protocol")), then="result = 3"),
    Attack("print lines that look like replies", "print('{\"id\": \"0\", \"reply\": 1}', flush=True); result = 2",
           **everywhere("pipes without a name", 2)),
    Attack("patch the host's types", "import builtins\nbuiltins.sorted = os.kill = None; result = 1",
           **everywhere("own process", 1)),
]  # fmt: skip


def table():
    """The attacks and the layers that stop them, as the documentation prints it."""
    lines = ["| attack | `limits` | `sealed`, `contained` |", "|---|---|---|"]
    return "\n".join(lines + [f"| {a.name} | {a.limits[0]} | {a.sealed[0]} |" for a in ATTACKS])


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def met(cell, source):
    """What came of it: an errno, the name of an error, a CellFault's cause, or a value."""
    try:
        value = cell.call(PRELUDE + source)
    except CellFault as error:
        return fault(error.cause)
    if isinstance(value, dict) and "error" in value:
        return value["error"] if value["errno"] is None else value["errno"]
    return value


@pytest.fixture(scope="module")
def cells():
    """One cell for each level and set of limits, which is given again to the next attack."""
    made = {}

    def get(level, limits):
        return made.setdefault((level, limits), Cell("cell_entries:hostile", level, limits))

    yield get
    for cell in made.values():
        cell.close()


def attack(cell, tried, evidence, source):
    """Try until it is stopped, for as long as it goes on."""
    found = met(cell, source)
    if found == "later":
        found = met(cell, tried.then)
    for _ in range(20 if evidence == fault("purse") and found is None else 0):
        found = found or met(cell, source)
    return found


@pytest.mark.parametrize("tried", [pytest.param(tried, id=tried.name) for tried in ATTACKS])
@pytest.mark.parametrize("level", levels.LEVELS)
def test_an_attack_is_stopped_by_the_layer_that_the_table_names(level, tried, tmp_path, cells):
    layer, evidence = tried.expected(level)
    if level not in levels.available():
        pytest.skip(f"no {level} on this machine")
    if layer == NOT_COVERED or (layer == UNLESS_ROOT and os.geteuid() != 0):
        pytest.skip(f"{tried.name} is not covered by {level}, and the table says so")
    if level == LIMITS and not sys.platform.startswith("linux"):
        pytest.skip("the attacks are written for Linux")
    own = tmp_path / "private"
    own.mkdir(mode=0o700)
    (own / "file").write_text("precious")
    before = sorted, os.kill
    cell = cells(level, tried.cell)
    source = tried.source.replace("PARENT", str(os.getpid())).replace("OWN", str(own))
    found = attack(cell, tried, evidence, source)
    if evidence == "ENV":
        assert set(found) <= set(starting.ENVIRONMENT) | {"LC_CTYPE"}
    elif evidence == "ANY":
        assert found in (DEATH, "MemoryError", "RecursionError", fault("cpu"), fault("raised"))
    elif tried.name == "go on after the answer" and level == LIMITS:
        assert found in (fault("cpu"), fault("purse"))
    else:
        assert found == evidence
    assert (own / "file").read_text() == "precious" and not (own / "made").exists()
    assert met(cell, "result = 'well'") == "well" or evidence == fault("purse"), "a next call finds a process"
    assert (sorted, os.kill) == before


@pytest.mark.parametrize("level", [SEALED, CONTAINED])
def test_nothing_is_left_uncovered_behind_the_higher_levels(level):
    assert not [tried.name for tried in ATTACKS if tried.expected(level)[0].startswith(NOT_COVERED)]


def test_the_table_in_the_documentation_is_the_one_that_is_tested():
    assert table() in DOC.read_text("utf-8")


def kept_back(monkeypatch, level, walls):
    if level not in levels.available():
        pytest.skip(f"no {level} on this machine")
    monkeypatch.setitem(starting.WALLS, level, walls)


def test_behind_seccomp_landlock_holds_too(monkeypatch):
    kept_back(monkeypatch, SEALED, ("landlock",))
    if not levels.probe(SEALED).report["landlock"]:
        pytest.skip("no Landlock in this kernel")
    with tempfile.TemporaryDirectory(prefix="bilevel-") as open_to_all:
        os.chmod(open_to_all, 0o777)
        with Cell("cell_entries:hostile", LIMITS, CellLimits()) as cell:
            assert met(cell, f"os.mkdir('{open_to_all}/first')") is None, "nothing but Landlock would stop it"
        with Cell("cell_entries:hostile", SEALED, CellLimits()) as cell:
            assert met(cell, f"os.mkdir('{open_to_all}/second')") == errno.EACCES


def test_behind_seccomp_and_landlock_namespaces_hold_too(monkeypatch):
    kept_back(monkeypatch, CONTAINED, ())
    with Cell("cell_entries:hostile", CONTAINED, CellLimits()) as cell:
        assert met(cell, f"os.kill({os.getpid()}, 18)") == errno.ESRCH
        if levels.probe(CONTAINED).way == starting.UNSHARE:
            assert met(cell, "os.stat('/etc')") == errno.ENOENT
            assert met(cell, "os.mkdir('/made')") in (errno.EROFS, errno.EACCES)


def test_what_goes_on_between_calls_is_paid_from_the_purse():
    if not sys.platform.startswith("linux"):
        pytest.skip("timers are written for Linux")
    limits = CellLimits(call_cpu_seconds=5.0, purse_seconds=0.05, refill_seconds=0.01)
    source = "def burn(*_):\n    while True: pass\n_signal.signal(14, burn); libc.ualarm(1000, 0)"
    with Cell("cell_entries:hostile", LIMITS, limits) as cell:
        met(cell, source)
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        assert met(cell, "result = 1") == fault("purse")


if __name__ == "__main__":
    print(table())
