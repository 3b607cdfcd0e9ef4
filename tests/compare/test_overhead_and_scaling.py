"""The benchmarks of what a trial costs and of workers: their schedules, and that they run."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scaling():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import scaling

        yield scaling


def printed(program: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / program), "--quick", *options], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_slow_trial_holds_up_those_behind_it_only_in_order(scaling):
    times = [4.0, 1.0, 1.0, 1.0]
    assert scaling.free(times, 2) == 4.0
    assert scaling.in_order(times, 2) == 5.0  # trials 2 and 3 wait for trial 0
    assert scaling.in_order(times, 4) == 4.0


@given(times=st.lists(st.floats(0.01, 5), min_size=1, max_size=20), workers=st.integers(1, 6))
def test_schedules_lie_between_the_bounds(scaling, times, workers):
    free, ordered = scaling.free(times, workers), scaling.in_order(times, workers)
    assert max(max(times), sum(times) / workers) <= free + 1e-9
    assert free <= ordered + 1e-9 and ordered <= sum(times) + 1e-9
    assert workers > 1 or ordered == pytest.approx(sum(times))


@pytest.mark.slow
def test_the_benchmark_of_overhead_runs():
    text = printed("overhead.py", "--only", "trials", "--only", "memory")
    assert "goal: at most 2 ms with durable SQLite" in text and "goal: no growth beyond the trace" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["bilevel, in memory", "bilevel, SQLite", "bilevel llm, values", "bilevel llm, program", "openevolve"]
)
def test_a_method_is_measured_in_a_process_of_its_own(method):
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("needs Linux's /proc")
    text = printed("overhead.py", "--only", "peers", "--method", method)
    if "is not installed" in text:
        pytest.skip(text)
    row = next(line for line in text.splitlines() if line.startswith(f"  {method} "))
    assert row.count("[no interval]") == 3


@pytest.mark.slow
def test_the_benchmark_of_workers_runs():
    text = printed("scaling.py")
    assert "wall time in order / free, 4 workers" in text and "bilevel / in order, 2 workers" in text
