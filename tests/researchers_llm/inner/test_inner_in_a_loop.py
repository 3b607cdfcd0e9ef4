"""The researcher in a real search: a folder task whose program runs, a store, lessons, a repair, a resume."""

import json

import pytest
from inner_cases import block, edits

from bilevel.budget import Budget
from bilevel.call import Reply
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop, LoopSpec
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.settings import Settings
from bilevel.tasks.catalog import find
from bilevel.trial import Status

TASK = """
name = "small"
title = "A program that prints its loss"
[objective]
metric = "loss"
direction = "minimize"
self_reported = true
[metrics.loss]
read = "line"
label = "loss"
[candidate]
editable = ["main.py"]
[space]
constants = ["main.py"]
[space.parameters.SIZE]
type = "int"
low = 1
high = 64
[command]
run = ["{python}", "main.py"]
[[rungs]]
name = "full"
wall_seconds = 60.0
"""
PROGRAM = """SIZE = 8


def loss():
    return 1.0 + abs(SIZE - 20)


print("loss:", loss())
"""
SLIP = edits(block("    return 1.0 + abs(SIZE - 20)", "    return half * abs(SIZE - 20)"), why="half of it")
MENDED = edits(block("    return half * abs(SIZE - 20)", "    return 0.5 * abs(SIZE - 20)"), why="half was no name")
BASELINE_AGAIN = edits(block("    return 0.5 * abs(SIZE - 20)", "    return 1.0 + abs(SIZE - 20)"), SIZE=8)
LESSON = {"kind": "works", "summary": "Half is less.", "rule": "Halve.", "confidence": 0.9, "trials": [2]}


class Answers:
    """A model that answers by purpose and trial; it counts how often it was asked."""

    name = "test:answers"

    def __init__(self):
        self.asked = []

    def complete(self, request, seed, watch):
        prompt = request.messages[1].text
        self.asked.append(prompt)
        if "Draw 2 to 4 lessons" in prompt:
            text = json.dumps({"lessons": [LESSON]})
        elif "failed by a slip" in prompt:
            text = MENDED
        elif "It is trial #1." in prompt:
            text = SLIP
        elif "asked for this trial again" in prompt:
            text = edits(why="another", SIZE=20)
        elif "It is trial #4." in prompt:
            text = BASELINE_AGAIN
        else:
            text = edits(why="nearer", SIZE=16)
        return Reply(text, self.name, tokens_in=1, tokens_out=1)


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "small"
    (folder / "start").mkdir(parents=True)
    (folder / "task.toml").write_text(TASK)
    (folder / "brief.md").write_text("Print a small loss.\n")
    (folder / "start" / "main.py").write_text(PROGRAM)
    return find(folder)


def search(task, store, model, trials=4):
    spec = LoopSpec(
        "inner",
        task,
        ModelResearcher(files={"main.py": PROGRAM}),
        settings=Settings(),
        budget=Budget(trials=trials),
        calibration=1,
        lessons_every=2,
    )
    return Loop(spec, Lab(store, models={"inner": model})).run()


def test_a_search_with_a_slip_its_repair_lessons_and_a_draft_turned_back(task):
    model, store = Answers(), MemoryStore()
    trace = search(task, store, model)
    assert [trial.status for trial in trace] == [Status.OK, Status.EXIT, Status.OK, Status.OK, Status.OK]
    assert trace[1].reason.startswith("NameError") and trace[2].proposal.notes["repair_of"] == 1
    assert trace[2].score == 6.0 and trace[2].parent.id == trace[0].candidate.id and trace[2].decision.keep
    assert trace[3].score == 2.0 and [lesson.summary for lesson in trace[3].learned] == ["Half is less."]
    assert "Skills: lessons that are well supported" in model.asked[3]
    assert (
        trace[4].turned_back[0].reason.startswith("already measured as trial 0")
        and trace[4].proposal.why == "another"
        and trace[4].score == 0.0
    )
    assert not any(trial.faults for trial in trace)
    purposes = [call.purpose for call in store.calls()]
    assert purposes[:4] == ["propose", "repair 1", "lessons", "propose"] and purposes[-1] == "propose/attempt 1"

    again = Answers()
    assert search(task, store, again, trials=4).fingerprint() == trace.fingerprint() and not again.asked
    assert search(task, MemoryStore(), again).fingerprint() == trace.fingerprint()
    assert again.asked == model.asked


def test_an_answer_that_cannot_be_used_is_a_fault_of_the_trial_and_the_search_goes_on(task):
    class Silent(Answers):
        def complete(self, request, seed, watch):
            return Reply("I would rather not.", self.name)

    trace = search(task, MemoryStore(), Silent(), trials=2)
    assert [trial.status for trial in trace[1:]] == [Status.REFUSED, Status.REFUSED]
    assert trace[1].faults[0].guest == "researcher llm" and "could not be used" in trace[1].faults[0].message
