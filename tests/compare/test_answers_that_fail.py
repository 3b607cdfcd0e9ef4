"""A best candidate that fails on fresh seeds is no run to leave out, and a gap on one side is no ground for a claim."""

import json
import linecache
import shutil
import sys

import pytest

GREEDY = 'name = "{name}"\ntitle = "Keeps what looks better"\n[inner]\nkeep = "greedy"\nresearcher = "{researcher}"\n'
MOODY = (
    "from bilevel.objective import Objective\nfrom bilevel.space import Candidate, Float, Space\n"
    "from bilevel.tasks.function import FunctionTask\n"
    "calls = {{}}\n"
    "def loss(params, seed):\n"
    "    x = params['x']\n"
    "    seen = calls.setdefault(x, set())\n"
    "    seen.add(seed)\n"
    "    if {fails}:\n"
    "        raise ValueError('a bad day')\n"
    "    return (x if x < {flat} else 0.99) + seed % 7 * 1e-6\n"
    "space, start = Space({{'x': Float(0.0, 1.0)}}), Candidate({{'x': 0.99}})\n"
    "task = FunctionTask('{name}', loss, space, start, Objective('loss'), 'Make x small.')\n"
)


@pytest.fixture
def greedy(bilevel, tmp_path):
    """Two arms that keep what looks better, on a task where some candidates fail once they were run on some seeds."""
    for name, researcher in (("wide", "random"), ("small", "stuck")):
        (tmp_path / f"{name}.toml").write_text(GREEDY.format(name=name, researcher=researcher))

    def run(name, fails, replicates, flat=1):
        (tmp_path / f"{name}.py").write_text(MOODY.format(name=name, fails=fails, flat=flat))
        size = ("--replicates", replicates, "--budget", 5, "--folder", "it", "--json")
        return bilevel("compare", "--arms", "wide.toml,small.toml", "--task", f"python:{name}:task", *size)

    return run


def test_an_answer_that_fails_counts_as_the_baseline_and_is_not_left_out(greedy):
    done = greedy("moody_low", "x < 0.5 and len(seen) > 1", 4)
    assert done.code == 0 and done.json["missing"] == []
    wide, small = done.json["arms"]
    assert wide["runs"] == small["runs"] == small["against"]["pairs"] == 4
    lost = [gain for gain in wide["gains"].values() if gain == 0]
    assert lost and wide["mean"]["value"] < wide["seen"]["value"]
    (note,) = [one for one in done.json["notes"] if "arm wide" in one and "count as the baseline" in one]
    assert note.startswith(f"{len(lost)} of 4 answers") and "a bad day" in note


def test_a_baseline_that_fails_on_a_fresh_seed_leaves_its_replicate_out(greedy):
    done = greedy("moody_start", "x == 0.99 and len(seen) > 3", 1)
    assert done.code == 1 and [one["runs"] for one in done.json["arms"]] == [0, 0]
    assert len([one for one in done.json["missing"] if "failed on a fresh seed" in one["reason"]]) == 2


@pytest.mark.slow
def test_nothing_is_claimed_where_only_one_of_two_arms_has_a_number(greedy, bilevel, tmp_path):
    assert greedy("moody_never", "False", 8, flat=0.08).code == 0

    def claim():
        assert bilevel("report", "it").code == 0
        claims = json.loads((tmp_path / "it" / "claims.json").read_text())["claims"]
        return next(one for one in claims if one["subject"] == "small")

    assert claim()["status"] == "hurt"
    shutil.rmtree(tmp_path / "it" / "replicate-02" / "wide")
    found = claim()
    assert found["p"] <= 0.05 and found["status"] == "undecided" and "missing (2)" in found["note"]
    assert "differ from wide at 5 % after Holm: none" in (tmp_path / "it" / "report.html").read_text()
    result = json.loads((tmp_path / "it" / "result.json").read_text())
    assert any("small and wide: 1 pairs have a number on one side only" in note for note in result["notes"])


def test_a_finished_comparison_is_told_by_its_records_once_its_task_has_changed(greedy, bilevel, tmp_path):
    """As everybody does in the morning, who takes the best over into the task."""
    assert greedy("moody_then", "False", 2).code == 0
    before = [(tmp_path / "it" / name).read_bytes() for name in ("result.json", "claims.json")]
    (tmp_path / "moody_then.py").write_text(MOODY.format(name="moody_then", fails="x == 2", flat=1))
    del sys.modules["moody_then"]
    linecache.checkcache()
    done = bilevel("compare", "--folder", "it")
    assert done.code == 0 and "what measures task 'python:moody_then:task' has changed since" in done.out
    assert bilevel("report", "it").code == 0
    assert [(tmp_path / "it" / name).read_bytes() for name in ("result.json", "claims.json")] == before


def test_no_arm_pays_with_its_seconds_for_what_is_measured_on_fresh_seeds(bilevel, tmp_path):
    (tmp_path / "dear.py").write_text(
        "from dataclasses import replace\n"
        + MOODY.format(name="dear", fails="False", flat=1)
        + "class Dear(FunctionTask):\n"
        "    def run(self, candidate, bench):\n"
        "        run = super().run(candidate, bench)\n"
        "        return replace(run, cost=replace(run.cost, seconds=1000.0))\n"
        "task = Dear('dear', loss, space, start, Objective('loss'), 'Make x small.')\n"
    )
    options = ("--task", "python:dear:task", "--replicates", 1, "--budget", 3, "--folder", "it", "--json")
    done = bilevel("compare", "--arms", "a,random", *options)
    first, second = sorted(one["average"]["seconds"] for one in done.json["arms"])
    assert first < 1000 < 3000 < second < 4000, "the second is charged the three of the calibration alone"


def test_a_budget_without_an_end_is_refused(bilevel):
    for equal in ("trials", "seconds"):
        done = bilevel("compare", "--equal", equal, "--budget", "inf")
        assert done.code == 2 and "--budget inf" in done.err
