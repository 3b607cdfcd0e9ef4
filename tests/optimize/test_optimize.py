"""`bilevel.optimize`: a function in, the best parameters out; whatever the function does, the search goes on."""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import functions
import pytest

import bilevel
from bilevel.errors import InputError
from bilevel.lab import Bench, Lab
from bilevel.objective import Objective
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.tasks.pool import Target
from bilevel.tasks.worker import WorkerTask
from bilevel.testing import check_task
from bilevel.trial import Status

SPACE = {"rate": (1e-4, 1.0, "log"), "depth": range(1, 9), "shape": ["flat", "round"]}
SWITCH = {"x": range(2)}


def search(function, **options):
    return bilevel.optimize(function, SWITCH, start={"x": 0}, recipe="a", trials=1, **options)


@pytest.fixture
def made():
    """A task of one function, and one call of it."""
    tasks = []

    def make(function, **limits):
        task = WorkerTask(
            "made", Target.of(function), Space({"x": Int(0, 9)}), Candidate({"x": 0}), Objective("score"), "x", **limits
        )
        tasks.append(task)
        return lambda x, lab=None: task.run(Candidate({"x": x}), Bench(lab or Lab(), "full", 0, 7))

    yield make
    for task in tasks:
        task.pool.close()


# ---- what comes out ----


@pytest.mark.slow
def test_the_best_parameters_come_out():
    result = bilevel.optimize(functions.loss, SPACE, trials=30, seed=1)
    assert result.params["depth"] == 3 and result.params["shape"] == "round"
    assert result.score < result.baseline == functions.loss({"rate": 0.01, "depth": 4, "shape": "round"})
    assert result.summary.best == result.score and len(result.trials) > 15
    assert result.folder is None and "rate" in repr(result)


def test_the_same_seed_gives_the_same_trials_with_any_number_of_calls_in_one_worker():
    one, two = (bilevel.optimize(functions.forgetful, {"x": (0.0, 1.0)}, recipe="random", trials=8) for _ in range(2))
    assert [trial.score for trial in one.trials] == [trial.score for trial in two.trials]
    assert all(1 <= trial.score < 3 for trial in one.trials)


def test_several_workers_measure_at_once():
    result = bilevel.optimize(functions.loss, SPACE, recipe="a", trials=12, workers=3)
    assert len(result.trials) == 13 and result.score <= result.baseline


def test_a_mapping_of_metrics_a_seed_and_a_maximum():
    result = bilevel.optimize(
        functions.seeded, {"x": (-1.0, 1.0)}, recipe="a", trials=3, metric="loss", minimize=False, start={"x": 0.5}
    )
    assert result.score >= result.baseline
    assert set(result.trials[0].runs[0].metrics) == {"loss", "steps"}
    assert len({run.metrics["loss"] for run in result.trials[0].runs}) > 1


@pytest.mark.parametrize("function", [functions.bound, f"{functions.__file__}:loss", "functions:loss"])
def test_a_function_can_be_given_in_several_ways(function):
    assert bilevel.optimize(function, SPACE, recipe="a", trials=2).baseline == pytest.approx(1.0)


def test_an_object_with_values_of_its_own_is_a_function():
    result = bilevel.optimize(functions.Callable(0.25), {"x": (0.0, 1.0)}, recipe="a", trials=6)
    assert result.params["x"] == 0.25


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        ((0, 1.0), Float(0.0, 1.0)),
        ((1e-3, 1, "log"), Float(1e-3, 1.0, log=True)),
        ((1, 8), Int(1, 8)),
        ((16, 64, "power_of_two"), Int(16, 64, power_of_two=True)),
        (range(2, 9), Int(2, 8)),
        (range(2, 9, 3), Choice((2, 5, 8))),
        (["a", 1], Choice(("a", 1))),
        ([True, False], Bool()),
        (bool, Bool()),
        (Choice((1, 2)), Choice((1, 2))),
    ],
)
def test_short_forms_of_domains(given, domain):
    from bilevel.optimizing import domain_of

    assert domain_of("x", given) == domain


