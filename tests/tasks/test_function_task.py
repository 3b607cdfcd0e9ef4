"""A function as a task: values, failures, and what its hash depends on."""

import math

import pytest

from bilevel.errors import InputError
from bilevel.lab import Bench, Lab
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.task import Rung, Task
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Run, Status


def made(function, **options):
    settings = {
        "name": "made",
        "function": function,
        "space": Space({"x": Float(0.0, 1.0)}),
        "start": Candidate({"x": 0.5}),
        "objective": Objective("loss"),
        "brief": "Minimise loss.",
    }
    return FunctionTask(**{**settings, **options})


def run(task, rung="full", **params) -> Run:
    return task.run(task.baseline().with_params(**params), Bench(Lab(), rung, 0, 7))


def test_it_is_a_task():
    assert isinstance(made(lambda params, seed: 0.0), Task)


def test_a_number_is_the_objective_and_a_mapping_holds_all_metrics():
    assert run(made(lambda params, seed: params["x"] + seed)).metrics == {"loss": 7.5}
    task = made(lambda params, seed: {"loss": 1, "steps": 3, "bad": math.nan, "text": "no"})
    assert run(task).metrics == {"loss": 1.0, "steps": 3.0}
    assert task.evaluate(run(task)) == 1.0


def test_a_run_costs_one_evaluation():
    cost = run(made(lambda params, seed: 0.0)).cost
    assert cost.evaluations == 1 and cost.seconds > 0


def raising(params, seed):
    raise ValueError("the reason")


def test_an_exception_is_an_exit_whose_log_ends_with_the_reason_and_names_no_folder():
    failed = run(made(raising))
    assert (failed.status, failed.metrics) == (Status.EXIT, None)
    assert failed.log.splitlines()[-1] == "ValueError: the reason"
    assert 'File "test_function_task.py"' in failed.log


def exits(params, seed):
    raise SystemExit(3)


def exhausts(params, seed):
    raise MemoryError


def test_exits_and_memory_errors_have_their_status():
    assert run(made(exits)).status is Status.EXIT
    assert run(made(exhausts)).status is Status.OUT_OF_MEMORY


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", True, {"other": 1.0}, {}])
def test_what_is_not_a_finite_number_is_an_invalid_metric(value):
    assert run(made(lambda params, seed: value)).status is Status.INVALID_METRIC


def test_a_failed_run_has_no_score():
    task = made(raising)
    with pytest.raises(InputError, match="exit"):
        task.evaluate(run(task))


def test_a_rung_passes_its_options_and_an_unknown_one_is_an_error():
    task = made(lambda params, seed, scale: scale, rungs=(Rung("half", {"scale": 0.5}), Rung("full", {"scale": 1.0})))
    assert run(task, "half").metrics == {"loss": 0.5}
    with pytest.raises(InputError, match="half, full"):
        run(task, "double")


def test_a_candidate_with_files_is_refused():
    task = made(lambda params, seed: 0.0)
    candidate = Candidate({"x": 0.5}, {"train.py": ""})
    assert "train.py" in task.problems(candidate, task.baseline())[0]
    assert task.run(candidate, Bench(Lab(), "full", 0, 7)).status is Status.REFUSED


def test_rules_of_the_task_are_its_problems():
    task = made(lambda params, seed: 0.0, rule=lambda candidate, parent: ["never"])
    assert task.problems(task.baseline(), task.baseline()) == ["never"]


def test_the_hash_changes_with_the_source_the_version_and_the_objective():
    hashes = {
        made(raising).harness,
        made(exits).harness,
        made(raising, version="2").harness,
        made(raising, objective=Objective("loss", minimize=False)).harness,
    }
    assert len(hashes) == 4 and made(raising).harness in hashes


def test_a_baseline_outside_the_space_is_an_input_error():
    with pytest.raises(InputError, match="outside"):
        made(raising, start=Candidate({"x": 2.0}))
