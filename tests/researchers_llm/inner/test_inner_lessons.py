"""Lessons that the model draws."""

import json

import pytest
from inner_cases import START, Model, begun, section, trial_of, view_of

from bilevel.errors import ContextOverflow, UnusableReply
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.trial import KINDS_OF_LESSON, Lesson

NEW = {"kind": "works", "summary": "a  higher\nrate", "rule": "raise it", "confidence": 0.9, "trials": [2, 1, 2]}


def traced(count, learned_at=None):
    trace = begun()
    for number in range(1, count + 1):
        learned = (Lesson("fails", "known", "rule", 0.5),) if number == learned_at else ()
        trace = trace + trial_of(trace, START.with_params(depth=4 + number), 1.5, learned=learned)
    return trace


def learn(*answers, trace=None, **more):
    model = Model(*answers)
    view = view_of(model, traced(4) if trace is None else trace, **more)
    return list(ModelResearcher().learn(view)), model


def answer(*lessons):
    return json.dumps({"lessons": [{**NEW, **lesson} for lesson in lessons]})


def test_lessons_are_typed():
    lessons, model = learn(answer({}, {"summary": "another", "kind": "limit", "confidence": 0.2, "trials": []}))
    assert lessons == [
        Lesson("works", "a higher rate", "raise it", 0.9, (1, 2)),
        Lesson("limit", "another", "raise it", 0.2, ()),
    ]
    assert model.purposes == ["lessons"]
    kinds = model.requests[0].schema["properties"]["lessons"]["items"]["properties"]["kind"]["enum"]
    assert tuple(kinds) == KINDS_OF_LESSON and all(f'"{kind}"' in model.prompt for kind in kinds)


def test_the_trials_since_the_last_lessons_are_shown_and_the_lessons_that_are_known():
    known = (Lesson("fails", "known", "rule", 0.5),)
    _, model = learn(answer({}), trace=traced(5, learned_at=3), lessons=known)
    lines = section(model.prompt, "The trials to learn from").splitlines()
    assert [line[:2] for line in lines if line.startswith("#")] == ["#3", "#4", "#5"]
    assert "known Rule: rule" in section(model.prompt, "Lessons")
    _, model = learn(answer({}))
    assert "#1 from #0" in model.prompt and section(model.prompt, "Lessons") == "none yet"


def test_without_trials_nobody_is_asked():
    assert learn(trace=begun())[0] == []


@pytest.mark.parametrize(
    ("lesson", "told"),
    [
        ({"trials": [3, 9, -1]}, "lesson 1: there are no trials 9, -1"),
        ({"confidence": 1.5}, "confidence must lie between 0 and 1"),
        ({"summary": "known"}, "this lesson is known already"),
        ({"summary": " "}, "must not be empty"),
        ({"kind": "wisdom"}, "lessons.0.kind: Input should be 'works'"),
    ],
)
def test_lessons_that_do_not_hold_are_sent_back(lesson, told):
    known = (Lesson("fails", "known", "rule", 0.5),)
    lessons, model = learn(answer(lesson), answer({}), lessons=known)
    assert told in model.objection and len(lessons) == 1


def test_those_that_hold_are_kept_at_most_four():
    many = [{"summary": f"s{n}"} for n in range(6)]
    lessons, model = learn(answer({"trials": [77]}, *many))
    assert [lesson.summary for lesson in lessons] == ["s0", "s1", "s2", "s3"] and len(model.requests) == 1


def test_no_lesson_is_an_answer_too():
    assert learn('{"lessons": []}')[0] == []


def test_long_lessons_are_cut_to_what_the_host_takes():
    (lesson,), _ = learn(answer({"summary": "s" * 3000, "rule": "r" * 3000}))
    assert len(lesson.summary) + len(lesson.rule) <= 1000


def test_what_cannot_be_used_is_raised():
    with pytest.raises(UnusableReply):
        learn("?", "?", "?")
    with pytest.raises(ContextOverflow):
        learn(*[ContextOverflow("too long")] * 3)