# ---- what goes wrong in a call ----


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (functions.raises, "exit", "ValueError: the reason"),
        (functions.hard_exit, "exit", "exit code 3"),
        (functions.soft_exit, "exit", "SystemExit: enough"),
        (functions.silent_end, "exit", "before the function returned"),
        (functions.segfault, "exit", "signal 11"),
        (functions.nan, "invalid-metric", "not a finite number"),
        (functions.nothing, "invalid-metric", "None"),
        (functions.flood, "output-limit", "output limit"),
    ],
)
def test_a_call_that_fails_is_a_typed_failure_and_the_search_ends_well(function, status, reason):
    result = search(function)
    assert (result.score, result.params) == (1.0, {"x": 0})
    assert result.trials[1].status.value == status and reason in result.trials[1].reason


@pytest.mark.parametrize(("function", "reason"), [(functions.hang, "wall limit"), (functions.burn, "limit")])
def test_a_call_without_end_is_a_time_out(function, reason):
    result = search(function, seconds=0.3)
    assert result.trials[1].status is Status.TIME_OUT and reason in result.trials[1].reason


def test_a_call_that_takes_all_memory_is_ended():
    result = search(functions.hungry, memory=300_000_000, seconds=30)
    assert result.trials[1].status is Status.OUT_OF_MEMORY


def test_what_a_call_prints_is_its_log_and_disturbs_nothing(made):
    ended = made(functions.noisy)(1)
    assert ended.status is Status.OK and ended.log.splitlines() == ["to stdout", "to stderr"]


def test_no_process_outlives_its_call(made):
    ended = made(functions.leaves_children)(1)
    child = int(ended.log.split()[1])
    assert ended.status is Status.OK and not alive(child)


def test_limits_are_those_of_one_call_and_not_of_all(made):
    measure = made(functions.burn, cpu_seconds=0.3)
    for _ in range(3):
        assert measure(1).status is Status.TIME_OUT
        ended = measure(0)
        assert ended.status is Status.OK and ended.cost.cpu_seconds < 0.3


def test_a_worker_that_is_lost_is_the_machines_failure_and_is_replaced(made):
    measure = made(functions.kills_its_worker)
    assert measure(1).status is Status.INFRASTRUCTURE
    assert measure(0).metrics == {"score": 1.0}


