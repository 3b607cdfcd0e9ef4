"""`confirm --mechanism` through the command: what is confirmed, what is not, gone on with, resumed, shown, exported."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import in_process
import pytest

from bilevel import confirming, mechanisms
from bilevel.cli.inspecting import opened
from bilevel.codec import derive_seed
from bilevel.levels import leaf
from bilevel.replay import replay
from bilevel.store.sqlite import SqliteStore

STUCK = 'name = "st"\ntitle = "t"\ntask = "gpt-table"\n[inner]\nresearcher = "stuck"\ntrials = 8\n'
SLOW = """
import random, time
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask


def loss(params, seed):
    time.sleep(0.01)
    return params["x"] ** 2 + random.Random(f"{params['x']} {seed}").gauss(0, 0.3)


task = FunctionTask("slow", loss, Space({"x": Float(-5.0, 5.0)}), Candidate({"x": 4.0}), Objective("loss"), "b")
"""


@pytest.fixture
def cli(tmp_path):
    def run(*args):
        done = in_process.run(*args, cwd=tmp_path, env={"XDG_DATA_HOME": str(tmp_path / "data"), "COLUMNS": "160"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return {"": tmp_path_factory.mktemp("runs")}


@pytest.fixture
def stuck(runs, tmp_path):
    """A finished run of the stuck researcher, with these mechanisms in force: each is made once, and copied."""

    def made(*mechanisms, folder="r"):
        if mechanisms not in runs:
            recipe, name = runs[""] / "st.toml", f"run{len(runs)}"
            recipe.write_text(f"{STUCK}mechanisms = {json.dumps(mechanisms)}\n")
            assert in_process.run("run", "st.toml", "--folder", name, cwd=runs[""]).returncode == 0
            runs[mechanisms] = runs[""] / name
        return shutil.copytree(runs[mechanisms], tmp_path / folder)

    return made


@pytest.fixture
def here(tmp_path, monkeypatch):
    """What a run's task needs to be found again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def known(path):
    with opened(path) as run:
        return confirming.confirmed(path, run.spec)


def arms(path):
    """What is stored of all arms of a run folder, but for what they cost."""
    with opened(path) as run:
        store = confirming.opened(path)
        found = [
            {role: (arm.branch, arm.candidate, arm.scores, arm.path, arm.ledger) for role, arm in each.items()}
            for entry in confirming.planned(store).entries
            for each in confirming.arms_in(store, leaf(run.spec), entry)
        ]
        store.close()
    return found


@pytest.mark.slow
def test_what_helps_the_stuck_researcher_is_confirmed_and_a_placebo_never(stuck, cli):
    path = stuck("orthogonal", "placebo")
    said = cli("confirm", "r", "--mechanism", "all", "--pairs", 12)
    assert "at most 12 pairs x 7 arms x 8 trials = 672 trials" in said
    good, idle = known(path).helps
    assert good.status == "confirmed" and good.e_value >= 40 and good.placebo == 0.0
    assert good.against["without it"].low > 0 and good.against["restart"].effect > 0
    assert idle.status == "inert" and idle.pairs == 3 and idle.e_value == 1.0
    for shown in (said, cli("status", "r"), cli("mechanisms", "show", "orthogonal", "--run", "r")):
        assert "confirmed" in shown and "researcher stuck on gpt-table" in shown and "loops of 8 trials" in shown
    assert json.loads(cli("status", "r", "--json"))["confirmed"]["helps"][0]["status"] == "confirmed"
    # and the library is told
    assert "confirmed after" in cli("mechanisms", "export", "r", "orthogonal", "--to", "m/orthogonal.py")
    (evidence,) = json.loads(cli("mechanisms", "show", "m/orthogonal.py", "--json"))["evidence"]
    assert evidence["confirmed"] and evidence["trials"] == 8 and evidence["verdict"] == "helped"
    assert evidence["low"] > 0 and len(evidence["gains"]) == evidence["forks"] >= 5
    cli("mechanisms", "export", "r", "orthogonal", "--to", "m/orthogonal.py")
    assert len(json.loads(cli("mechanisms", "show", "m/orthogonal.py", "--json"))["evidence"]) == 1


