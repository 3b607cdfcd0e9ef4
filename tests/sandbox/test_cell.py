"""A cell answers requests, and is replaced when it breaks a limit."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilevel.errors import HarnessError
from bilevel.sandbox import levels
from bilevel.sandbox.cell import Cell, CellFault, CellLimits
from bilevel.sandbox.clocks import parse
from bilevel.sandbox.starting import ENVIRONMENT

HERE = Path(__file__).parent
HOSTILE, ECHO = "cell_entries:hostile", "cell_entries:echo"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no ps here")
    return done.stdout.strip()[:1] not in ("", "Z")


def pid_of(cell):
    return cell.call("import os; result = os.getpid()")


@pytest.fixture(scope="module")
def echo():
    sys.path.insert(0, str(HERE))
    with Cell(ECHO, levels.best(), CellLimits()) as cell:
        cell.call(None)
        yield cell
    sys.path.remove(str(HERE))


@settings(max_examples=100, deadline=None)
@given(value=JSON)
def test_what_goes_in_and_out_is_the_same(echo, value):
    assert echo.call(value) == value


def test_a_large_request_goes_through_in_pieces(echo):
    text = "x" * 1_000_000
    assert echo.call(text) == text
    assert echo.generation == 1


def test_what_the_guest_asks_is_answered_by_the_host():
    with Cell("cell_entries:question", "limits", CellLimits()) as cell:
        assert cell.call([1, 2, 3], lambda item: item * 2) == [2, 4, 6]
        with pytest.raises(CellFault, match="no question may be asked"):
            cell.call([1])


def test_the_time_of_the_hosts_answers_does_not_count():
    done = threading.Event()

    def slow(item):
        done.wait(0.3)
        return item

    with Cell("cell_entries:question", "limits", CellLimits(call_wall_seconds=0.25)) as cell:
        assert cell.call([1, 2], slow) == [1, 2]


def test_what_the_host_raises_while_it_answers_goes_through():
    def broken(item):
        raise HarnessError("no more money")

    with Cell("cell_entries:question", "limits", CellLimits()) as cell:
        with pytest.raises(HarnessError, match="no more money"):
            cell.call([1], broken)
        assert cell.call([1], lambda item: item) == [1]
        assert cell.generation == 2


@pytest.mark.parametrize(
    ("source", "cause", "words"),
    [
        ("import os; os._exit(3)", "died", "exit code 3"),
        ("import ctypes; ctypes.string_at(1)", "died", "SIGSEGV"),
        ("import os, sys; print('last words', file=sys.stderr); os._exit(3)", "died", "last words"),
        ("raise SystemExit(4)", "raised", "SystemExit: 4"),
        ("result = object()", "raised", "not JSON serializable"),
    ],
)
@pytest.mark.parametrize("level", ["limits", "auto"])
def test_a_death_says_how_and_a_fresh_process_answers(level, source, cause, words):
    with Cell(HOSTILE, levels.require(level), CellLimits()) as cell:
        with pytest.raises(CellFault, match=words) as caught:
            cell.call(source)
        assert caught.value.cause == cause
        assert cell.call("result = 1") == 1
        assert cell.generation == 2


@pytest.mark.parametrize("level", levels.LEVELS)
def test_a_guest_finds_a_bare_environment_and_the_same_hashes_each_time(level):
    if level not in levels.available():
        pytest.skip(f"no {level} here")
    found = []
    for _ in range(2):
        with Cell("cell_entries:environment", level, CellLimits()) as cell:
            found.append(cell.call(None))
    assert found[0] == found[1]
    assert found[0]["cwd"] == "/" and set(found[0]["environ"]) <= {*ENVIRONMENT, "LC_CTYPE"}


@pytest.mark.parametrize("level", levels.LEVELS)
def test_numbers_can_be_computed_behind_the_walls(level):
    if level not in levels.available():
        pytest.skip(f"no {level} here")
    source = "import numpy as np; x = np.random.default_rng(0).random((50, 50)); result = float(np.linalg.det(x @ x.T))"
    with Cell(HOSTILE, level, CellLimits(), ("numpy",)) as cell:
        first = cell.call(source)
        assert isinstance(first, float) and cell.call(source) == first


@pytest.mark.slow
@pytest.mark.parametrize("level", levels.LEVELS)
def test_surrogates_can_be_fitted_behind_the_walls(level):
    pytest.importorskip("sklearn")
    if level not in levels.available():
        pytest.skip(f"no {level} here")
    source = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
from scipy import optimize, spatial, stats
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.model_selection import cross_val_score
x = np.random.default_rng(0).random((60, 3))
y = x.sum(1)
for model in (GaussianProcessRegressor(), RandomForestRegressor(5), HistGradientBoostingRegressor(max_iter=3)):
    model.fit(x, y)
KMeans(2, n_init=1).fit(x)
cross_val_score(RandomForestRegressor(3), x, y)
optimize.differential_evolution(lambda v: float((v**2).sum()), [(-1, 1)] * 2, maxiter=3)
stats.qmc.Sobol(2, seed=0).random(4), stats.ttest_ind(x[:, 0], x[:, 1]), spatial.cKDTree(x).query(x)
result = "fitted"
"""
    limits = CellLimits(call_cpu_seconds=30.0, purse_seconds=60.0)
    with Cell(HOSTILE, level, limits, ("scipy", "sklearn")) as cell:
        assert cell.call(source) == "fitted"