def test_a_call_gets_no_keys_and_the_working_folder_of_the_program(made, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    names, folder = made(functions.sees)(1).log.splitlines()
    assert "SOME_KEY" not in names and "PYTHONPATH" not in names and "PATH" in names
    assert folder == os.getcwd()


def test_a_call_can_be_cancelled(made):
    measure = made(functions.hang)
    lab = Lab()
    lab.cancel.set()
    ended = measure(1, lab=lab)
    assert ended.status is Status.INFRASTRUCTURE and ended.data["ending"] == "cancelled"
    assert measure(0).status is Status.OK


def test_the_workers_end_with_the_search():
    before = children()
    bilevel.optimize(functions.loss, SPACE, recipe="a", trials=4, workers=2)
    assert children() == before


def test_it_is_a_task():
    task = WorkerTask(
        "made", Target.of(functions.Callable(3)), Space({"x": Int(0, 9), "shape": Choice(("a", ("b", 1)))}),
        Candidate({"x": 1, "shape": ("b", 1)}), Objective("score"), "x",
    )  # fmt: skip
    assert check_task(task) == []
    again = WorkerTask.parse(task.text)
    assert again == task and again.harness == task.harness and again.baseline() == task.baseline()
    task.pool.close()


# ---- what cannot be used ----


def test_a_lambda_is_refused_with_the_way_out():
    with pytest.raises(InputError, match=r"lambda.*top level of a \.py file"):
        bilevel.optimize(lambda params: 1.0, SPACE)


def test_a_closure_is_refused_with_the_way_out():
    def closure(params):
        return 1.0

    with pytest.raises(InputError, match="a closure never can"):
        bilevel.optimize(closure, SPACE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": "no_such_module:f"}, "cannot be imported"),
        ({"function": "functions:no_such_name"}, "no_such_name"),
        ({"function": "no_such_file.py:f"}, "cannot be read"),
        ({"function": "nothing"}, "FILE.py:NAME"),
        ({"space": {}}, "space is empty"),
        ({"space": {"x": (1,)}}, "write \\(low, high\\)"),
        ({"space": {"x": ("a", "b")}}, "list of choices"),
        ({"space": {"x": (2.0, 1.0)}}, "2"),
        ({"start": {"y": 1}}, "no parameter 'y'"),
        ({"start": {"depth": 99}}, "99"),
        ({"seconds": 0}, "seconds"),
        ({"recipe": "nothing"}, "no recipe"),
        ({"model": "x"}, "PROVIDER:MODEL"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        bilevel.optimize(**{"function": functions.loss, "space": SPACE, "recipe": "a", "trials": 1, **arguments})


def test_a_start_that_fails_ends_the_search_with_its_reason():
    with pytest.raises(InputError, match="the reason"):
        bilevel.optimize(functions.raises, SWITCH, start={"x": 1}, recipe="a")


# ---- run folders ----


@pytest.mark.slow
def test_a_folder_keeps_the_run_and_the_same_call_goes_on(tmp_path):
    folder = tmp_path / "run"
    first = bilevel.optimize(functions.loss, SPACE, recipe="a", trials=5, folder=folder)
    again = bilevel.optimize(functions.loss, SPACE, recipe="a", trials=5, folder=folder)
    assert again.trials == first.trials and first.folder == folder
    with pytest.raises(InputError, match="holds another search"):
        bilevel.optimize(functions.loss, SPACE, recipe="a", trials=6, folder=folder)
    said = subprocess.run(
        [sys.executable, "-m", "bilevel", "status", str(folder), "--json"], capture_output=True, text=True, timeout=60
    )
    status = json.loads(said.stdout)
    assert status["best"] == first.score, said.stderr
    assert "own process" in status["environment"]["isolation"]


# ---- scripts ----


def script(tmp_path, text, *arguments):
    (tmp_path / "script.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, *(arguments or ["script.py"])], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )


FIVE_LINES = """
    import bilevel
    def loss(params):
        return HELPER + (params["x"] - 0.25) ** 2
    HELPER = 1
    print(bilevel.optimize(loss, {"x": (0.0, 1.0)}, recipe="a", trials=5).params)
"""


def test_a_plain_script_needs_no_guard(tmp_path):
    done = script(tmp_path, FIVE_LINES)
    assert done.stdout == "{'x': 0.25}\n", done.stderr


@pytest.mark.slow
def test_a_guarded_script_and_a_module_work_too(tmp_path):
    text = FIVE_LINES.replace("    print", '    if __name__ == "__main__":\n        print')
    assert script(tmp_path, text).stdout == "{'x': 0.25}\n"
    assert script(tmp_path, text, "-m", "script").stdout == "{'x': 0.25}\n"


def test_a_function_typed_into_python_is_refused_with_the_way_out(tmp_path):
    done = script(tmp_path, "", "-c", textwrap.dedent(FIVE_LINES))
    assert done.returncode == 1 and "interactive session" in done.stderr and "FILE.py:NAME" in done.stderr


@pytest.mark.slow
def test_the_example_of_the_docs_runs(tmp_path):
    page = (pathlib.Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
    (example,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    done = script(tmp_path, example)
    assert "'depth': 3" in done.stdout and "'shape': 'round'" in done.stdout, done.stderr


@pytest.mark.slow
def test_nothing_is_left_when_the_program_is_killed(tmp_path):
    text = """
        import os, pathlib, time, bilevel
        def endless(params):
            pathlib.Path("new").write_text(f"{os.getpid()} {os.getppid()}")
            os.rename("new", "processes")
            time.sleep(1000)
        bilevel.optimize(endless, {"x": (0.0, 1.0)})
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(text))
    program = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path)
    while not (tmp_path / "processes").exists():
        assert program.poll() is None
    program.kill()
    program.wait()
    for process in map(int, (tmp_path / "processes").read_text().split()):
        while alive(process):
            os.sched_yield()


def test_importing_bilevel_loads_nothing_else():
    code = "import sys, bilevel; print(*[name for name in sys.modules if name.startswith('bilevel.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "" and callable(bilevel.optimize)


def alive(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children():
    found = set()
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(stat.parent.name)
        except OSError:
            continue
    return found