def test_its_seeds_are_no_search_s_and_the_run_itself_stays_as_it_was(stuck, cli):
    path = stuck("orthogonal")
    with opened(path) as run:
        before = [trial.candidate.id for trial in run.folder.store.trials("root")]
    cli("confirm", "r", "--mechanism", "orthogonal", "--pairs", 1)
    with opened(path) as run:
        assert [branch.id for branch in run.folder.store.branches()] == ["root"]
        assert [trial.candidate.id for trial in run.folder.store.trials("root")] == before
        seeds = [confirming.pair_seed(leaf(run.spec), index) for index in range(1000)]
        assert [branch for branch, stored, given in confirming.checked(path, run.spec) if stored != given] == []
    assert run.spec.seed not in seeds and len(set(seeds)) == 1000
    searched = {derive_seed(run.spec.seed, "evaluation", index) for index in range(1000)}
    measured = {
        derive_seed(seed, what, index) for seed in seeds for what in ("evaluation", "claim") for index in range(9)
    }
    assert not measured & searched
    assert replay(path).trials == len(before)


def test_what_is_stored_is_stated_and_verified(stuck, cli, tmp_path):
    path = stuck("orthogonal")
    cli("confirm", "r", "--mechanism", "orthogonal", "--pairs", 1)
    stated = json.loads((path / "claims.json").read_text())["claims"]
    (loops,) = [claim for claim in stated if claim["kind"] == "whole loops"]
    assert loops["tries"]["pairs"] == 1 and loops["ledger"]["propose"]["decisive"] and loops["cost"]["measurements"]
    cli("verify", "r")
    store = SqliteStore(path / "confirm")
    arm = json.loads(store.get_meta("arm 8/0/plain but orthogonal"))
    store.put_meta("arm 8/0/plain but orthogonal", json.dumps({**arm, "value": arm["value"] + 1}))
    store.close()
    done = in_process.run("verify", "r", cwd=tmp_path)
    assert done.returncode and "confirm 8/0/plain but orthogonal.value" in done.stdout + done.stderr


@pytest.mark.slow
def test_more_pairs_add_to_the_same_evidence(stuck, cli):
    once, twice = stuck("orthogonal", folder="once"), stuck("orthogonal", folder="twice")
    cli("confirm", "once", "--mechanism", "orthogonal", "--pairs", 4)
    for _ in range(2):
        cli("confirm", "twice", "--mechanism", "orthogonal", "--pairs", 2)
    assert arms(once) == arms(twice) and known(once).helps == known(twice).helps and known(once).helps[0].pairs == 4


def test_another_budget_is_other_evidence(stuck, cli):
    path = stuck("orthogonal")
    cli("confirm", "r", "--mechanism", "orthogonal", "--pairs", 1)
    cli("confirm", "r", "--mechanism", "orthogonal", "--pairs", 1, "--trials", 5)
    assert [(one.series.trials, one.pairs) for one in known(path).helps] == [(8, 1), (5, 1)]


def test_the_plan_does_nothing(stuck, cli):
    path = stuck("orthogonal")
    said = cli("confirm", "r", "--mechanism", "orthogonal", "--plan")
    assert "at most 20 pairs x 4 arms x 8 trials = 640 trials" in said and known(path) is None


@pytest.mark.slow
def test_a_mechanism_of_level_two_is_tested_with_the_source_that_the_run_recorded(cli, tmp_path):
    (tmp_path / "mine.py").write_text(
        mechanisms.source("orthogonal") + "\n# another text, so that it runs in the sandbox\n"
    )
    (tmp_path / "d.toml").write_text(
        'name = "d"\ntitle = "t"\ntask = "gpt-table"\n[inner]\nresearcher = "stuck"\n[[outer]]\nlevel = "mechanisms"\n'
        'researcher = "library:only:mine.py"\ntrials = 4\ncycles = 2\nstart = "fork"\n'
    )
    cli("run", "d.toml", "--folder", "d")
    (tmp_path / "mine.py").unlink()
    cli("confirm", "d", "--mechanism", "mine", "--pairs", 2)
    (said,) = known(tmp_path / "d").helps
    assert said.pairs == 2 and said.live == 2 and said.series.trials == 8


