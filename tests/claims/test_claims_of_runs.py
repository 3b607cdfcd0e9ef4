"""The claim stage through the command: shown, charged apart, resumed after a kill, gone on with, and replayed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from bilevel.cli.inspecting import opened
from bilevel.codec import derive_seed
from bilevel.fresh import CLAIM
from bilevel.statements import statements_of, written
from bilevel.store.folder import RunFolder

NOISY = "sphere:noise=0.02"
SLOW = """
import random, time
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask


def loss(params, seed):
    time.sleep(0.02)
    return params["x"] ** 2 + random.Random(f"{params['x']} {seed}").gauss(0, 0.3)


task = FunctionTask("slow", loss, Space({"x": Float(-5.0, 5.0)}), Candidate({"x": 4.0}), Objective("loss"), "b")
"""

FLAT = """
import random
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask


def loss(params, seed):
    return 1.0 if params["x"] == 4.0 else random.Random(f"{params['x']} {seed}").gauss(1.0, 0.3)


task = FunctionTask("flat", loss, Space({"x": Float(-5.0, 5.0)}), Candidate({"x": 4.0}), Objective("loss"), "b")
"""


def rounds_of(path):
    folder = RunFolder.read(path)
    try:
        return folder.meta("claim")
    finally:
        folder.close()


@pytest.fixture
def recipe(tmp_path):
    def write(**claim):
        keys = "\n".join(f"{name} = {str(value).lower()}" for name, value in claim.items())
        path = tmp_path / "mine.toml"
        path.write_text(
            f'name = "mine"\ntitle = "t"\n[inner]\nresearcher = "coordinate"\ntrials = 20\n[claim]\n{keys}\n'
        )
        return path

    return write


def test_a_noisy_run_ends_with_the_answer_on_fresh_seeds_and_what_each_change_is_worth(bilevel, bilevel_json, tmp_path):
    done = bilevel("run", "a", "--task", NOISY, "--trials", 30, "--folder", "r")
    assert done.returncode == 0, done.stderr
    assert "answer " in done.stdout and "fresh seeds" in done.stdout and "claims cost" in done.stdout
    summary = bilevel_json("status", "r")
    claim = summary["claim"]
    assert claim["seeds"] >= 3 and claim["whole"]["pairs"] >= 3 and claim["regret"] > 0
    assert claim["cost"]["evaluations"] <= 0.5 * summary["charged"]
    own = {derive_seed(0, CLAIM, index) for index in range(50)}
    folder = RunFolder.read(tmp_path / "r")
    searched = {run.seed for trial in folder.store.trials("root") for run in trial.runs}
    folder.close()
    assert not own & {derive_seed(0, "evaluation", index) for index in searched}


@pytest.mark.slow
def test_the_keys_of_the_recipe_have_their_effect(bilevel, bilevel_json, recipe):
    def cost(**claim):
        done = bilevel("run", recipe(**claim), "--task", NOISY, "--folder", "-".join(map(str, claim.values())))
        assert done.returncode == 0, done.stderr
        found = bilevel_json("status", "-".join(map(str, claim.values())))["claim"]
        return found and (found["cost"]["evaluations"], found["whole"]["pairs"])

    assert cost(on=False) is None
    assert cost(share=0) == (6, 3)
    assert cost(share=0, least=5) == (10, 5)
    much = cost(most=9, share=4)[0]
    assert cost(most=3, share=4)[0] < much and cost(most=8, share=0.3)[0] < much


def test_a_deterministic_task_skips_it_by_itself(bilevel, bilevel_json):
    done = bilevel("run", "a", "--task", "sphere:noise=0", "--trials", 12, "--folder", "d")
    assert done.returncode == 0
    charged = re.search(r"; (\d+) measurements are charged", done.stdout)[1]
    assert f"; {charged} measurements are charged" in bilevel("resume", "d").stdout
    claim = bilevel_json("status", "d")["claim"]
    assert "deterministic" in claim["skipped"] and claim["cost"]["evaluations"] == 2  # to see whether it is
    assert {change["status"] for change in claim["changes"]} == {"confirmed"}
    assert bilevel("confirm", "d", "--pairs", 2).returncode == 0  # there is nothing to go on with
    assert bilevel("verify", "d").returncode == 0


def test_a_baseline_that_is_the_same_on_all_seeds_makes_no_task_deterministic(bilevel, tmp_path):
    (tmp_path / "flat.py").write_text(FLAT)
    where = {"PYTHONPATH": str(tmp_path)}
    done = bilevel("run", "a", "--task", "python:flat:task", "--trials", 20, "--folder", "f", **where)
    assert done.returncode == 0, done.stderr
    summary = json.loads(bilevel("status", "f", "--json", **where).stdout)
    claim = summary["claim"]
    assert summary["gain"] > 0 and not claim["skipped"] and claim["whole"]["pairs"] >= 3
    assert claim["whole"]["status"] != "confirmed"  # no candidate is any better
    assert bilevel("verify", "f", **where).returncode == 0


def test_confirm_goes_on_and_does_not_begin_anew(bilevel, bilevel_json, tmp_path):
    assert bilevel("run", "a", "--task", "gpt-table", "--trials", 20, "--folder", "g").returncode == 0
    before = bilevel_json("status", "g")["claim"]
    first = rounds_of(tmp_path / "g")["rounds"]
    refused = bilevel("confirm", "g", "--pairs", 0)
    assert refused.returncode == 2 and "at least one pair" in refused.stderr
    assert bilevel("confirm", "g", "--pairs", 6).returncode == 0
    after = bilevel_json("status", "g")["claim"]
    later = rounds_of(tmp_path / "g")["rounds"]
    assert later[: len(first)] == first and len(first) < len(later) <= len(first) + 6 + 3
    assert after["cost"]["evaluations"] > before["cost"]["evaluations"]


def test_a_run_of_before_has_no_claim_stage_unless_it_is_asked_for():
    from bilevel.recipe import find, resolve

    data = find("a").model_dump(mode="json")
    del data["claim"]
    assert not resolve(data).claim.on and find("a").claim.on


@pytest.mark.slow
def test_a_run_that_a_limit_ended_says_how_its_answer_is_tested(bilevel, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW.replace("sleep(0.02)", "sleep(0.2)"))
    where = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "whole.toml").write_text('name = "whole"\ntitle = "t"\n[claim]\nreserve = 0.0\n')
    options = ("--task", "python:slow:task", "--max-seconds", 2, "--folder", "l")
    assert bilevel("run", "whole.toml", *options, **where).returncode == 0
    spent = bilevel("confirm", "l", "--pairs", 1, **where)
    assert "the limit of 2 seconds" in spent.stdout and "bilevel confirm" in spent.stdout
    assert "no mean on fresh seeds" in spent.stdout
    done = bilevel("confirm", "l", "--pairs", 1, "--max-seconds", 60, **where)
    assert "fresh seeds" in done.stdout and "Ended early" not in done.stdout
    assert bilevel("verify", "l", **where).returncode == 0


@pytest.mark.slow
def test_the_search_leaves_a_part_of_the_time_to_the_claim_stage(bilevel, bilevel_json, tmp_path):
    (tmp_path / "night.toml").write_text(
        'name = "night"\ntitle = "t"\n[inner]\nresearcher = "random"\ntrials = 100000\n[claim]\nreserve = 0.6\n'
    )
    done = bilevel("run", "night.toml", "--task", "sphere:noise=0.2", "--max-seconds", 4, "--folder", "n")
    assert done.returncode == 0 and "but for the 2.4 seconds kept back" in done.stdout
    summary = bilevel_json("status", "n")
    assert summary["state"] == "limit" and summary["claim"]["cost"]["evaluations"] >= 6
    assert rounds_of(tmp_path / "n")["complete"] and bilevel("verify", "n").returncode == 0


def test_parents_that_workers_race_against_at_the_same_time_are_verified(bilevel, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW.replace("gauss(0, 0.3)", "gauss(0, 4)"))
    (tmp_path / "deep.toml").write_text(
        'name = "deep"\ntitle = "t"\n[inner]\nresearcher = "coordinate"\ndepth = 5\n[claim]\non = false\n'
    )
    where = {"PYTHONPATH": str(tmp_path)}
    options = ("--task", "python:slow:task", "--trials", 16, "--workers", 4, "--folder", "w")
    done = bilevel("run", tmp_path / "deep.toml", *options, **where)
    assert done.returncode == 0, done.stderr
    checked = bilevel("verify", "w", **where)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_a_stage_that_is_killed_goes_on_where_it_was(bilevel, tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    command = ("run", "a", "--task", "python:slow:task", "--trials", "8", "--folder")
    whole = bilevel(*command, "whole", PYTHONPATH=str(tmp_path))
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "bilevel", *command, "killed"], cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    path = tmp_path / "killed"
    while process.poll() is None:
        if (path / "run.sqlite3").exists() and len((rounds_or_none(path) or {}).get("rounds", ())) >= 2:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    process.wait()
    assert bilevel("resume", "killed", PYTHONPATH=str(tmp_path)).returncode == 0
    assert json.dumps(rounds_of(path)) == json.dumps(rounds_of(tmp_path / "whole"))


def rounds_or_none(path):
    try:
        return rounds_of(path)
    except Exception:
        return None


@pytest.mark.parametrize(("noise", "seed", "status"), [(1, 0, "refuted"), (0.3, 4, "provisional")])
def test_the_gain_is_the_difference_of_the_two_means_beside_it_also_after_something_was_rolled_back(
    bilevel, bilevel_json, tmp_path, noise, seed, status
):
    sphere = ("--task", f"sphere:noise={noise}", "--researcher", "random", "--trials", 40, "--seed", seed)
    assert bilevel("run", "a", *sphere, "--folder", "it").returncode == 0
    claim = bilevel_json("status", "it")["claim"]
    assert claim["whole"]["status"] == status and claim["answer"] != claim["incumbent"]
    assert claim["baseline"] - claim["paired"] == pytest.approx(claim["whole"]["effect"], abs=1e-12)
    path = tmp_path / "it" / "claims.json"
    stated = json.loads(path.read_text())
    answer = stated["claims"][0]
    assert answer["control_value"] - answer["value"] == pytest.approx(answer["effect"], abs=1e-12)
    shown = bilevel("status", "it").stdout
    assert f"against the baseline's {claim['baseline']:.6g}" in shown and f"gain {answer['effect']:+.4g}" in shown
    if status == "refuted":  # the answer is the baseline, on more seeds than what was found
        assert f"what was found {claim['paired']:.6g} against" in shown and claim["mean"] != claim["baseline"]
    with opened(tmp_path / "it") as run:
        older = written(statements_of(run.folder, run.spec, run.state, 2))
    path.write_text(json.dumps(older))
    assert bilevel("verify", "it").returncode == 0, "what an older version stated is judged as it was meant"
    assert older["claims"][0]["value"] == claim["mean"]
    older["claims"][0]["value"] = claim["mean"] + 1
    path.write_text(json.dumps(older))
    assert bilevel("verify", "it").returncode == 1
