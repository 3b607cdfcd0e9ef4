"""Running a command: what it says, which limit ends it, and that nothing of it is left."""

import os
import select
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bilevel.errors import InputError
from bilevel.execution.process import CONTAINMENT, MACHINE_ENDINGS, Ending, Limits, Outcome, run

SOURCE = Path(__file__).parents[2] / "src"
ENV = {"PATH": os.environ["PATH"]}
MIB = 1 << 20
only_tree = pytest.mark.skipif(CONTAINMENT != "tree", reason="needs a subreaper and /proc")


def limits(wall=20.0, cpu=20.0, memory=512 * MIB, output=MIB, file=None):
    return Limits(wall, cpu, memory, output, file)


def python(code, cwd, limit=None, env=None, **options):
    """Run a piece of Python in `cwd` as a target."""
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    return run(command, cwd=cwd, env=ENV if env is None else env, limits=limit or limits(), **options)


def alive(pid):
    """Whether a process is there and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text() if CONTAINMENT == "tree" else str(os.kill(pid, 0))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[:1] != ["Z"]


class Fifo:
    """A pipe by name which the processes of a target hold open: its end is the end of the last of them."""

    def __init__(self, folder):
        self.path = folder / "fifo"
        os.mkfifo(self.path)
        self.handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self, until=b"\n", seconds=20.0):
        data = b""
        os.set_blocking(self.handle, False)
        deadline = time.monotonic() + seconds
        while not until or not data.endswith(until):
            assert select.select([self.handle], [], [], deadline - time.monotonic())[0], f"only {data!r} came"
            part = os.read(self.handle, 4096)
            if not part and not until:
                break
            data += part
        return data

    def ends(self):
        self.read(until=b"")


def test_a_command_gives_its_output_and_exit_code(tmp_path):
    code = "import os, sys; os.write(1, 'hällo\\n'.encode()); print('oops', file=sys.stderr); sys.exit(3)"
    outcome = python(code, tmp_path)
    assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.EXITED, 3, None)
    assert (outcome.stdout, outcome.stderr) == ("hällo\n", "oops\n")
    assert not outcome.ok
    assert 0 < outcome.cpu_seconds < 20
    assert 0 < outcome.wall_seconds < 20
    assert outcome.peak_memory_bytes > MIB
    assert python("", tmp_path).ok


def test_the_command_sees_exactly_its_environment_and_folder(tmp_path):
    code = "import os; print(sorted(os.environ.items())); print(os.getcwd())"
    (tmp_path / "here").mkdir()
    env = {"A": "1", "B": "ü=2"}
    outcome = python(f"import os; del os.environ['BILEVEL_RUN_ID']; {code}", tmp_path / "here", env=env)
    items, folder = outcome.stdout.splitlines()
    seen = dict(eval(items))
    seen.pop("LC_CTYPE", None)  # Python's own, from coercing the C locale
    assert seen == env
    assert Path(folder) == (tmp_path / "here").resolve()


def test_stdin_is_what_is_given_and_otherwise_empty(tmp_path):
    code = "import sys; print(len(sys.stdin.buffer.read()))"
    assert python(code, tmp_path).stdout == "0\n"
    assert python(code, tmp_path, stdin=b"x" * 300_000).stdout == "300000\n"


def test_undecodable_output_is_replaced(tmp_path):
    assert python(r"import os; os.write(1, b'a\xffb')", tmp_path).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_the_tail_ends_with_what_stderr_said():
    outcome = Outcome(Ending.EXITED, 1, None, 0.0, 0.0, 0, "1\n2\n3\n", "trace\nerror\n")
    assert outcome.tail(3) == "3\ntrace\nerror"
    assert outcome.tail() == "1\n2\n3\ntrace\nerror"


@pytest.mark.parametrize("command", [["no-such-command-anywhere"], ["./missing"], ["./plain"], ["./garbage"], ["/"]])
def test_a_command_that_cannot_start_says_so(tmp_path, command):
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "garbage").write_bytes(b"\x00\x01")
    (tmp_path / "garbage").chmod(0o755)
    outcome = run(command, cwd=tmp_path, env=ENV, limits=limits())
    assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.NOT_STARTED, None, None)
    assert command[0] in outcome.stderr


def test_a_command_is_looked_up_in_the_path_it_is_given(tmp_path):
    program = tmp_path / "bin" / "thing"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    outcome = run(["thing"], cwd=tmp_path, env={"PATH": str(program.parent)}, limits=limits())
    assert outcome.stdout == "found\n"


def test_no_shell_reads_the_command(tmp_path):
    outcome = run(["echo", "$HOME; touch x", "*"], cwd=tmp_path, env=ENV, limits=limits())
    assert outcome.stdout == "$HOME; touch x *\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [{"command": []}, {"command": [""]}, {"command": ["a\0b"]}, {"cwd": Path("/no/such")}])
def test_a_request_that_cannot_be_run_is_the_callers_fault(tmp_path, bad):
    request = {"command": ["true"], "cwd": tmp_path} | bad
    with pytest.raises(InputError):
        run(**request, env=ENV, limits=limits())


@pytest.mark.parametrize("values", [(0, 1, 1, 1), (1, -1, 1, 1), (1, float("nan"), 1, 1), (float("inf"), 1, 1, 1)])
def test_limits_are_positive_and_finite(values):
    with pytest.raises(InputError):
        Limits(*values)


def test_the_wall_limit_kills_also_what_ignores_sigterm(tmp_path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    outcome = python(code, tmp_path, limits(wall=0.4))
    assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.WALL_LIMIT, None, signal.SIGKILL)
    assert outcome.stdout == "up\n"
    assert 0.4 <= outcome.wall_seconds < 5
    assert outcome.ending not in MACHINE_ENDINGS


def test_the_cpu_limit_ends_one_busy_process(tmp_path):
    outcome = python("while True: pass", tmp_path, limits(cpu=0.3))
    assert outcome.ending is Ending.CPU_LIMIT
    assert 0.3 <= outcome.cpu_seconds < 3


def test_the_kernel_which_counts_too_many_ticks_on_a_busy_machine_kills_later_than_the_limit(tmp_path):
    code = "import resource; print(*resource.getrlimit(resource.RLIMIT_CPU))"
    assert python(code, tmp_path, limits(cpu=10)).stdout == "16 16\n"


def test_the_cpu_limit_counts_the_whole_tree(tmp_path):
    """Three processes, each well under the limit that they pass together, and reaped children of theirs."""
    code = """
