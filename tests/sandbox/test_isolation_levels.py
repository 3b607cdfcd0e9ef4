"""Levels are found by trying them; a level that is named is had or refused."""

import errno
import signal
import sys

import pytest

from bilevel.errors import HarnessError, InputError
from bilevel.sandbox import levels, seccomp, starting
from bilevel.sandbox.cell import Cell, CellLimits

LINUX = sys.platform.startswith("linux")
DANGEROUS = {
    "x86_64": {"open": 2, "openat": 257, "openat2": 437, "socket": 41, "connect": 42, "fork": 57, "vfork": 58,
               "clone": 56, "execve": 59, "execveat": 322, "ptrace": 101, "kill": 62, "tkill": 200, "prctl": 157,
               "prlimit64": 302, "setrlimit": 160, "unlink": 87, "mkdir": 83, "rename": 82, "truncate": 76, "stat": 4,
               "mount": 165, "unshare": 272, "bpf": 321, "io_uring_setup": 425, "memfd_create": 319, "seccomp": 317,
               "process_vm_writev": 311, "shmget": 29, "setitimer": 38, "dup": 32, "fcntl": 72, "pidfd_open": 434},
    "aarch64": {"openat": 56, "openat2": 437, "socket": 198, "connect": 203, "clone": 220, "execve": 221,
                "execveat": 281, "ptrace": 117, "kill": 129, "tkill": 130, "prctl": 167, "prlimit64": 261,
                "setrlimit": 164, "unlinkat": 35, "mkdirat": 34, "renameat2": 276, "truncate": 45, "fstatat": 79,
                "mount": 40, "unshare": 97, "bpf": 280, "io_uring_setup": 425, "memfd_create": 279, "seccomp": 277,
                "process_vm_writev": 271, "shmget": 194, "setitimer": 103, "dup": 23, "fcntl": 25, "pidfd_open": 434},
}  # fmt: skip
REFUSED = seccomp.ERRNO | errno.EPERM


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    levels.probe.cache_clear()
    yield
    levels.probe.cache_clear()


def judged(architecture, number, *arguments, pid=7, speaks=None):
    """What the filter says to a system call, by the rules of the kernel's own interpreter."""
    where = {seccomp.NUMBER_AT: number, seccomp.ARCHITECTURE_AT: speaks or seccomp.ARCHITECTURES[architecture]}
    where |= {seccomp.ARGUMENTS_AT + 8 * n: value for n, value in enumerate(arguments)}
    steps, at, held = seccomp.program(architecture, pid), 0, 0
    while True:
        code, yes, no, constant = steps[at]
        at += 1
        if code == seccomp.RETURN:
            return constant
        if code == seccomp.LOAD:
            held = where.get(constant, 0)
        elif code == seccomp.EQUAL:
            at += yes if held == constant else no
        else:
            assert code == seccomp.ANY_BIT
            at += yes if held & constant else no


@pytest.mark.parametrize("architecture", seccomp.ARCHITECTURES)
def test_the_filter_allows_computing_and_refuses_the_rest(architecture):
    column = list(seccomp.ARCHITECTURES).index(architecture)
    assert all(judged(architecture, numbers[column]) == seccomp.ALLOW for numbers in seccomp.ALLOWED.values())
    assert {judged(architecture, number) for number in DANGEROUS[architecture].values()} == {REFUSED}
    assert judged(architecture, 9999) == REFUSED
    assert judged(architecture, seccomp.UNKNOWN["clone3"][column]) == seccomp.ERRNO | errno.ENOSYS
    for numbers in seccomp.NOT_EXECUTABLE.values():
        assert judged(architecture, numbers[column], 0, 0, 3) == seccomp.ALLOW
        assert judged(architecture, numbers[column], 0, 0, 7) == REFUSED
    (signals,) = seccomp.TO_ITSELF.values()
    assert judged(architecture, signals[column], 7) == seccomp.ALLOW
    assert judged(architecture, signals[column], 8) == REFUSED
    (timer,) = seccomp.ON_ITS_OWN_TIME.values()
    assert judged(architecture, timer[column], signal.ITIMER_PROF) == seccomp.ALLOW
    assert judged(architecture, timer[column], signal.ITIMER_REAL) == REFUSED


def test_calls_of_another_architecture_are_deadly():
    assert judged("x86_64", 0, speaks=0x40000003) == seccomp.KILL_PROCESS
    assert judged("x86_64", 0x40000000 | 2) == REFUSED, "the x32 numbers are other numbers"


def test_the_levels_are_ordered_and_the_best_is_the_strongest():
    found = levels.available()
    assert found[0] == "limits" and levels.best() == found[-1] == levels.require("auto")
    assert list(found) == [level for level in levels.LEVELS if level in found]


@pytest.mark.parametrize("level", levels.LEVELS)
def test_a_level_says_in_one_line_what_holds(level):
    line = levels.describe(level)
    assert line.startswith(level) and "\n" not in line


def test_an_unknown_level_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'airtight'.*auto, limits, sealed, contained"):
        levels.require("airtight")


def test_a_level_that_cannot_be_had_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InputError, match=r"'sealed'.*darwin has limits only.*Way out: .*'limits'"):
        levels.require("sealed")
    assert levels.available() == ("limits",)
    assert "not available here" in levels.describe("contained")
    with pytest.raises(HarnessError, match="darwin"):
        Cell("cell_entries:echo", "contained", CellLimits()).call(1)


def test_where_no_namespaces_can_be_made_the_level_below_is_the_best(monkeypatch):
    monkeypatch.setitem(levels.WAYS, levels.CONTAINED, (starting.BUBBLEWRAP,))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "bwrap" in levels.probe(levels.CONTAINED).obstacle
    assert levels.best() in (levels.SEALED, levels.LIMITS)


@pytest.mark.skipif(not LINUX, reason="namespaces are Linux's own")
@pytest.mark.parametrize("way", [starting.UNSHARE, starting.BUBBLEWRAP])
def test_each_way_to_namespaces_answers_and_is_measured(monkeypatch, way):
    monkeypatch.setitem(levels.WAYS, levels.CONTAINED, (way,))
    if levels.probe(levels.CONTAINED).obstacle:
        pytest.skip(levels.probe(levels.CONTAINED).obstacle)
    limits = CellLimits(call_cpu_seconds=0.1)
    with Cell("cell_entries:hostile", "contained", limits) as cell:
        assert cell.call("import os; result = os.getpid()") == 1
        assert cell.call("open('/etc/passwd')")["errno"] == errno.EPERM
        with pytest.raises(Exception, match="CPU time"):
            cell.call("while True: pass")
        with pytest.raises(Exception, match="exit code 9"):
            cell.call("import os; os._exit(9)")


def test_a_kernel_without_landlock_is_sealed_by_the_filter_and_says_so(monkeypatch):
    monkeypatch.setitem(starting.WALLS, levels.SEALED, ("seccomp",))
    if levels.probe(levels.SEALED).obstacle:
        pytest.skip("no seccomp here")
    said = "sealed: no files, no network, no processes (no Landlock in this kernel, seccomp)"
    assert levels.describe(levels.SEALED) == said


def test_a_wall_that_the_system_refuses_is_no_level(monkeypatch):
    monkeypatch.setitem(starting.WALLS, levels.SEALED, ("seccomp",))
    monkeypatch.setattr(starting, "CHILD", starting.CHILD.with_name("missing.py"))
    assert "died before it was ready" in levels.probe(levels.SEALED).obstacle
    with pytest.raises(HarnessError, match="no sandboxed process can be started here"):
        levels.best()
