"""A comparison on several tasks: scores over all of them, each in its own unit, and ranks."""

import json

import pytest

from bilevel.cli.comparisons import tasks_in
from bilevel.compare.folder import Job
from bilevel.compare.outcome import Outcome
from bilevel.compare.plan import Wishes, make, written
from bilevel.compare.scoring import scores_of

TWO = "sphere:noise=0,dimensions=3,gpt-table"


def outcome(task, replicate, gain, whole=None):
    return Outcome(Job(replicate, "a", task=task), gain=gain, seen=gain, whole=whole)


def test_options_of_a_task_are_no_tasks():
    assert tasks_in(TWO) == ("sphere:noise=0,dimensions=3", "gpt-table")
    assert tasks_in("sphere, gpt-table") == ("sphere", "gpt-table")


def test_scores_are_shares_of_the_way_to_the_optimum_or_to_the_best_that_was_found():
    found = scores_of(
        [
            outcome("known", 1, 2.0, whole=4.0),
            outcome("other", 1, 3.0),
            outcome("other", 2, 6.0),
            outcome("bad", 1, -1.0),
        ]
    )
    assert [one.gain for one in found.outcomes] == [0.5, 0.5, 1.0, None]
    assert found.to_optimum == {"known"} and set(found.left_out) == {"bad"}
    assert any("bad has no scores" in note for note in found.notes)
    assert any("the optimum of other is not known" in note for note in found.notes)


def test_a_plan_for_one_task_is_as_older_versions_wrote_it():
    assert "tasks" not in written(make(Wishes(arms=("a", "random"), tasks=("sphere",))))
    two = written(make(Wishes(arms=("a", "random"), tasks=("sphere", "gpt-table"))))
    assert list(two["tasks"]) == ["sphere", "gpt-table"] and "ranks" in two["analysis"]


@pytest.mark.slow
def test_several_tasks_are_compared_by_scores_and_each_in_its_own_unit(compare, tmp_path):
    options = ("--replicates", 2, "--budget", 5, "--json")
    done = compare(*options, task=TWO)
    assert done.code == 0, done.err
    result = done.json
    assert [(task["name"], task["to_optimum"]) for task in result["tasks"]] == [
        ("sphere:noise=0,dimensions=3", True), ("gpt-table", False)
    ]  # fmt: skip
    for whole in result["arms"]:
        assert whole["runs"] == 4 and len(whole["gains"]) == 4
        own = [next(arm for arm in task["arms"] if arm["name"] == whole["name"]) for task in result["tasks"]]
        assert [arm["runs"] for arm in own] == [2, 2]
        score = 1 - own[0]["regret"]["value"]
        exact = [value for name, value in whole["gains"].items() if name.startswith("sphere")]
        assert sum(exact) / 2 == pytest.approx(score)
        assert own[1]["regret"] is None and whole["regret"] is None
    best = max(max(arm["gains"].values()) for arm in result["tasks"][1]["arms"])
    highest = [v for arm in result["arms"] for name, v in arm["gains"].items() if name.startswith("gpt-table")]
    assert max(highest) == 1 and best < 1
    assert result["ranks"]["tasks"] == 2 and set(result["ranks"]["average"]) == {"a", "static", "random"}
    assert result["arms"][1]["against"]["pairs"] == 4
    folders = [path.name for path in (tmp_path / "it").iterdir() if path.is_dir()]
    assert sorted(folders) == ["task-1-sphere-noise-0-dimensions-3", "task-2-gpt-table"]
    report = (tmp_path / "it" / "report.md").read_text()
    for said in ("Over 2 tasks: score", "Gpt-table: improvement of val_bpb", "Ranks over 2 tasks"):
        assert said in report
    planned = compare(*options, "--plan", task=TWO).json
    assert len(planned["arms"]) == 6 and planned["runs"] == 12


def test_seeds_differ_between_tasks_and_are_shared_by_arms(compare, bilevel, tmp_path):
    assert compare("--replicates", 1, "--budget", 2, task="sphere,sphere:noise=0.2", arms="a,random").code == 0
    seeds = {}
    for path in (tmp_path / "it").glob("task-*/replicate-01/*/run.sqlite3"):
        run = bilevel("show", path.parent, "--trial", 0, "--json").json["runs"]
        seeds.setdefault(path.parts[-4], set()).add(json.dumps([one["metrics"] for one in run]))
    assert all(len(found) == 1 for found in seeds.values()) and len(seeds) == 2


def test_a_task_given_twice_is_an_error(compare):
    done = compare(task="sphere,sphere")
    assert done.code == 2 and "given twice" in done.err
