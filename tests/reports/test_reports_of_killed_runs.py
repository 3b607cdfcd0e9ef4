"""The report of what a `kill -9` left: it is written, says how far it came, and its numbers are of the records."""

import os
import re
import subprocess
import sys

import in_process
import pytest

from bilevel.reporting.writing import PAGE, TEXT

DEADLY = '''
import os
import random
import signal

from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Int, Space
from bilevel.tasks.function import FunctionTask

calls = 0


def loss(params, seed):
    """Ends its process at the call that the environment names; beyond a depth of 6 it fails."""
    global calls
    calls += 1
    if calls == int(os.environ.get("DIE_AT", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    if params["depth"] > 6:
        raise ValueError("too deep for | <b>this</b>")
    return abs(params["depth"] - 2) + params["rate"] + random.Random(seed).gauss(0, 0.1)


space = Space({"rate": Float(0.01, 1.0), "depth": Int(1, 9)})
task = FunctionTask("deadly", loss, space, Candidate({"rate": 0.5, "depth": 6}), Objective("loss"), "Lower it.")
'''
RUN = ("--researcher", "random", "--task", "python:deadly:task", "--seed", "2", "--folder", "it")
ONE = ("run", "a", "--trials", "8", *RUN)
TWO = ("run", "d", "--inner-budget", "4", "--outer-cycles", "2", *RUN)
SEVERAL = ("compare", "--arms", "a,random", "--replicates", "2", "--budget", "4", *RUN)


@pytest.fixture
def killed(tmp_path):
    """Run a command whose process is killed within its n-th measurement; gives its folder."""
    (tmp_path / "deadly.py").write_text(DEADLY)

    def run(command, call):
        env = {**os.environ, "PYTHONPATH": str(tmp_path), "DIE_AT": str(call)}
        done = subprocess.run([sys.executable, "-m", "bilevel", *command], cwd=tmp_path, env=env, capture_output=True)
        assert done.returncode == -9, done.stderr[-2000:]
        return tmp_path / "it"

    return run


def said(folder, document=TEXT):
    done = in_process.run("report", folder, "--no-plots", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    checked = in_process.run("verify", folder, cwd=folder.parent)
    assert checked.returncode == 0 and "numbers checked" in checked.stdout, checked.stdout
    return re.sub(r"\\(.)", r"\1", (folder / document).read_text("utf-8"))


@pytest.mark.parametrize(
    ("command", "call", "expected"),
    [
        (ONE, 1, ["after 0 trials of level 1", "No trial of deadly has a score yet", "root#0, level 1", "baseline"]),
        (ONE, 13, ["under way when it ended", "ValueError: too deep for | <b>this</b>"]),
        (TWO, 12, ["level 2 (mechanisms)", "/", "under way when it ended"]),
    ],
)
def test_a_run_that_was_killed_says_so_and_how_far_it_came_and_after_a_resume_no_more(killed, command, call, expected):
    run = killed(command, call)
    text = said(run)
    assert "not ended (interrupted)" in text and "Not the end: the run was interrupted" in text
    assert all(words in text for words in expected), text
    assert "<b>this" not in (run / PAGE).read_text()
    assert in_process.run("resume", run, cwd=run.parent).returncode == 0
    text = said(run)
    assert "Not the end" not in text and "under way" not in text and "finished" in text


def test_one_that_was_killed_among_its_claims_says_that_they_are_not_finished(killed):
    run = killed(ONE, 18)
    text = said(run)
    assert "Not the end" in text and re.search(r"claims on fresh seeds: \d+ measurements.*not finished", text)


def test_a_comparison_that_was_killed_names_what_is_missing(killed):
    folder = killed(SEVERAL, 30)
    text = said(folder)
    missing = text.partition("## Missing runs")[2].partition("##")[0]
    assert "it is not finished" in missing and "it has not begun" in missing
    done = in_process.run("compare", "--folder", folder, cwd=folder.parent)
    assert done.returncode == 0 and "Missing runs" not in said(folder)
