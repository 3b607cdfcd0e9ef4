"""Whatever a text says: it is refused with a reason, or it can be worked with. Nothing else ever happens."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import START, Script, TinyTask, spec_of

from bilevel import prose
from bilevel.carrying import CARRIERS
from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.researchers.workflow import Workflow
from bilevel.space import Candidate, Space
from bilevel.trial import Lesson
from bilevel.view import Briefing

LINES = (
    "---", "when: always", "when: stuck >= 2 and free rate", "when:", "when: trials > 99999999999999999999", "claims:",
    "- larger shift is better in [-1, 2]", "- best depth is in [1e3, 1e999]", "- rate and shift interact", "- shift",
    "- shape does not matter", "claims: smaller batch is better", "keep: works", "keep: ", "confidence: 0.5",
    "confidence: nan", "newest: 3", "most: 1", "retrieve: free", "show: summary", "after: plan", "after: start",
    "shown: ,", "shown: revision", "fields:", "- a: text", "- a: number from 1 to 2", "- b: one of ,", "gate:",
    "- own words", "- at least 3 words", "replace: analysis", "remove: hypotheses", "Look at rate.", "Set rate to 0.5.",
    "{{format}}", "{{", "hint: depth 3",
)  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=12)), max_size=9).map("\n".join)
heads = st.lists(st.sampled_from(LINES), max_size=4).map("\n".join)
headed = (heads | texts).map(lambda text: f"---\n{text}\n---\nLook at it.")
TRACE = [{"shift": 2.0}], [{"depth": 12}], [{"shift": 2.0, "rate": 0.5}], [{"rate": 0.1}]
ARTICLE = Candidate({}, {"a.md": "# Title\n\nA paragraph of some words that says a thing.\n"})


def searched():
    loop = Loop(
        replace(spec_of(TinyTask()), researcher=Script(dict(enumerate(TRACE, 1))), keep=None, noise=None), Lab()
    )
    for _ in range(5):
        loop.step()
    lessons = (Lesson("works", "rate", "lower rate", 0.9, (1,)), Lesson("fails", "depth", "no", 0.1, ()))
    return replace(loop.view(5, loop.trace), lessons=lessons)


VIEW = searched()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CARRIERS[1:4]), st.sampled_from(("mine", "inner_system", "inner_ask_values")), texts | headed)
def test_a_text_of_a_model_is_refused_with_a_reason_or_works(carrier, name, source):
    text, researcher = Guest(f"{carrier}:{name}", source), ModelResearcher()
    refusal = researcher.refusal(text, VIEW.space)
    assert refusal is None or refusal
    if refusal is None:
        carrying = researcher.carrying([text])
        used = carrying.used(VIEW, START, Briefing())
        told = carrying._carried.told(VIEW, Briefing())
        changed = (told.view, told.briefing, told.prompts) != (VIEW, Briefing(), researcher.prompts)
        assert (used == {text.name}) == changed  # what has no say changes nothing of what is told


@settings(max_examples=300, deadline=None)
@given(texts | headed)
def test_a_step_is_refused_with_a_reason_or_can_be_taken(source):
    text, flow = Guest("workflow:mine", source), Workflow()
    refusal = flow.refusal(text, Space({}))
    assert refusal is None or refusal
    if refusal is None:
        steps = flow.carrying([text]).steps
        assert steps != flow.steps or source.strip().endswith(flow.steps[0].prompt.strip())
        for step in (one for one in steps if one.after):
            assert json.dumps(step.schema(3))
            for answer in ("{}", "[1]", "no", '{"a": 1, "b": ""}'):
                try:
                    assert step.read(answer, prose.blocks(ARTICLE.files["a.md"]))
                except ValueError as error:
                    assert str(error)
