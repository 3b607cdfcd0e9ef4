"""Keeps measured again on fresh seeds: how many survive, what is left out, and what it costs."""

import random

import pytest

from bilevel.compare.folder import Job
from bilevel.compare.outcome import Outcome
from bilevel.compare.plan import Wishes, make, written
from bilevel.compare.rechecking import Again, Keeps
from bilevel.compare.survival import survival_of
from bilevel.store.folder import RunFolder

GREEDY = 'name = "{name}"\ntitle = "Keeps what looks better"\n[inner]\nkeep = "greedy"\nresearcher = "{researcher}"\n'
ARMS = "greedy.toml,blind.toml"


@pytest.fixture
def greedy(compare, tmp_path):
    """A comparison of two arms that keep whatever looks better."""
    (tmp_path / "greedy.toml").write_text(GREEDY.format(name="greedy", researcher="coordinate"))
    (tmp_path / "blind.toml").write_text(GREEDY.format(name="blind", researcher="random"))

    def run(*options, task, folder="it", replicates=2):
        size = ("--replicates", replicates, "--budget", 25)
        return compare(*size, *options, arms=ARMS, task=task, folder=folder)

    return run


def survivals(result):
    return {one["name"]: one["survival"] for one in result["arms"]}


@pytest.mark.slow
def test_keeps_of_noise_do_not_survive_and_those_of_real_improvements_do(greedy, tmp_path):
    lucky = survivals(greedy("--recheck", "all", "--json", task="sphere:noise=20", folder="noisy", replicates=4).json)
    for one in lucky.values():
        assert one["keeps"] == one["again"] >= 8 and one["failed"] == 0
        assert one["survived"]["value"] <= 0.6
        assert one["claimed"]["value"] > 5 > one["gain"]["value"]
    real = survivals(greedy("--recheck", 4, "--json", task="sphere:noise=0.0001", folder="real", replicates=4).json)
    for one in real.values():
        assert one["keeps"] > one["again"] == 16
        assert one["survived"]["value"] == 1 and 0.3 < one["survived"]["low"] < 0.5  # four runs prove no more
        assert one["gain"]["value"] == pytest.approx(one["claimed"]["value"], rel=0.05)
    report = (tmp_path / "noisy" / "report.md").read_text()
    assert "Keeps measured again on fresh seeds, all; without any effect 50 % survive" in report


@pytest.mark.slow
def test_without_it_a_plan_keeps_its_hash_and_nothing_more_is_measured(compare, tmp_path):
    wishes = {"arms": ("a", "random"), "tasks": ("sphere",)}
    plain, again = make(Wishes(**wishes)), make(Wishes(**wishes, recheck=2))
    assert "recheck" not in written(plain) and "keeps" not in plain.analysis
    assert written(again)["recheck"] == 2 and "keeps" in again.analysis and plain.hash != again.hash
    result = compare("--replicates", 2, "--json", arms="a,random").json
    assert survivals(result) == {"a": None, "random": None}
    assert "measured again" not in (tmp_path / "it" / "report.md").read_text()


@pytest.mark.slow
def test_the_plan_says_what_it_takes_at_most_and_the_budget_does_not_change(greedy, compare):
    few = greedy("--recheck", 2, "--plan", "--json", task="sphere").json
    every = greedy("--recheck", "all", "--plan", "--json", task="sphere").json
    none = greedy("--plan", "--json", task="sphere").json
    assert [one["rechecks"] for one in (none, few, every)] == [0, 4 * 2 * 2 * 3, 4 * 24 * 3]
    assert [one["measurements"] - none["measurements"] for one in (few, every)] == [few["rechecks"], every["rechecks"]]
    assert (
        "48 at most to measure keeps again, outside the budget" in greedy("--recheck", 2, "--plan", task="sphere").out
    )
    result = greedy("--recheck", "all", "--json", task="sphere").json
    assert [one["average"]["measurements"] for one in result["arms"]] == [25, 25]


@pytest.mark.slow
def test_the_same_plan_gives_the_same_shares_whether_or_not_it_was_stopped_before_them(greedy, compare, tmp_path):
    once = greedy("--recheck", 3, "--json", task="sphere").json
    opened = RunFolder.open(tmp_path / "it" / "replicate-02" / "blind")
    facts = opened.meta("comparison")
    opened.set_meta("comparison", {**facts, "measured_again": False})
    opened.close()
    again = greedy("--recheck", 3, "--json", task="sphere").json
    assert survivals(once) == survivals(again)


@pytest.mark.slow
def test_a_deterministic_task_needs_none(compare):
    result = compare("--recheck", "all", "--replicates", 2, "--json", arms="a,random", task="sphere:noise=0").json
    for one in survivals(result).values():
        assert one["keeps"] > 0 and one["again"] == 0 and one["survived"]["value"] is None
    assert any("no keeps are measured again: the task is deterministic" in note for note in result["notes"])


