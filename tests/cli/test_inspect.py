"""`status`, `show`, `diff`, `best`, `check` and `doctor` say what a run folder or a machine holds."""

import json
import shutil

import in_process
import pytest


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run, to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    done = in_process.run("run", "d", "--task", "sphere", "--researcher", "stuck", "--folder", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run_folder(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "run")


@pytest.mark.slow
def test_a_run_prints_plain_lines_and_a_summary(bilevel):
    done = bilevel("run", "d", "--task", "sphere", "--researcher", "stuck")
    for words in (
        "level 1 (inner)",
        "level 2",
        "baseline",
        "best so far",
        "cost per level",
        "run folder",
        "not evidence",
    ):
        assert words in done.stdout
    assert "isolation: none for runs: the task is a function in this process" in done.stdout
    assert "\x1b[" not in done.stdout


def test_everything_can_be_inspected(bilevel, bilevel_json, run_folder, tmp_path):
    status = bilevel_json("status", "run")
    assert status["state"] == "finished" and status["environment"]["fingerprint"]
    trials = bilevel_json("show", "run")
    assert [trial["number"] for trial in trials] == list(range(len(trials)))
    assert bilevel_json("show", "run", "--trial", "1")["number"] == 1
    name = status["mechanisms"][0]["name"]
    assert bilevel_json("show", "run", "--mechanism", name)["trials"][0]["source"]
    assert name in bilevel("show", "run", "--mechanism", name).stdout
    best = bilevel_json("best", "run")
    assert best["score"] == status["best"]
    changes = bilevel_json("diff", "run")["changes"]
    assert changes == status["changes"]
    assert bilevel("best", "run", "--export", "best.json").returncode == 0
    assert json.loads((tmp_path / "best.json").read_text())["params"] == best["params"]
    for command in (
        ["status", "run"],
        ["show", "run"],
        ["show", "run", "--trial", "2"],
        ["diff", "run"],
        ["best", "run"],
    ):
        done = bilevel(*command)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    "args", [["--trial", "99"], ["--branch", "nowhere"], ["--mechanism", "nobody"], ["--call", "0"], ["--call", "1"]]
)
def test_what_is_not_there_is_said_with_what_is(bilevel, run_folder, args):
    done = bilevel("show", "run", *args)
    assert done.returncode == 2 and args[1] in done.stderr


def test_check_lists_and_checks(bilevel, bilevel_json):
    listed = bilevel_json("check")
    assert {"a", "c", "placebo"} <= set(listed["recipes"]) and "sphere" in listed["tasks"]
    for target in ("sphere", "gpt-table", "c", "static"):
        assert bilevel_json("check", target)["problems"] == []
    done = bilevel("check", "no-such-thing")
    assert done.returncode == 4 and "no-such-thing" in done.stdout


@pytest.mark.slow
def test_doctor_names_the_way_out(bilevel, bilevel_json):
    findings = {finding["subject"]: finding for finding in bilevel_json("doctor")}
    assert findings["python"]["ok"] and findings["run folder"]["ok"]
    assert all(finding["ok"] or finding["fix"] or name == "gpu" for name, finding in findings.items())


def test_the_quick_demo_prints_the_stuck_loop_beside_the_unstuck_one(bilevel):
    done = bilevel("demo", "--quick")
    assert done.returncode == 0, done.stderr
    for words in (
        "alone (a)",
        "with levels 1.5 and 2 (c)",
        "class ",
        "decisive",
        "gain against its control",
        "not evidence",
    ):
        assert words in done.stdout
