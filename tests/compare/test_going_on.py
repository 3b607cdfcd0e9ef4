"""A comparison that was stopped, killed or tampered with: goes on to the same numbers, or says why it cannot."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ARMS = ("--arms", "a,restart,random", "--task", "sphere", "--replicates", "3", "--budget", "40", "--folder", "it")


def gains(folder):
    result = json.loads((Path(folder) / "result.json").read_text())
    return {arm["name"]: (arm["gains"], arm["curve"]) for arm in result["arms"]}, result["plan"]


def begin(tmp_path, *args):
    command = [sys.executable, "-m", "bilevel", "compare", *args]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process, text):
    """Wait for a line with a text."""
    while text not in (line := process.stdout.readline()):
        assert line, process.stderr.read()


ALSO_WITH_WORKERS = pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])


@ALSO_WITH_WORKERS
def test_killed_at_random_instants_it_goes_on_to_the_numbers_that_would_have_been(bilevel, tmp_path, workers):
    assert bilevel("compare", *ARMS[:-1], "whole").code == 0
    rng, killed = random.Random(1), 0
    for within in (0.1, 0.1, 1.0, 1.0, None):  # seconds after the first run is told, then after the start
        process = begin(tmp_path, *ARMS, "--workers", workers)
        if within == 0.1:
            until(process, "/9")
        try:
            _, error = process.communicate(timeout=60 if within is None else rng.uniform(0, within))
            assert process.returncode in (0, 1), error
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
        wait_for_lock(tmp_path / "it")
    assert killed >= 2
    assert bilevel("compare", "--folder", "it").code == 0
    assert gains(tmp_path / "it") == gains(tmp_path / "whole")


def wait_for_lock(folder):
    """Until the workers of a killed comparison have noticed and ended."""
    if (folder / "lock").exists():
        subprocess.run(["flock", folder / "lock", "true"], check=True, timeout=30)


def test_a_finished_run_is_not_run_again(bilevel, tmp_path):
    assert bilevel("compare", *ARMS).code == 0
    stores = sorted((tmp_path / "it").glob("*/*/run.sqlite3"))
    before = [path.read_bytes() for path in stores]
    gone = tmp_path / "it" / "replicate-03" / "restart"
    shutil.rmtree(gone)
    done = bilevel("compare", "--folder", "it")
    assert done.code == 0 and done.out.count(", replicate ") == 1 and "restart, replicate 3" in done.out
    after = [path.read_bytes() for path in stores if path.parent != gone]
    assert after == [data for path, data in zip(stores, before, strict=True) if path.parent != gone]


@ALSO_WITH_WORKERS
def test_ctrl_c_stops_it_and_says_how_to_go_on(bilevel, tmp_path, workers):
    assert bilevel("compare", *ARMS[:-1], "whole").code == 0
    process = begin(tmp_path, *ARMS, "--workers", workers)
    until(process, "1/9")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 3, error
    assert "bilevel compare --folder it" in error and "Traceback" not in error
    assert bilevel("compare", "--folder", "it").code == 0
    assert gains(tmp_path / "it") == gains(tmp_path / "whole")


def test_runs_that_were_killed_while_their_store_was_made_are_made_again(bilevel, tmp_path):
    small = [*ARMS[:-3], "4", *ARMS[-2:]]
    assert bilevel("compare", *small[:-1], "whole").code == bilevel("compare", *small).code == 0
    for place in ("replicate-01/a", "replicate-02/random", "replicate-02/a"):
        shutil.rmtree(tmp_path / "it" / place)
        (tmp_path / "it" / place).mkdir()
        (tmp_path / "it" / place / "run.sqlite3").touch()
    done = bilevel("compare", "--folder", "it")
    assert done.code == 0, done.err
    assert gains(tmp_path / "it") == gains(tmp_path / "whole")


def test_a_changed_plan_is_an_error(compare, bilevel, tmp_path):
    assert compare().code == 0
    path = tmp_path / "it" / "plan.json"
    data = json.loads(path.read_text())
    data["arms"]["a"]["inner"]["researcher"] = "random"
    path.write_text(json.dumps(data))
    done = bilevel("compare", "--folder", "it")
    assert done.code == 1 and "plan.json has changed" in done.err


def test_other_options_for_a_folder_are_an_error_that_says_what_differs(compare):
    assert compare().code == 0
    done = compare("--budget", 9)
    assert done.code == 2 and "budget" in done.err and "arm a" in done.err
    assert compare().code == 0  # the same again


def test_another_machine_may_not_go_on_but_may_print(compare, bilevel, tmp_path):
    assert compare().code == 0
    started = tmp_path / "it" / "started.json"
    facts = json.loads(started.read_text())
    facts["machine"]["processor"] = "another"
    started.write_text(json.dumps(facts))
    shutil.rmtree(tmp_path / "it" / "replicate-01" / "a")
    done = bilevel("compare", "--folder", "it")
    assert done.code == 1 and "another machine" in done.err and "processor" in done.err


def test_a_changed_harness_is_an_error(bilevel, tmp_path):
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "tasks" / "tiny", tmp_path / "task")
    options = ("--arms", "a,random", "--task", "task", "--replicates", 2, "--budget", 2, "--folder", "it")
    assert bilevel("compare", *options).code == 0
    shutil.rmtree(tmp_path / "it" / "replicate-02" / "random")
    described = tmp_path / "task" / "task.toml"
    described.write_text(described.read_text() + "\n# another\n")
    script = tmp_path / "task" / "start" / "train.py"
    script.write_text(script.read_text() + "\nprint('another')\n")
    done = bilevel("compare", "--folder", "it")
    assert done.code == 1 and "harness" in done.err


def test_a_run_of_another_comparison_is_not_mixed_in(compare, bilevel, tmp_path):
    assert compare().code == 0 and compare("--seed", 1, folder="other").code == 0
    mine = tmp_path / "it" / "replicate-01" / "a"
    shutil.rmtree(mine)
    shutil.copytree(tmp_path / "other" / "replicate-01" / "a", mine)
    done = bilevel("compare", "--folder", "it")
    assert done.code == 1 and "no part of this comparison" in done.err and "another plan" in done.err


def test_two_processes_do_not_work_on_one_comparison(bilevel, tmp_path):
    process = begin(tmp_path, *ARMS)
    until(process, "1/9")
    done = bilevel("compare", "--folder", "it")
    assert done.code == 1 and "in use" in done.err
    process.communicate(timeout=60)
    assert process.returncode == 0


FRAGILE = """
from pathlib import Path
from bilevel.errors import HarnessError
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask

