"""Which draft comes first."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inner_cases import (
    FILE_SPACE,
    SOURCE,
    START,
    Model,
    begun,
    block,
    draft,
    edits,
    file_view,
    propose,
    propose_files,
    section,
    trial_of,
    values,
    view_of,
    with_file,
)

from bilevel.errors import ContextOverflow
from bilevel.researchers.picking import distances
from bilevel.settings import Settings
from bilevel.view import Briefing

THREE = values(draft("near", rate=0.11), draft("far", rate=0.0001), draft("middle", rate=0.03))


def names(picker, *answers, briefing=None, trace=None, **more):
    model = Model(*answers)
    view = view_of(model, trace, settings=Settings(drafts=3, picker=picker), **more)
    return [proposal.why for proposal in propose(view, briefing)], model


def test_first_keeps_the_models_order():
    assert names("first", THREE)[0] == ["near", "far", "middle"]


def test_novelty_puts_the_farthest_from_everything_tried_first():
    assert names("novelty", THREE)[0] == ["far", "middle", "near"]
    trace = begun() + trial_of(begun(), START.with_params(rate=0.0002), 2.0)
    assert names("novelty", THREE, trace=trace)[0] == ["middle", "far", "near"]


def test_novelty_looks_at_files_too():
    trace = begun(with_file(SOURCE))
    small, large = (
        block("    return x + WIDTH", "    return x - WIDTH"),
        block("    return first(x) * 2", "    return 1\n" * 9),
    )
    model = Model("\n".join([edits(small, why="small"), edits(large, why="large"), edits(why="param", WIDTH=17)]))
    view = file_view(model, trace, settings=Settings(drafts=3, picker="novelty"))
    assert [proposal.why for proposal in propose_files(view)] == ["large", "small", "param"]


@given(st.text("ab\n"), st.text("ab\n"), st.integers(1, 64), st.integers(1, 64))
def test_a_distance_is_symmetric_and_zero_for_the_same(a, b, w, v):
    distance = distances(FILE_SPACE, {"main.py": SOURCE})
    one, two = with_file(a, WIDTH=w), with_file(b, WIDTH=v)
    assert distance(one, one) == 0 and 0 <= distance(one, two) <= 1
    assert distance(one, two) > 0 or one == two or a.splitlines() == b.splitlines()


def test_a_second_call_picks():
    proposals, model = names("model", THREE, json.dumps({"index": 3, "reason": "more\nto `learn`"}))
    assert proposals == ["middle", "near", "far"] and model.purposes == ["propose", "pick"]
    drafts = section(model.prompt, "The drafts").splitlines()
    assert drafts[1] == '2. rate: 0.1 -> 0.0001. Reason: "far"' and "index" in model.requests[1].schema["properties"]


def test_the_reason_of_the_pick_is_noted():
    model = Model(THREE, '{"index": 1, "reason": "a reason"}')
    proposals = propose(view_of(model, settings=Settings(drafts=3, picker="model")))
    assert proposals[0].notes["picked"] == "a reason" and "picked" not in proposals[1].notes


def test_file_edits_are_shown_to_the_picker_as_a_diff():
    small = block("    return x + WIDTH", "    return x - WIDTH")
    model = Model("\n".join([edits(small), edits(WIDTH=17)]), '{"index": 2}')
    view = file_view(model, settings=Settings(drafts=2, picker="model"))
    assert propose_files(view)[0].candidate.params["WIDTH"] == 17
    assert "-    return x + WIDTH\n+    return x - WIDTH" in model.prompt


def test_a_pick_that_is_not_there_is_asked_for_again():
    proposals, model = names("model", THREE, '{"index": 4}', '{"index": 2}')
    assert proposals[0] == "far" and "a number from 1 to 3, not 4" in model.objection


@pytest.mark.parametrize("answers", [["?", "?", "?"], [ContextOverflow("too long")] * 3])
def test_without_a_usable_pick_the_models_order_stands(answers):
    assert names("model", THREE, *answers)[0] == ["near", "far", "middle"]


def test_a_pick_that_failed_is_noted_with_the_trial():
    model = Model(THREE, "?", "?", "?")
    first, *others = propose(view_of(model, settings=Settings(drafts=3, picker="model")))
    assert "the answer holds no JSON object" in first.notes["not picked"]
    assert not any("not picked" in other.notes for other in others)


def test_a_single_draft_is_not_picked_from():
    assert names("model", values(draft("only", depth=5)))[1].purposes == ["propose"]


def test_a_pick_of_a_later_attempt_has_its_own_purpose():
    assert names("model", THREE, '{"index": 1}', briefing=Briefing(attempt=1))[1].purposes[1] == "pick/attempt 1"