@pytest.mark.slow
def test_what_a_mechanism_keeps_although_it_looks_worse_claims_nothing(compare, tmp_path):
    (tmp_path / "hot.toml").write_text('name = "hot"\ntitle = "t"\n[inner]\nmechanisms = ["annealing"]\n')
    options = ("--replicates", 1, "--budget", 20, "--recheck", "all", "--json")
    result = compare(*options, arms="hot.toml,random", task="sphere:noise=0").json
    opened = RunFolder.read(tmp_path / "it" / "replicate-01" / "hot")
    (branch,) = opened.store.branches()
    trials = list(opened.store.trials(branch.id))
    opened.close()
    score = {trial.candidate.id: trial.score for trial in trials}
    kept = [trial for trial in trials[1:] if trial.decision.keep]
    better = [trial for trial in kept if trial.score < score[trial.parent.id]]
    assert 0 < len(better) < len(kept)
    assert survivals(result)["hot"]["keeps"] == len(better)


def test_what_arms_have_in_common_is_measured_again_once(bilevel, tmp_path):
    calls = tmp_path / "calls.txt"
    (tmp_path / "counted.py").write_text(
        "from pathlib import Path\nfrom bilevel.objective import Objective\n"
        "from bilevel.space import Candidate, Float, Space\nfrom bilevel.tasks.function import FunctionTask\n"
        "def loss(params, seed):\n"
        f"    with Path({str(calls)!r}).open('a') as file:\n"
        "        print(params['x'], seed, file=file)\n"
        "    return params['x'] + seed % 7 * 1e-6\n"
        "space, start = Space({'x': Float(0.0, 1.0)}), Candidate({'x': 0.5})\n"
        "task = FunctionTask('counted', loss, space, start, Objective('loss'), 'Make x small.')\n"
    )
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(GREEDY.format(name=name, researcher="random"))
    options = ("--task", "python:counted:task", "--replicates", 1, "--budget", 12, "--folder", "it", "--recheck", "all")
    done = bilevel("compare", "--arms", "one.toml,two.toml", *options, "--json")
    assert done.code == 0, done.err
    one, two = survivals(done.json).values()
    assert one == two and one["again"] > 1
    lines = calls.read_text().splitlines()
    search = lines[0].split()[1]  # the only seed that a search with one measurement per candidate uses
    fresh = [line for line in lines if line.split()[1] != search]
    assert len(fresh) == len(set(fresh)) >= 3 * 3


@pytest.mark.slow
def test_keeps_that_fail_on_fresh_seeds_are_missing_and_said(bilevel, tmp_path):
    (tmp_path / "moody.py").write_text(
        "from bilevel.objective import Objective\nfrom bilevel.space import Candidate, Float, Space\n"
        "from bilevel.tasks.function import FunctionTask\n"
        "calls = {}\n"
        "def loss(params, seed):\n"
        "    seen = calls.setdefault(params['x'], set())\n"
        "    seen.add(seed)\n"
        "    if 0.1 < params['x'] < 0.45 and len(seen) > 1:\n"
        "        raise ValueError('a bad day')\n"
        "    return params['x'] + seed % 7 * 1e-6\n"
        "space, start = Space({'x': Float(0.0, 1.0)}), Candidate({'x': 0.5})\n"
        "task = FunctionTask('moody', loss, space, start, Objective('loss'), 'Make x small.')\n"
    )
    for name, researcher in (("greedy", "random"), ("blind", "optuna")):
        (tmp_path / f"{name}.toml").write_text(GREEDY.format(name=name, researcher=researcher))
    options = ("--task", "python:moody:task", "--replicates", 3, "--budget", 20, "--folder", "it", "--recheck", "all")
    done = bilevel("compare", "--arms", ARMS, *options, "--json")
    assert done.code == 0, done.err + done.out
    failed = [one for one in survivals(done.json).values() if one["failed"]]
    assert failed and all(one["failed"] <= one["again"] for one in failed)
    assert all(one["survived"]["value"] in (None, 1.0) for one in survivals(done.json).values())
    assert any("could not be measured again" in note and "a bad day" in note for note in done.json["notes"])


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--recheck", -1), "--recheck -1"), (("--recheck", 2, "--fresh", 0), "--fresh 0 has none")],
)
def test_what_cannot_be_is_said(compare, options, said):
    done = compare(*options)
    assert done.code == 2 and said in done.err


def run_with(*gains):
    again = tuple(Again(1.0, gain) for gain in gains)
    return Outcome(Job(1, "a"), gain=1.0, keeps=Keeps(len(gains), again))


def test_runs_are_drawn_whole_and_a_keep_that_failed_is_no_keep_that_was_lost():
    runs = {("", n): run_with(*gains) for n, gains in enumerate([(1.0, 1.0, 1.0), (-1.0,), (None, 1.0), ()])}
    found = survival_of(runs, 0)
    assert (found.keeps, found.again, found.failed) == (6, 6, 1)
    assert found.survived.value == pytest.approx(4 / 5) and found.gain.value == pytest.approx(3 / 5)
    assert found.survived.low == 0 and found.survived.high == 1
    assert survival_of({("", 1): run_with()}, 0).survived.value is None


def test_the_interval_of_a_share_holds_the_truth_also_where_all_survived():
    rng, held = random.Random(3), 0
    for _ in range(60):
        runs = {("", n): run_with(*[1.0 if rng.random() < 0.9 else -1.0 for _ in range(3)]) for n in range(8)}
        found = survival_of(runs, 1).survived
        held += found.low <= 0.9 <= found.high
    assert held >= 50