def test_a_module_that_is_not_installed_is_named():
    with pytest.raises(HarnessError, match="'no_such_module'"):
        Cell(ECHO, "limits", CellLimits(), ("no_such_module",)).call(1)


def test_closing_twice_is_closing_once_and_leaves_no_process():
    cell = Cell(HOSTILE, "limits", CellLimits())
    cell.close()
    pid = pid_of(cell)
    cell.close()
    cell.close()
    assert not alive(pid)


def test_a_forgotten_cell_leaves_no_process():
    cell = Cell(HOSTILE, "limits", CellLimits())
    pid = pid_of(cell)
    del cell
    gc.collect()
    assert not alive(pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere only its pipe tells a guest of it")
@pytest.mark.parametrize("level", levels.LEVELS)
@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "sys.exit(0)"])
def test_a_guest_dies_with_its_host_however_that_ends(level, end):
    if level not in levels.available():
        pytest.skip(f"no {level} here")
    code = f"""
import os, sys, threading
sys.path.insert(0, {str(HERE)!r})
from bilevel.sandbox.cell import Cell, CellLimits
cell = Cell("cell_entries:question", {level!r}, CellLimits())
def busy(item):
    print(cell._started.pid, flush=True)
    {end}
cell.call([1], busy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    pid = int(done.stdout.split()[0])
    for _ in range(2000):
        if not alive(pid):
            return
    raise AssertionError("it lives on")


def test_callers_in_several_threads_wait_for_each_other(echo):
    answers = []

    def ask(number):
        answers.append(echo.call(number) == number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 20


def test_a_cell_that_a_thread_started_outlives_the_thread():
    with Cell(HOSTILE, levels.best(), CellLimits()) as cell:
        thread = threading.Thread(target=cell.call, args=("result = 1",))
        thread.start()
        thread.join()
        assert cell.call("result = 2") == 2
        assert cell.generation == 1


def test_a_cell_leaves_no_descriptors_behind():
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    with Cell(HOSTILE, "limits", CellLimits()) as cell:
        cell.call("result = 1")
    gc.collect()
    before = len(os.listdir(folder))
    for _ in range(3):
        with Cell(HOSTILE, "limits", CellLimits()) as cell, contextlib.suppress(CellFault):
            cell.call("import os; os._exit(1)")
    assert len(os.listdir(folder)) == before


def test_memory_counts_beyond_what_was_loaded():
    with Cell(HOSTILE, "limits", CellLimits(memory_bytes=50_000_000), ("numpy",)) as cell:
        assert cell.call("result = len(bytearray(30_000_000))") == 30_000_000
        assert cell.call("bytearray(60_000_000)")["error"] == "MemoryError"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:01", 1.0), ("1-02:03:04", 93784.0), ("  0:00.25\n", 0.25), ("12:34.5", 754.5), ("", 0.0), ("?", 0.0)],
)
def test_what_ps_prints_is_read(text, seconds):
    assert parse(text) == seconds
