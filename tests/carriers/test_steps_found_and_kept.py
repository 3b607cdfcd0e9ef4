"""Steps of the article workflow end to end: the right insertion, replacement and removal is found and kept.

The judge counts "therefore". Left alone the workflow never writes it: the analysis finds other things, and the editor
lets the only edit that would bring it not through. All answers are functions of the prompt.
"""

import json
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from step_server import SAYS, TEXT, StepServer

from bilevel.mechanism import Guest
from bilevel.researchers.arranging import arranged, read_step
from bilevel.researchers.prompt import shipped_prompts
from bilevel.researchers.workflow import Workflow
from bilevel.space import Space
from bilevel.steps import STEPS

WARRANT = "---\nafter: plan\nshown: revision\nfields:\n- claim: text\n- paragraph: paragraph\ngate:\n- own words\n---\n"
RIGHT = {
    "warrant": WARRANT + "Inserted step: say what warrants the claim.",
    "sharper": "---\nreplace: analysis\n---\nStep 1, analysis. Name every claim that has no warrant.",
    "lenient": "---\nremove: assessment\n---\nIt lets the wrong edits through.",
}
USELESS = "---\nafter: analysis\nshown: hypotheses\n---\nInserted step: say something kind about the author."


RECIPE = """
name = "steps"
title = "a test"
task = "article"
[inner]
researcher = "workflow"
lessons = false
[[outer]]
level = "mechanisms"
researcher = "library"
carriers = ["workflow"]
offers = ["./kind.workflow.md", "./{right}.workflow.md"]
trials = 3
cycles = 3
start = "fork"
proof_share = 0.0
[claim]
on = false
"""


@pytest.mark.parametrize("right", ["warrant", pytest.param("sharper", marks=pytest.mark.slow), "lenient"])
def test_the_right_change_of_the_steps_is_kept_and_a_useless_one_is_inert(bilevel, bilevel_json, monkeypatch, right):
    server = StepServer(SAYS)
    monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-test-0123456789-abcdefghij")
    Path("kind.workflow.md").write_text(USELESS)
    Path(f"{right}.workflow.md").write_text(RIGHT[right])
    Path("mine.md").write_text(TEXT)
    Path("steps.toml").write_text(RECIPE.format(right=right))
    done = bilevel("run", "steps.toml", "--article", "mine.md", "--model", "compatible:test", "--folder", "r")
    assert done.code == 0, done.err
    found = {one["name"]: one for one in bilevel_json("status", "r")["mechanisms"]}
    kind, mine = found["workflow:kind"], found[f"workflow:{right}"]
    assert not kind["kept"] and kind["reason"].startswith("inert"), kind
    assert kind["ledger"]["advise"]["touched"] > 0 and kind["ledger"]["advise"]["decisive"] == 0
    assert mine["kept"] and mine["ledger"]["advise"]["decisive"] >= 3, mine
    steps = bilevel_json("status", "r")["steps"]
    assert steps["kind"]["said"] >= 3 and steps["kind"]["untested"] == 0 and "kind: inert" in done.out
    if right == "warrant":  # an inserted step reached the text where leaving it out gave another one
        assert steps[right]["decisive"] == mine["ledger"]["advise"]["decisive"] and "warrant: inert" not in done.out
    asked = len(server.requests)
    server.close()
    replayed = bilevel("replay", "r")
    assert replayed.code == 0 and "byte for byte" in replayed.out and len(server.requests) == asked


def flow(**texts):
    return Workflow().carrying([Guest(f"workflow:{name}", text) for name, text in texts.items()])


