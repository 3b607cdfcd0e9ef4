"""`bilevel noise`, what later runs make of it, and the machine that scores belong to."""

import json
import math
from dataclasses import replace

import pytest

from bilevel import calibration, machine
from bilevel.calibration import seeds_needed
from bilevel.lab import Lab
from bilevel.noise import Noise
from bilevel.objective import Objective
from bilevel.overriding import override
from bilevel.quantiles import sd_interval
from bilevel.recipe import find, resolve
from bilevel.store.folder import RunFolder
from bilevel.trace import Trace
from bilevel.wiring import build


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("BILEVEL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def spec_of(task, seed=0):
    return build(override(find("random"), task=task, seed=seed))


def change(folder, fact, change):
    """Change a stored fact of a run, as if it had been another one."""
    opened = RunFolder.open(folder)
    try:
        opened.set_meta(fact, change(opened.meta(fact)))
    finally:
        opened.close()


def root_noise(folder):
    opened = RunFolder.read(folder)
    try:
        return opened.store.trials("root")[0].known
    finally:
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize(("task", "true"), [("sphere:noise=0.05", 0.05), ("gpt-table", 0.007)])
def test_the_interval_holds_the_true_sd_as_often_as_it_says(task, true):
    spec, held, nights = spec_of(task), 0, 200
    for seed in range(nights):
        found = calibration.measure(
            build(override(find("random"), task=task, seed=seed)) if seed else spec, Lab(), 6, 2
        )
        low, high = sd_interval(found.between.sd, 5)
        held += low <= true <= high
    assert abs(held / nights - 0.95) < 0.062  # four standard errors


def test_it_prints_what_it_measured_and_stores_it_beside_what_is_there(bilevel, bilevel_json, data):
    found = bilevel_json("noise", "sphere", "--seeds", 12, "--repeats", 3, "--effect", 0.02)
    low, high = found["between_seeds"]["interval"]
    assert low < 0.01 < high and found["same_seed"]["sd"] == 0 and found["repeatable"] and not found["deterministic"]
    assert found["between_seeds"]["n"] == 12 and found["failed"] == 0 and "0.02" in found["seeds_needed"]
    again = bilevel("noise", "sphere", "--seeds", 4, "--repeats", 1, "--seed", 1)
    assert "between seeds" in again.stdout and "not known (1 scores)" in again.stdout
    assert [path.name for path in sorted(data.rglob("*.json"))] == ["0001.json", "0002.json"]


def test_a_deterministic_task_is_recognised_and_one_seed_is_too_few(bilevel, bilevel_json, data):
    assert bilevel_json("noise", "sphere:noise=0")["deterministic"]
    bad = bilevel("noise", "sphere", "--seeds", 1)
    assert bad.returncode == 2 and "at least 2 seeds" in bad.stderr


def test_failures_are_counted_and_are_no_scores(data):
    whole, calls = spec_of("sphere"), iter(range(100))

    def flaky(params, seed):
        return math.nan if next(calls) == 2 else float(seed % 7)

    found = calibration.measure(replace(whole, task=replace(whole.task, function=flaky)), Lab(), 5, 2)
    assert found.failed == 1 and len(found.seeds) + len(found.repeats) == 6 and len(found.reasons) == 1


@pytest.mark.parametrize(("effect", "seeds"), [(1.0, 13), (2.0, 4), (0.5, 50)])
def test_how_many_seeds_an_effect_needs(effect, seeds):
    """Within one of the exact values for a one-sided t test (5 %, power 80 %) of two groups."""
    assert abs(seeds_needed(effect, 1.0) - seeds) <= 1


def test_a_run_begins_with_what_was_measured_and_decides_by_it(bilevel, tmp_path, data):
    options = (
        "run",
        "a",
        "--task",
        "sphere:noise=0.3",
        "--trials",
        12,
        "--seed",
        3,
        "--researcher",
        "random",
        "--keep",
        "margin",
    )
    before = bilevel(*options, "--folder", "before")
    assert "noise: sd" not in before.stdout.split("run folder")[0]
    assert bilevel("noise", "sphere:noise=0.3", "--seeds", 30).returncode == 0
    after = bilevel(*options, "--folder", "after")
    assert "is known from `bilevel noise`" in after.stdout
    left = bilevel(*options, "--folder", "left", "--noise", "own")
    assert "is known from" not in left.stdout
    assert root_noise(tmp_path / "before") == root_noise(tmp_path / "left") == Noise(0.0, 0, 0)
    known = root_noise(tmp_path / "after")
    assert known.degrees == 29 and 0.2 < known.sd < 0.4
    reasons = {
        name: [trial.decision.reason for trial in trials_of(tmp_path / name)] for name in ("before", "left", "after")
    }
    assert reasons["before"] == reasons["left"] != reasons["after"]
    old = bilevel(*options, "--folder", "old", "--noise", "baseline")
    assert old.returncode == 0 and root_noise(tmp_path / "old") is None
    # It is a fact of the folder: a replay needs no estimate, and the same again is made without one.
    for path in data.rglob("*.json"):
        path.unlink()
    assert bilevel("replay", "after").returncode == 0


def trials_of(folder):
    opened = RunFolder.read(folder)
    try:
        return list(opened.store.trials("root"))
    finally:
        opened.close()


def test_a_killed_run_goes_on_with_the_noise_that_it_began_with(bilevel, tmp_path, data):
    options = ("run", "a", "--task", "sphere:noise=0.3", "--trials", 8, "--seed", 3)
    assert bilevel("noise", "sphere:noise=0.3").returncode == 0
    assert bilevel(*options, "--folder", "whole").returncode == 0
    stopped = bilevel(*options, "--folder", "part", "--max-seconds", 0.0001)
    assert stopped.returncode == 0 and len(trials_of(tmp_path / "part")) < 9
    for path in data.rglob("*.json"):
        path.unlink()
    assert bilevel("resume", "part", "--max-seconds", 100).returncode == 0
    decided = [[trial.decision for trial in trials_of(tmp_path / name)] for name in ("whole", "part")]
    assert decided[0] == decided[1] and root_noise(tmp_path / "part") == root_noise(tmp_path / "whole")


@pytest.mark.parametrize("what", ["machine", "harness"])
def test_an_estimate_of_another_machine_or_harness_is_told_and_not_used(bilevel, tmp_path, data, what):
    assert bilevel("noise", "sphere").returncode == 0
    (path,) = data.rglob("*.json")
    found = json.loads(path.read_text())
    if what == "machine":
        found["machine"]["processor"] = "another one"
    else:
        found["harness"] = "0" * 64
    path.write_text(json.dumps(found))
    done = bilevel("run", "a", "--trials", 2, "--folder", "it")
    assert f"another {what}" in done.stdout and "it is not used" in done.stdout
    assert root_noise(tmp_path / "it") == Noise(0.0, 0, 0)


def test_an_estimate_that_cannot_be_read_is_an_error(bilevel, data):
    assert bilevel("noise", "sphere").returncode == 0
    (path,) = data.rglob("*.json")
    path.write_text("{")
    done = bilevel("run", "a", "--trials", 2, "--folder", "it")
    assert done.returncode == 1 and "cannot be read" in done.stderr and "--noise own" in done.stderr
    assert bilevel("run", "a", "--trials", 2, "--folder", "it", "--noise", "own").returncode == 0


def test_a_run_goes_on_on_another_machine_only_where_one_says_so(bilevel, tmp_path, data):
    assert bilevel("run", "a", "--trials", 3, "--folder", "it", "--max-seconds", 0.0001).returncode == 0
    change(tmp_path / "it", "environment", lambda facts: {**facts, "cores": 999, "isolation": "other"})
    assert bilevel("resume", "it").returncode == 0  # neither can change a score
    change(tmp_path / "it", "environment", lambda facts: {**facts, "processor": "another one"})
    done = bilevel("resume", "it")
    assert done.returncode == 1 and "'another one' then" in done.stderr and "--other-machine" in done.stderr
    assert bilevel("resume", "it", "--other-machine", "--max-seconds", 100).returncode == 0
    assert bilevel("resume", "it").returncode == 0  # it may from now on
    assert "went on on another machine after" in bilevel("show", "it").stdout


def test_older_records_are_compared_in_what_they_have():
    now = machine.facts()
    old = {name: value for name, value in now.items() if name not in ("packages", "accelerator", "fingerprint")}
    assert machine.differences(old, now) == [] and machine.differences({}, now) == []
    patch = {**now, "python": now["python"].rpartition(".")[0] + ".99"}
    assert machine.differences(patch, now) == [] and machine.fingerprint(patch) == now["fingerprint"]
    other = {**now, "packages": {**now["packages"], "numpy": "0.1"}}
    assert len(machine.differences(other, now)) == 1 and machine.fingerprint(other) != now["fingerprint"]


def test_a_recipe_of_an_older_version_keeps_its_noise():
    data = find("a").model_dump()
    del data["inner"]["noise"]
    assert resolve(data).inner.noise == "baseline" and build(resolve(data)).noise is None


@pytest.mark.slow
def test_the_real_task(bilevel_json, data):
    found = bilevel_json("noise", "gpt", "--rung", "1s", "--seeds", 3, "--repeats", 2)
    assert found["failed"] == 0 and found["between_seeds"]["n"] == 3 and found["same_seed"]["n"] == 2
    assert 0 < found["between_seeds"]["sd"] < 0.5


@pytest.mark.slow
def test_what_runs_learn_makes_the_stored_estimate_better_and_is_never_mixed(bilevel, bilevel_json, tmp_path, data):
    def run(name, seed, *more):
        return bilevel(
            "run", "a", "--task", "sphere:noise=0.3", "--trials", 10, "--seed", seed, "--folder", name, *more
        )

    assert bilevel("noise", "sphere:noise=0.3", "--show").returncode == 2, "nothing is there"
    run("early", 1)
    assert not list(data.rglob("*.json")), "a run alone stores nothing: the same command gives the same run"
    bilevel("noise", "sphere:noise=0.3", "--seeds", 6)
    first = run("first", 2)
    assert "make the stored estimate better" in first.stdout
    (learnt,) = data.rglob("runs/*.json")
    said = json.loads(learnt.read_text())
    trace = trials_of(tmp_path / "first")
    own = Trace(Objective("loss"))
    for trial in trace:
        own = own + replace(trial, known=Noise(0.0, 0, 0))
    assert said["degrees"] == own.noise.degrees > 2 and said["run"] == "first"
    assert math.sqrt(said["squares"] / said["degrees"]) == pytest.approx(own.noise.sd)
    # The next run knows both, each with its degrees of freedom; one with the same seed would see the same scores again.
    second = run("second", 3)
    assert "and from the repeats of 1 run;" in second.stdout
    known = root_noise(tmp_path / "second")
    assert known.degrees == 5 + said["degrees"]
    run("same", 2)
    assert root_noise(tmp_path / "same").degrees == known.degrees - said["degrees"] + second_of(data)["degrees"]
    shown = bilevel_json("noise", "sphere:noise=0.3", "--show")
    assert [one["run"] for one in shown["runs"]][:2] == ["first", "second"]
    assert shown["together"]["degrees"] == 5 + sum(one["degrees"] for one in shown["runs"])
    assert "together  sd" in bilevel("noise", "sphere:noise=0.3", "--show").stdout
    # What was learnt on another machine, or of another harness, is there and not mixed in.
    for change in ({"machine": {**said["machine"], "processor": "another"}}, {"harness": "another"}):
        learnt.write_text(json.dumps({**said, **change}))
        assert "first" not in [one["run"] for one in bilevel_json("noise", "sphere:noise=0.3", "--show")["runs"]]
    left = len(list(data.rglob("runs/*.json")))
    run("own", 4, "--noise", "own")
    assert len(list(data.rglob("runs/*.json"))) == left, "it asked for no estimate, and adds to none"


def second_of(data):
    return next(
        found for path in data.rglob("runs/*.json") if (found := json.loads(path.read_text()))["run"] == "second"
    )
