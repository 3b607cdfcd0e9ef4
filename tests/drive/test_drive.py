"""The loop driven from outside: bilevel proposes and the caller measures, or the other way round, or both."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bilevel.store.folder import RunFolder
from bilevel.tasks.sphere import sphere

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked")
NEW = ("suggest", "--task", "sphere", "--folder", "run")


def outline(trials):
    """What must be equal where a run is measured from outside and by itself."""
    return [(b, t.number, t.candidate.id, t.status, t.score, t.decision.keep) for b, t in trials]


# ---- bilevel proposes, the caller measures ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("a", ["--trials", "12"]),
        ("static", ["--trials", "8"]),
        ("default", ["--inner-budget", "3", "--outer-cycles", "3"]),
        ("c", ["--inner-budget", "3", "--outer-cycles", "2"]),
    ],
)
def test_a_driven_run_is_the_run_that_measures_by_itself(said, told, caller, trials, recipe, options):
    told("suggest", "--task", "sphere", "--recipe", recipe, *options, "--folder", "driven")
    assert caller("driven") > 5
    assert said("run", recipe, "--task", "sphere", *options, "--folder", "own").code == 0
    assert outline(trials("driven")) == outline(trials("own"))
    assert told("status", "driven")["state"] == "finished"
    assert said("replay", "driven").code == 0


def test_a_suggestion_says_all_that_a_measurement_needs_and_is_the_same_when_asked_again(told, caller):
    told(*NEW, "--recipe", "a", "--trials", "9", "--keep", "margin")
    caller("run", most=5)
    asked = told("suggest", "run")
    assert asked == told("suggest", "run")
    assert (asked["state"], asked["trial"], asked["objective"]["direction"]) == ("measure", 3, "minimize")
    (name, change), *_ = asked["changes"].items()
    assert asked["params"][name] == change["new"] != change["old"]
    assert [trial["number"] for trial in asked["history"]] == [0, 1, 2]
    assert asked["noise"]["seeds"] == 3 and asked["noise"]["keep_margin"] > 0
    assert "edition" in asked["fixed"] and asked["best"]["score"] < 1
    assert shlex.split(asked["answer"])[:5] == ["bilevel", "record", "run", "--trial", asked["id"]]
    status = told("status", "run")
    assert status["state"] == "waiting" and status["self_reported"]
    assert "whoever drives" in status["environment"]["isolation"]
    assert len(told("suggest", "run", "--history", "1")["history"]) == 1


def wrong_answers(asked):
    good = ("--trial", asked["id"], "--metric", "loss=1")
    return {
        "another number": ("--trial", "7", "--metric", "loss=1"),
        "another candidate": ("--trial", asked["id"][:-2] + "zz", "--metric", "loss=1"),
        "a number that is not enough": ("--trial", "0", "--metric", "loss=1"),
        "no objective": ("--trial", asked["id"], "--metric", "other=1"),
        "not a number": ("--trial", asked["id"], "--metric", "loss=high"),
        "no value": ("--trial", asked["id"], "--metric", "loss"),
        "nothing": ("--trial", asked["id"]),
        "both": (*good, "--failed", "no"),
        "an unknown status": ("--trial", asked["id"], "--failed", "no", "--status", "infrastructure"),
        "negative seconds": (*good, "--seconds", "-1"),
    }


def test_a_record_that_does_not_fit_is_refused_and_changes_nothing(said, told, trials):
    asked = told(*NEW, "--recipe", "a", "--trials", "2")
    for what, answer in wrong_answers(asked).items():
        done = said("record", "run", *answer)
        assert done.code == 2 and done.err.startswith("bilevel: ") and "Traceback" not in done.err, (what, done.err)
        assert told("suggest", "run") == asked and trials("run") == [], what


def test_the_same_record_twice_is_refused(said, told):
    asked = told(*NEW, "--recipe", "a", "--trials", "2")
    answer = ("record", "run", "--trial", asked["id"], "--metric", "loss=1")
    then = told(*answer)["next"]
    refused = said(*answer, "--json")
    assert refused.code == 2 and refused.data["state"] == "refused"
    assert then["id"] in refused.data["reasons"][0] and told("suggest", "run") == then


def test_a_record_after_the_budget_is_refused(said, told, caller):
    told(*NEW, "--recipe", "a", "--trials", "1")
    caller("run")
    assert told("suggest", "run")["state"] == "finished"
    done = said("record", "run", "--trial", "2", "--metric", "loss=1")
    assert done.code == 2 and "the run is finished" in done.err


def test_failures_and_numbers_that_are_none_are_typed(told, caller):
    told(*NEW, "--recipe", "a", "--trials", "3")
    caller("run", most=3)
    for answer, status in (
        (("--failed", "out of disk"), "exit"),
        (("--failed", "no memory", "--status", "out-of-memory"), "out-of-memory"),
        (("--metric", "loss=nan"), "invalid-metric"),
    ):
        asked = told("suggest", "run")
        (row,) = told("record", "run", "--trial", asked["trial"], *answer)["finished"]
        assert (row["status"], row["score"], row["keep"]) == (status, None, False)
    assert told("status", "run")["repetition"]["failed"] == 3


def test_a_baseline_that_fails_is_told_and_can_be_measured_again(said, told):
    asked = told(*NEW, "--recipe", "a")
    done = said("record", "run", "--trial", asked["id"], "--failed", "broken")
    assert done.code == 2 and "the baseline" in done.err and "broken" in done.err
    assert told("suggest", "run") == asked


def test_more_metrics_and_the_seconds_are_stored(told, caller, trials):
    told(*NEW, "--recipe", "a", "--trials", "1", "--keep", "greedy")
    caller("run", most=3)
    told("record", "run", "--trial", "1", "--metric", "loss=0.5", "--metric", "steps=7", "--seconds", "12.5")
    run = trials("run")[-1][1].runs[0]
    assert dict(run.metrics) == {"loss": 0.5, "steps": 7.0} and run.cost.seconds == 12.5


def test_a_driven_run_is_not_resumed_and_another_one_is_not_driven(said, told):
    told(*NEW, "--recipe", "a")
    done = said("resume", "run")
    assert done.code == 2 and "bilevel suggest" in done.err
    assert said("run", "a", "--task", "sphere", "--trials", "1", "--folder", "own").code == 0
    for command in (("suggest", "own"), ("record", "own", "--trial", "1", "--metric", "loss=1")):
        done = said(*command)
        assert done.code == 2 and "by itself" in done.err


def test_what_cannot_begin_is_told(said):
    for args, message in (
        (("--measured-by", "bilevel"), "nobody would be asked"),
        (("--measured-by", "me"), "caller or bilevel"),
        (("--recipe", "nothing"), "no recipe"),
        (("--task", "nothing"), "no task"),
    ):
        done = said("suggest", "--folder", "run", *args)
        assert done.code == 2 and message in done.err
    assert not Path("run").exists()


def test_a_run_keeps_what_it_was_begun_with(said, told):
    told(*NEW, "--recipe", "a")
    done = said("suggest", "run", "--trials", "5")
    assert done.code == 2 and "was begun with" in done.err


# ---- the caller proposes ----


def begin_proposing(told, *options, task="sphere"):
    return told(
        "suggest", "--task", task, "--recipe", "a", "--researcher", "external", "--folder", "run", *options
    )  # fmt: skip


def test_the_briefing_has_the_parent_the_history_and_what_is_fixed(told):
    asked = begin_proposing(told, "--trials", "4")
    assert asked["state"] == "propose" and asked["trial"] == 1 and asked["trials_left"] == 4
    assert asked["parameters"]["x1"] == "number from 0.0001 to 1, logarithmic"
    assert asked["parameters"]["batch"] == "power of two from 16 to 8192"
    assert asked["fixed"] == {"edition": "locked by the task"}
    assert asked["brief"] and asked["history"][0]["status"] == "ok" and asked["advice"] == []


def test_a_proposal_is_checked_measured_and_told(told):
    asked = begin_proposing(told, "--trials", "2")
    said = told(
        "propose", "run", "--trial", "1", "--set", "depth=3", "--set", "shape=round", "--set", "centre=true",
        "--why", "to see", "--author", "me",
    )  # fmt: skip
    (row,) = said["finished"]
    assert row["changes"]["depth"] == {"old": 8, "new": 3} and row["status"] == "ok" and row["author"] == "me"
    assert row["score"] < asked["best"]["score"] and row["keep"]
    assert said["next"]["trial"] == 2 and said["next"]["params"]["shape"] == "round"
    assert [trial["number"] for trial in said["next"]["history"]] == [0, 1]


@pytest.mark.slow
def test_a_proposal_that_is_not_allowed_is_refused_with_the_reason_and_changes_nothing(said, told):
    asked = begin_proposing(told, "--trials", "2")
    for change, reason in (
        ("depth=99", "outside"),
        ("depth=3.5", "not a whole number"),
        ("shape=oval", "not a one of"),
        ("centre=perhaps", "true or false"),
        ("batch=100", "power of two"),
        ("edition=2", "locked"),
        ("width=2", "there is no parameter 'width'"),
        ("depth=8", "changes nothing"),
    ):
        done = said("propose", "run", "--trial", "1", "--set", change, "--json")
        assert done.code == 2 and reason in done.data["reasons"][0], (change, done.out, done.err)
        assert told("suggest", "run") == asked
    assert said("propose", "run", "--trial", "2", "--set", "depth=3").code == 2
    assert said("propose", "run", "--trial", "1").code == 2
    assert said("propose", "run", "--trial", "1", "--files", "nowhere").code == 2
    assert said("record", "run", "--trial", "1", "--metric", "loss=1").code == 2
    assert told("suggest", "run") == asked
    told("propose", "run", "--trial", "1", "--set", "depth=12")
    again = said("propose", "run", "--trial", "2", "--set", "depth=12", "--json")
    assert again.code == 2 and "already measured as trial 1" in again.data["reasons"][0]


def test_the_caller_proposes_and_measures(said, told):
    asked = begin_proposing(told, "--trials", "1", "--measured-by", "caller", "--keep", "greedy")
    for loss in (0.5, 0.6, 0.4):
        asked = told("record", "run", "--trial", asked["id"], "--metric", f"loss={loss}")["next"]
    assert asked["state"] == "propose"
    asked = told("propose", "run", "--trial", asked["id"], "--set", "depth=3")["next"]
    assert asked["state"] == "measure" and asked["params"]["depth"] == 3
    assert said("propose", "run", "--trial", asked["id"], "--set", "depth=4").code == 2
    done = told("record", "run", "--trial", "1", "--metric", "loss=0.1")
    assert done["finished"][0]["keep"] and done["next"]["state"] == "finished"


def test_edited_files_are_a_proposal(said, told, tiny):
    asked = begin_proposing(told, "--trials", "2", task="tiny")
    assert told("suggest", "run", "--into", "work")["id"] == asked["id"]
    script = Path("work/train.py")
    script.write_text(script.read_text().replace("RATE = 1e-1", "RATE = 0.03").replace("after {", "after  {"))
    (row,) = told("propose", "run", "--trial", "1", "--files", "work")["finished"]
    assert row["changes"] == {"RATE": {"old": 0.1, "new": 0.03}} and row["status"] == "ok", row
    assert row["files_changed"] == ["train.py"]
    Path("work/train.py").write_text("this is not Python")
    done = said("propose", "run", "--trial", "2", "--files", "work")
    assert done.code == 2 and "train.py" in done.err
    shutil.rmtree("work")


def test_files_can_be_measured_by_the_caller(told, tiny):
    asked = told("suggest", "--task", "tiny", "--recipe", "a", "--trials", "1", "--folder", "run", "--into", "work")
    for loss in (0.5, 0.5, 0.5):
        metric = f"{asked['objective']['name']}={loss}"
        asked = told("record", "run", "--trial", asked["id"], "--metric", metric)["next"]
    told("suggest", "run", "--into", "next")
    assert Path("next/train.py").read_text() != Path("work/train.py").read_text()


TABU = 'name = "mine"\ntitle = "x"\n[inner]\nresearcher = "external"\nmechanisms = ["once.py"]\ntrials = 9\n'
ONCE = '''
from bilevel.mechanism import Mechanism


class Once(Mechanism):
    """Never the parameter of the last trial; says so beforehand."""

    domain = "tabu search"

    def advise(self, view, briefing):
        return briefing.with_block("once", "do not change what was just changed")

    def propose(self, view, parent, proposals):
        last = set(view.trace.last.changes) if view.trace.last else set()
        return [p.drop("changed just now") if last & set(p.candidate.changes_from(parent)) else p for p in proposals]
'''


@pytest.mark.slow
def test_mechanisms_advise_and_turn_back_a_caller_too(said, told):
    Path("once.py").write_text(ONCE)
    Path("mine.toml").write_text(TABU)
    asked = told("suggest", "--task", "sphere", "--recipe", "mine.toml", "--folder", "run")
    assert asked["advice"] == [{"from": "once", "text": "do not change what was just changed"}]
    asked = told("propose", "run", "--trial", asked["id"], "--set", "depth=7")["next"]
    done = said("propose", "run", "--trial", asked["id"], "--set", "depth=6", "--json")
    assert done.code == 2 and done.data["reasons"] == ["once: changed just now"]
    again = done.data["next"]
    assert again["id"] != asked["id"] and again["turned_back"] == done.data["reasons"]
    assert told("suggest", "run") == again
    assert told("propose", "run", "--trial", again["id"], "--set", "rows=128")["finished"][0]["status"] == "ok"


def test_both_arms_of_a_fork_share_what_the_caller_proposed(told, trials):
    asked = told(
        "suggest", "--task", "sphere:noise=0,crash=false", "--recipe", "d", "--researcher", "external",
        "--inner-budget", "2", "--outer-cycles", "2", "--folder", "run",
    )  # fmt: skip
    proposed = 0
    while asked["state"] == "propose":
        depth = 12 - proposed if asked["params"]["depth"] != 12 - proposed else 1
        asked = told("propose", "run", "--trial", asked["id"], "--set", f"depth={depth}")["next"]
        proposed += 1
    branches = {branch for branch, _ in trials("run")}
    assert asked["state"] == "finished" and len(branches) == 3 and 4 <= proposed <= 6


# ---- across processes ----


@pytest.mark.slow
def test_a_kill_in_the_middle_of_any_command_loses_nothing(told, caller, trials):
    Path("short.toml").write_text('name = "short"\ntitle = "x"\n[inner]\ntrials = 2\ncalibration = 1\n')
    options = ("--task", "sphere", "--recipe", "short.toml")
    told("suggest", *options, "--folder", "whole")
    caller("whole")
    asked = told("suggest", *options, "--folder", "run")
    while asked["state"] == "measure":
        value = sphere().function(asked["params"], asked["seed"])
        killed(["record", "run", "--trial", asked["id"], "--metric", f"loss={value!r}"])
        if told("suggest", "run") == asked:  # it was killed before the measurement was stored
            told("record", "run", "--trial", asked["id"], "--metric", f"loss={value!r}")
        asked = told("suggest", "run")
    assert outline(trials("run")) == outline(trials("whole"))


def killed(args):
    """Start a command and kill it at the moment at which it has taken the run's lock."""
    lock = Path(args[1]) / "lock"
    lock.write_text("nobody")
    process = subprocess.Popen([sys.executable, "-m", "bilevel", *args], stdout=subprocess.DEVNULL)
    while process.poll() is None and lock.read_text() == "nobody":
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()


STOPPED = """
import os, signal
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask

once = [signal.SIGINT]

def loss(params, seed):
    if once:
        os.kill(os.getpid(), once.pop())
    return params["x"]

TASK = FunctionTask("stops", loss, Space({"x": Float(0, 1)}), Candidate({"x": 0.5}), Objective("loss"), "Lower it.")
"""


def test_a_stop_while_the_baseline_is_measured_is_no_end_of_the_run(said, told):
    Path("stops_when_measured.py").write_text(STOPPED)
    options = ("--task", "python:stops_when_measured:TASK", "--recipe", "a", "--researcher", "external")
    done = said("suggest", *options, "--trials", 2, "--folder", "run", "--json")
    assert done.code == 3 and "stopped" in done.err and not done.out
    assert told("suggest", "run")["state"] == "propose"


def test_two_commands_at_once_do_not_disturb_each_other(said, told):
    told(*NEW, "--recipe", "a")
    held = RunFolder.open(Path("run"))
    try:
        done = said("record", "run", "--trial", "0", "--metric", "loss=1")
        assert done.code == 1 and "in use" in done.err
    finally:
        held.close()