def loss(params, seed):
    if params["x"] != 0.5 and Path({broken!r}).exists():
        raise HarnessError("the instrument is unplugged")
    return params["x"] + seed % 7 * 1e-3

SPACE = Space({{"x": Float(0.0, 1.0)}})
task = FunctionTask("fragile", loss, SPACE, Candidate({{"x": 0.5}}), Objective("loss"), "Make x small.")
"""


def test_failed_runs_are_reported_never_counted_as_0_and_tried_again(bilevel, tmp_path):
    broken = tmp_path / "broken"
    broken.touch()
    (tmp_path / "fragile.py").write_text(FRAGILE.format(broken=str(broken)))
    options = ("--arms", "a,random", "--task", "python:fragile:task", "--replicates", 2, "--budget", 3)
    done = bilevel("compare", *options, "--folder", "it", "--json")
    assert done.code == 1
    assert [one["reason"] for one in done.json["missing"]] == ["HarnessError: the instrument is unplugged"] * 4
    assert all(one["mean"]["value"] is None and one["gains"] == {} for one in done.json["arms"])
    os.remove(broken)
    mended = bilevel("compare", "--folder", "it", "--json")
    assert mended.code == 0 and mended.json["missing"] == []
    assert all(one["runs"] == 2 for one in mended.json["arms"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--arms", "a"), "at least two arms"),
        (("--arms", "a,nothing"), "no recipe 'nothing'"),
        (("--arms", "a,a"), "two arms are named 'a'"),
        (("--arms", "a,d", "--budget", "3"), "first cycle"),
        (("--arms", "a,random", "--reference", "d"), "not among the arms"),
        (("--arms", "a,random", "--equal", "tokens", "--budget", "1000"), "asks no model"),
        (("--arms", "a,random", "--replicates", "0"), "--replicates 0"),
        (("--arms", "a,random", "--budget", "0"), "--budget 0"),
        (("--arms", "a,random", "--budget", "2.5"), "--budget 2.5"),
        (("--arms", "a,random", "--workers", "0"), "--workers 0"),
        (("--arms", "a,other.toml"), "different baselines"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_made(bilevel, tmp_path, options, said):
    (tmp_path / "other.toml").write_text('name = "other"\ntitle = "t"\n[inner]\ncalibration = 5\n')
    done = bilevel("compare", "--task", "sphere", *options, "--folder", "it")
    assert done.code == 2 and said in done.err and not (tmp_path / "it").exists()


def test_a_folder_without_a_comparison_is_not_filled_by_mistake(bilevel, tmp_path):
    done = bilevel("compare", "--folder", "typo")
    assert done.code == 2 and "no comparison in 'typo'" in done.err and not (tmp_path / "typo").exists()


def test_a_folder_with_other_things_is_left_alone(compare, tmp_path):
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "thesis.txt").write_text("mine")
    done = compare()
    assert done.code == 2 and "not an empty folder" in done.err
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["thesis.txt"]
