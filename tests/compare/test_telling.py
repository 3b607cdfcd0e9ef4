"""A person's commands on what happens to a comparison."""

import json
from dataclasses import replace

from bilevel.compare.folder import differences
from bilevel.compare.plan import Wishes, make

TELL = "cat >> told.jsonl; echo >> told.jsonl"


def test_the_end_is_told_once(compare, tmp_path):
    on = ("--on", f"finished={TELL}")
    done = compare("--replicates", 1, "--budget", 3, *on, arms="a,random")
    (said,) = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert (said["event"], said["runs"], said["missing"]) == ("finished", 2, 0)
    assert set(said["improvements"]) == {"a", "random"} and said["comparison"] == str(tmp_path / "it")
    assert "finished: the comparison has ended: 2 runs; told by its command" in done.out
    again = compare("--replicates", 1, "--budget", 3, *on, arms="a,random")
    assert again.code == 0 and len((tmp_path / "told.jsonl").read_text().splitlines()) == 1  # nothing was run


def test_a_run_without_a_number_is_told_with_its_reason(compare, tmp_path):
    (tmp_path / "broken.py").write_text(
        "from bilevel.objective import Objective\nfrom bilevel.space import Candidate, Int, Space\n"
        "from bilevel.tasks.function import FunctionTask\n\n"
        "def loss(params, seed):\n    raise ValueError('no such thing')\n\n"
        "task = FunctionTask('broken', loss, Space({'x': Int(0, 9)}), Candidate({'x': 1}), Objective('loss'), 'x')\n"
    )
    done = compare("--replicates", 1, "--on", f"failed={TELL}", arms="a,random", task="python:broken:task")
    said, _ = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert done.code == 1 and (said["arm"], said["replicate"], said["event"]) == ("a", 1, "failed")
    assert "no such thing" in said["reason"] and said["run"].startswith(str(tmp_path / "it"))


def test_other_events_are_refused_before_anything_is_made(compare, tmp_path):
    done = compare("--on", f"best={TELL}")
    assert done.code == 2 and "write EVENT=COMMAND with one of: finished, failed" in done.err
    assert not (tmp_path / "it").exists()


def test_a_plan_from_before_there_were_these_events_is_the_same_plan():
    new = make(Wishes(arms=("a", "random"), tasks=("sphere",)))
    arms = {name: {**recipe, "events": {"finished": ""}} for name, recipe in new.arms.items()}
    assert differences(replace(new, arms=arms), new) == []
    arms["a"]["events"] = {"finished": "true"}
    assert differences(replace(new, arms=arms), new) == ["arm a"]