import os, time
def burn(seconds):
    while time.process_time() < seconds: pass
for _ in range(3):
    if os.fork() == 0:
        for _ in range(50):
            if os.fork() == 0:
                burn(0.05); os._exit(0)
            os.wait()
        os._exit(0)
for _ in range(3): os.wait()
"""
    outcome = python(code, tmp_path, limits(cpu=0.6))
    assert outcome.ending is Ending.CPU_LIMIT or (CONTAINMENT != "tree" and outcome.ok)
    assert outcome.cpu_seconds < 4


@only_tree
def test_the_memory_limit_counts_the_whole_tree(tmp_path):
    code = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        data = b'x' * (40 << 20); time.sleep(60)
time.sleep(60)
"""
    outcome = python(code, tmp_path, limits(memory=100 * MIB))
    assert outcome.ending is Ending.MEMORY_LIMIT
    assert 100 * MIB < outcome.peak_memory_bytes < 250 * MIB


@only_tree
def test_memory_that_forked_workers_share_counts_once(tmp_path):
    code = """
import os, time
data = b'x' * (60 << 20)
for _ in range(4):
    if os.fork() == 0:
        time.sleep(0.4); os._exit(0)
for _ in range(4): os.wait()
"""
    assert python(code, tmp_path, limits(memory=150 * MIB)).ok


def test_a_gigabyte_on_stdout_ends_at_the_output_limit(tmp_path):
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    outcome = python(code, tmp_path, limits(output=100_000))
    assert outcome.ending is Ending.OUTPUT_LIMIT
    assert outcome.stdout == "x" * 100_000


def test_both_streams_share_the_output_limit_also_at_a_normal_end(tmp_path):
    code = "import os; os.write(1, b'o' * 60); os.write(2, b'e' * 60)"
    assert python(code, tmp_path, limits(output=120)).ok
    outcome = python(code, tmp_path, limits(output=100))
    assert outcome.ending is Ending.OUTPUT_LIMIT
    assert len(outcome.stdout) + len(outcome.stderr) == 100


def test_a_file_over_its_limit_is_not_written(tmp_path):
    code = "import os; f = open('big', 'wb', 0)\nfor _ in range(9): f.write(b'x' * 65536)"
    outcome = run(["sh", "-c", "cat /dev/zero > big"], cwd=tmp_path, env=ENV, limits=limits(file=100_000))
    assert outcome.ending is Ending.FILE_LIMIT or outcome.exit_code
    assert (tmp_path / "big").stat().st_size == 100_000
    assert python(code, tmp_path, limits(file=100_000)).exit_code == 1


def test_a_fault_of_the_program_and_a_signal_from_outside_are_told_apart(tmp_path):
    kill = "import os, signal; os.kill(os.getpid(), signal.{})"
    crash = python("import os; os.abort()", tmp_path)
    assert (crash.ending, crash.signal, crash.exit_code) == (Ending.CRASHED, signal.SIGABRT, None)
    killed = python(kill.format("SIGKILL"), tmp_path)
    assert (killed.ending, killed.signal) == (Ending.KILLED, signal.SIGKILL)
    assert killed.ending in MACHINE_ENDINGS
    assert crash.ending not in MACHINE_ENDINGS


def test_a_command_leaves_no_core_dump(tmp_path):
    assert python("import resource; print(resource.getrlimit(resource.RLIMIT_CORE))", tmp_path).stdout == "(0, 0)\n"


