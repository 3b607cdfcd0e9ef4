"""Structured answers: found in a text, validated, asked for again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bilevel.call import Finish, Message, Reply, Request
from bilevel.errors import UnusableReply
from bilevel.objective import Objective
from bilevel.researchers.answer import ask_for, ask_until, parse
from bilevel.settings import Settings
from bilevel.space import Space
from bilevel.trace import Trace
from bilevel.view import View


class Thing(BaseModel):
    name: str
    size: int = 0


ASKED = Request((Message("user", "a thing, please"),))


def view_with(*replies):
    """A view whose model gives these replies in turn, and the list of what it was asked."""
    asked, left = [], list(replies)

    def asks(request, purpose, seed, repeat):
        asked.append((request, purpose))
        reply = left.pop(0)
        return reply if isinstance(reply, Reply) else Reply(reply, "none:none")

    objective = Objective("loss")
    return View(1, 0, "", objective, Space({}), Settings(), Trace(objective), asks=asks), asked


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a", "size": 1}',
        '\n\n {"name": "a", "size": 1}\n',
        'Here it is:\n```json\n{"name": "a", "size": 1}\n```\nDone.',
        '~~~\n{"name": "a", "size": 1}\n~~~',
        '````\n{"name": "a", "size": 1}\n````',
        'I take {x} and say {"name": "a", "size": 1}, as {you} wished.',
        'Not {"other": 2} but\n{"name": "a", "size": 1} and {"third": 3}',
        '```json\n{"other": 2}\n```\n```json\n{"name": "a", "size": 1}\n```',
    ],
)
def test_the_object_is_found(text):
    assert parse(text, Thing) == Thing(name="a", size=1)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), st.text("ab`{\n }", max_size=30))
def test_whatever_was_written_as_json_is_read_back(data, prose):
    class Anything(BaseModel):
        data: dict[str, str | int | None]

    text = json.dumps({"data": data})
    assert parse(text, Anything).data == data
    if "{" not in prose:
        assert parse(f"{prose}\n```json\n{text}\n```\n", Anything).data == data


@given(st.text(max_size=200))
def test_any_text_gives_an_object_or_a_value_error(text):
    try:
        parse(text, Thing)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no object at all", "holds no JSON object"),
        ("[1, 2]", "the object: Input should be a valid dictionary"),
        ('{"name": "a", }', "not valid JSON"),
        ('{"name": "a", "size": NaN}', "NaN is no JSON"),
        ('{"name": "a", "size": ' + "1" * 5000 + "}", "not valid JSON"),
        ('{"size": "many"}', "name: Field required; size: Input should be a valid integer"),
        ("[" * 100_000 + "{", "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said(text, problem):
    with pytest.raises(ValueError) as error:
        parse(text, Thing)
    assert problem in str(error.value)


def test_a_part_of_a_broken_object_is_not_taken_for_the_answer():
    with pytest.raises(ValueError, match="not valid JSON"):
        parse('{"list": [{"name": "a", "size": 1}, {"name": ]}', Thing)


def test_an_answer_that_does_not_fit_is_sent_back_with_the_error():
    view, asked = view_with('{"size": 1}', '{"name": "a"}')
    assert ask_for(view, ASKED, "a thing", Thing) == Thing(name="a")
    (first, _), (second, purpose) = asked
    assert first.schema["properties"].keys() == {"name", "size"} and second.schema == first.schema
    assert purpose == "a thing/re-ask 1"
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].text == '{"size": 1}' and "name: Field required" in second.messages[2].text


def test_after_all_re_asks_the_last_error_is_raised():
    view, asked = view_with("a", "b", "c", "d")
    with pytest.raises(UnusableReply, match=r"a thing: the model's answer could not be used: .*no JSON"):
        ask_for(view, ASKED, "a thing", Thing, reasks=2)
    assert [purpose for _, purpose in asked] == ["a thing", "a thing/re-ask 1", "a thing/re-ask 2"]


def test_a_refusal_is_not_argued_with():
    view, asked = view_with(Reply("I will not", "none:none", finish=Finish.REFUSED), "never asked")
    with pytest.raises(UnusableReply, match="refused to answer: I will not"):
        ask_until(view, ASKED, "a thing", str)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("reply", "shown", "problem"),
    [
        (Reply("  \n", "none:none"), "(an empty answer)", "the answer was empty"),
        (Reply("", "none:none", finish=Finish.LENGTH), "(an empty answer)", "cut off"),
        (Reply("x" * 9000, "none:none", finish=Finish.LENGTH), "x" * 2000 + "\n[...]", "cut off"),
    ],
)
def test_empty_and_cut_off_answers_are_asked_for_again(reply, shown, problem):
    view, asked = view_with(reply, "fine")
    assert ask_until(view, ASKED, "a thing", str) == "fine"
    messages = asked[1][0].messages
    assert messages[1].text == shown and problem in messages[2].text


def test_an_answer_that_was_cut_off_after_its_last_brace_is_whole():
    view, asked = view_with(
        Reply('{"name": "a", "inside": {"name": "b"}', "none:none", finish=Finish.LENGTH),
        Reply('{"name": "c"}\n\n\n', "none:none", finish=Finish.LENGTH),
    )
    assert ask_for(view, ASKED, "a thing", Thing) == Thing(name="c") and len(asked) == 2


def test_the_beginning_of_a_text_may_do():
    view, _ = view_with(Reply("three ideas, the fir", "none:none", finish=Finish.LENGTH))
    assert ask_until(view, ASKED, "ideas", str, cut=True) == "three ideas, the fir"
    view, asked = view_with(Reply(" ", "none:none", finish=Finish.LENGTH), "fine")
    assert ask_until(view, ASKED, "ideas", str, cut=True) == "fine" and "cut off" in asked[1][0].messages[2].text