def test_the_steps_stand_in_their_order_and_as_they_come_where_nothing_changes_them():
    prompts = shipped_prompts()
    own = [(step.name, step.prompt) for step in Workflow().steps]
    assert own == [
        (name, prompts[f"article_{name}"]) for name in ("analysis", "hypotheses", "plan", "assessment", "revision")
    ]
    changed = flow(**RIGHT, first="---\nafter: start\n---\nLook at it.", kind=USELESS).steps
    assert [step.name for step in changed] == ["first", "analysis", "kind", "hypotheses", "plan", "warrant", "revision"]
    assert changed[1].prompt.startswith("Step 1, analysis. Name every claim")
    more = flow(kind=USELESS)
    assert more.addressed == (*STEPS, "kind") and more.questions == flow().questions + 1 == 6
    assert arranged(prompts, flow(lenient=RIGHT["lenient"]).texts).removed == {"assessment"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Say it.", "one of these in its head"),
        ("---\nafter: lunch\n---\nSay it.", "after: start or one of"),
        ("---\nafter: plan\nshown: analysis\n---\nSay it.", "'analysis' does not come after 'plan'"),
        ("---\nafter: plan\nfields:\n- Mood: text\n---\nSay it.", "the field 'Mood: text' cannot be read"),
        ("---\nafter: plan\nfields:\n- mark: number from 5 to 1\n---\nSay it.", "cannot be read"),
        ("---\nafter: plan\ngate:\n- well said\n---\nSay it.", "the gate 'well said' cannot be read"),
        ("---\nafter: plan\n---\nSay {{it}}.", "has no places"),
        ("---\nafter: plan\n---\n", "has a prompt below its head"),
        ("---\nreplace: plan\n---\nSay it.", "needs exactly the places {{dropped}}, {{editable}}, {{hypotheses}}"),
        ("---\nreplace: dinner\n---\nSay it.", "there is no step 'dinner'"),
        ("---\nremove: plan\n---\n", "'plan' cannot be removed; these can: analysis, hypotheses, assessment"),
        ("---\nremove: analysis\nreplace: plan\n---\nx", "one of these in its head"),
        ("---\nafter: plan\nafter: start\n---\nSay it.", "after: it stands in the head twice"),
        ("---\nafter: plan\nfields:\n- a: text\n- a: text\n---\nSay it.", "have different names"),
        ("---\nafter: plan\ngate:\n- at least 9 words\n- at most 8 words\n---\nSay it.", "no answer has at least 9"),
        ("---\nafter: plan\ngate:\n- at most 4 words\n---\nSay it.", "no answer has at least 5 and at most 4 words"),
        ("---\nafter: plan\nfields:\n- a: paragraph\ngate:\n- at least 1 words\n---\nSay it.", "of numbers alone"),
    ],
)
def test_a_step_that_cannot_be_taken_is_refused_with_the_reason(text, said):
    assert said in Workflow().refusal(Guest("workflow:mine", text), Space({}))


@pytest.mark.parametrize(
    ("fields", "answer", "said"),
    [
        ("- a: text", {"a": "This is said in a whole sentence."}, None),
        ("- a: text", {"b": "This is said in a whole sentence."}, "exactly: a"),
        ("- a: text", {"a": "No."}, "must say something"),
        ("- a: texts", {"a": []}, "must be a list"),
        ("- a: paragraphs", {"a": [1, 9]}, "from 1 to 4"),
        ("- a: number from 0 to 5", {"a": 6}, "from 0 to 5"),
        ("- a: one of yes, no", {"a": "maybe"}, "one of yes, no"),
        ("- a: one of yes, no", {"a": "no"}, None),
        ("- a: text\ngate:\n- at least 9 words", {"a": "This is said in a whole sentence."}, "at least 9 words, not 7"),
        ("- a: text\ngate:\n- own words", {"a": "The second paragraph says what follows from it for the reader."},
         "repeats the article"),
    ],
)  # fmt: skip
def test_the_gate_of_an_inserted_step_judges_its_answer(fields, answer, said):
    from bilevel import prose

    step = read_step(Guest("workflow:mine", f"---\nafter: plan\nfields:\n{fields}\n---\nSay it."), shipped_prompts())
    assert set(step.schema(3)["properties"]) == {"a"}
    if said is None:
        assert step.read(json.dumps(answer), prose.blocks(TEXT)).startswith("- a: ")
    else:
        with pytest.raises(ValueError, match=said):
            step.read(json.dumps(answer), prose.blocks(TEXT))