def test_children_left_behind_die_with_the_command(tmp_path):
    code = """
import os, time
pid = os.fork()
if pid == 0: time.sleep(60)
print(pid)
"""
    outcome = python(code, tmp_path)
    assert outcome.ok
    assert not alive(int(outcome.stdout))
    assert outcome.wall_seconds < 10


DAEMON = """
import os, signal, time
r, w = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.environ.clear()
            os.write(w, b'%d ' % os.getpid())
            if {hide}: os.execve('/bin/sleep', ['sleep', '60'], {{}})
            time.sleep(60)
        os._exit(0)
pids = b''
while pids.count(b' ') < 4: pids += os.read(r, 99)
print(pids.decode(), flush=True)
{then}
"""


@only_tree
@pytest.mark.parametrize(
    ("then", "ending"), [("", Ending.EXITED), ("while True: os.write(1, b' ' * 9999)", Ending.OUTPUT_LIMIT)]
)
def test_daemons_that_left_session_and_parent_die_too(tmp_path, then, ending):
    outcome = python(DAEMON.format(hide=True, then=then), tmp_path)
    assert outcome.ending is ending
    pids = [int(word) for word in outcome.stdout.split()]
    assert len(pids) == 4
    assert outcome.wall_seconds < 10
    assert not any(map(alive, pids))


@only_tree
def test_runs_side_by_side_leave_each_other_alone(tmp_path):
    outcomes: dict[int, Outcome] = {}

    def work(number):
        code = DAEMON.format(hide=False, then=f"time.sleep({0.02 * number}); print('end')")
        outcomes[number] = python(code, tmp_path)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    own = subprocess.Popen(["sleep", "60"], start_new_session=True)
    for thread in threads:
        thread.join()
    assert own.poll() is None
    own.kill()
    own.wait()
    assert all(outcome.ok and outcome.stdout.endswith("end\n") for outcome in outcomes.values())
    assert len(outcomes) == 6
    assert not any(alive(int(word)) for outcome in outcomes.values() for word in outcome.stdout.split()[:-1])


def test_the_caller_learns_the_process_and_can_cancel(tmp_path):
    cancel = threading.Event()
    started = []

    def on_start(pid):
        started.append((pid, alive(pid)))
        cancel.set()

    outcome = python("import time; time.sleep(60)", tmp_path, on_start=on_start, cancel=cancel)
    assert outcome.ending is Ending.CANCELLED
    assert [there for _, there in started] == [True]
    assert not alive(started[0][0])
    assert python("print(1)", tmp_path, cancel=cancel).ending is Ending.CANCELLED
    assert python("print(1)", tmp_path, cancel=threading.Event()).ok


def test_an_error_in_the_caller_kills_the_run(tmp_path):
    started = []

    def on_start(pid):
        started.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        python("import time; time.sleep(60)", tmp_path, on_start=on_start)
    assert not alive(started[0])


HOST = """
import sys
from pathlib import Path
sys.path.insert(0, {source!r})
from bilevel.execution.process import Limits, run
command = [sys.executable, '-I', '-S', '-c', {target!r}]
run(command, cwd=Path({cwd!r}), env={{}}, limits=Limits(60, 60, 1 << 30, 1 << 20))
"""
TREE = """
import os, time
fifo = os.open({fifo!r}, os.O_WRONLY); os.set_inheritable(fifo, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(fifo, b'up\\n'); time.sleep(60)
    os._exit(0)
{then}
time.sleep(60)
"""


@only_tree
def test_the_tree_dies_when_the_host_is_killed(tmp_path):
    fifo = Fifo(tmp_path)
    target = TREE.format(fifo=str(fifo.path), then="")
    host = subprocess.Popen([sys.executable, "-c", HOST.format(source=str(SOURCE), target=target, cwd=str(tmp_path))])
    fifo.read()
    host.kill()
    host.wait()
    fifo.ends()


@only_tree
def test_a_command_that_kills_its_supervisor_dies_with_all_it_started(tmp_path):
    fifo = Fifo(tmp_path)
    then = "os.wait(); time.sleep(0.1); os.kill(os.getppid(), 9)"
    outcome = python(TREE.format(fifo=str(fifo.path), then=then), tmp_path)
    assert outcome.ending is Ending.KILLED
    assert "supervise" in outcome.stderr
    fifo.ends()


@pytest.mark.skipif(os.geteuid() != 0 or CONTAINMENT != "tree", reason="mounts a small file system")
def test_a_failure_on_a_full_disk_is_the_machines(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        outcome = python("open('big', 'wb').write(b'x' * (8 << 20))", small)
        (small / "big").unlink()
        assert outcome.ending is Ending.DISK_FULL
        assert outcome.ending in MACHINE_ENDINGS
        assert python("raise SystemExit(1)", small).ending is Ending.EXITED
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_run_costs_little(tmp_path):
    """Generous, as machines are busy; the measured median is in the module's docstring."""
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert run(["true"], cwd=tmp_path, env=ENV, limits=limits()).ok
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 0.5
