"""A person's commands on what happens above the innermost loop."""

import json

from steered import recipe, replayed

from bilevel.events import with_commands
from bilevel.run import resume, start
from bilevel.steering.giving import Asked, give


def test_a_mechanism_that_leaves_is_told_with_the_reason_and_once(tmp_path):
    path, told = tmp_path / "run", tmp_path / "told.jsonl"
    made = recipe(3, cycles=4, start="continue", mechanisms=("tabu", "restart", "revert"))
    outer = made.outer[0].model_copy(update={"researcher": "python:steered:Without"})
    made = with_commands(made.model_copy(update={"outer": (outer,)}), [f"mechanism=cat >> {told}; echo >> {told}"])
    with start(made, path) as session:
        give(path, Asked("retire", what="revert", text="too slow", author="Ada"))
        session.execute()
        trials = session.folder.store.trials("root")
    facts = [json.loads(line) for line in told.read_text().splitlines()]
    assert {one["change"] for one in facts} == {"removed"} and {one["level"] for one in facts} == {"inner"}
    reasons = {one["mechanism"]: (one["place"], one["reason"]) for one in facts}
    assert len(reasons) == len(facts) and reasons.pop("revert")[1] == "retired by Ada: too slow"
    kept = [trial for trial in trials if trial.number and trial.decision.keep]
    assert kept and reasons == {
        name: (f"root:{trial.number}", trial.decision.reason)
        for trial in kept
        for name in trial.candidate.files_changed_from(trial.parent)
    }
    before = told.read_text()
    with resume(path) as session:
        session.execute()
    assert told.read_text() == before
    replayed(path)