def test_what_cannot_be_tested_is_said(stuck, cli, tmp_path):
    stuck("orthogonal")
    refuse = partial(in_process.run, cwd=tmp_path)
    for args, reason in (
        (("--mechanism", "tabu"), "has no mechanism 'tabu'; it has: orthogonal"),
        (("--mechanism", "orthogonal", "--pairs", 0), "at least one pair"),
        (("--mechanism", "orthogonal", "--trials", 0), "at least one trial"),
    ):
        done = refuse("confirm", "r", *args)
        assert done.returncode == 2 and reason in done.stderr


@pytest.mark.parametrize("writes", [0, 2, 40, 75])
def test_what_breaks_off_at_any_write_goes_on_to_the_same_end(stuck, cli, tmp_path, monkeypatch, writes):
    for folder in ("whole", "broken"):
        stuck("orthogonal", folder=folder)
    command = ("--mechanism", "orthogonal", "--pairs", 1)
    cli("confirm", "whole", *command)
    left = [writes]

    def break_off(write, store, *args):
        if store.folder.name == "confirm":
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
        return write(store, *args)

    with monkeypatch.context() as patch:
        for name in ("put_meta", "add_trial", "add_pending", "add_run", "open_branch"):
            write = getattr(SqliteStore, name)
            patch.setattr(SqliteStore, name, lambda store, *args, write=write: break_off(write, store, *args))
        assert in_process.run("confirm", "broken", *command, cwd=tmp_path).returncode != 0 and left == [0]
    cli("confirm", "broken", *command)
    assert arms(tmp_path / "broken") == arms(tmp_path / "whole")
    assert known(tmp_path / "broken").helps == known(tmp_path / "whole").helps and known(tmp_path / "broken").complete


@pytest.mark.slow
def test_killed_it_goes_on_where_it_was(cli, here, tmp_path):
    (tmp_path / "slow_claims.py").write_text(SLOW)
    (tmp_path / "s.toml").write_text(
        'name = "s"\ntitle = "t"\ntask = "python:slow_claims:task"\n[inner]\nresearcher = "random"\ntrials = 5\n'
        'mechanisms = ["trust_region"]\n[claim]\non = false\n'
    )
    command = ("--mechanism", "trust_region", "--pairs", "2")
    for folder in ("whole", "killed"):
        cli("run", "s.toml", "--folder", folder)
    cli("confirm", "whole", *command)
    process = subprocess.Popen(
        [sys.executable, "-m", "bilevel", "confirm", "killed", *command], cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    while process.poll() is None:
        if begun(tmp_path / "killed"):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL
    assert len(arms(tmp_path / "killed")) < 2
    cli("confirm", "killed", *command)
    assert arms(tmp_path / "killed") == arms(tmp_path / "whole")


def begun(path):
    """Whether the second pair is under way."""
    store = confirming.opened(path)
    if store is None:
        return False
    try:
        return any(branch.id.startswith("5/1/") for branch in store.branches())
    finally:
        store.close()


def test_a_folder_of_an_older_version_can_be_tested_too(stuck, cli, tmp_path):
    path = stuck("orthogonal")
    store = SqliteStore(path)
    config = json.loads(store.get_meta("config"))
    del config["recipe"]["claim"], config["noise"], config["recipe"]["inner"]["noise"]
    store.put_meta("config", json.dumps(config))
    store.close()
    cli("confirm", "r", "--mechanism", "orthogonal", "--pairs", 2)
    assert known(path).helps[0].pairs == 2
