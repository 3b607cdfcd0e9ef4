"""Values over the wire: exact, typed, and nothing believed."""

import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilevel.budget import Cost
from bilevel.call import Finish, Message, Reply, Request
from bilevel.errors import GuestError
from bilevel.sandbox.wire import Wire, packed, unpacked
from bilevel.settings import Settings
from bilevel.situations import NUMERIC, made_trial, mixed_trace
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space, Value
from bilevel.trial import Climb, Count, Decision, Fault, Lesson, Pending, Proposal, Run, Status, Step, Trial, TurnedBack
from bilevel.view import Block, Briefing

PARTS = Wire(packed, unpacked)
WIRE = Wire(
    lambda one: [PARTS.pack(Mapping[str, Value])(one.params), PARTS.pack(Mapping[str, str])(one.files)],
    lambda data: Candidate(*PARTS.unpack(tuple[Mapping[str, Value], ...])(data)[:2]),
)
FEW = settings(max_examples=40, deadline=None)
texts = st.text(st.characters(), max_size=6) | st.just("\ud800 alone")
numbers = st.floats(allow_nan=False) | st.integers() | st.sampled_from([2**19, -0.0, 1.0, 1, 2**63, 2**4000, math.inf])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts | st.sampled_from(["()", "{}", "~"]), inner, max_size=3)
    ),
    max_leaves=12,
)
params = st.dictionaries(texts, st.booleans() | st.integers() | st.floats(-9, 9) | texts | st.just((0.9, (1, True))))
candidates = st.builds(Candidate, params, st.dictionaries(texts, texts, max_size=2))
notes = st.dictionaries(texts, values, max_size=3)
domains = st.one_of(
    st.builds(Float, st.floats(-5, 0), st.floats(0, 5), st.just(False), st.booleans()),
    st.builds(Int, st.integers(-5, 0), st.integers(0, 5)),
    st.just(Int(16, 4096, power_of_two=True)),
    st.builds(Choice, st.lists(scalars.filter(lambda v: v is not None), min_size=1, max_size=3).map(tuple)),
    st.builds(Bool, st.booleans()),
)
spaces = st.builds(
    Space, st.dictionaries(texts, domains, max_size=3), st.dictionaries(texts, texts, max_size=2),
    st.dictionaries(texts, st.floats(0, 1) | st.just(1), max_size=2), st.dictionaries(texts, st.floats(0), max_size=2),
)  # fmt: skip
proposals = st.builds(Proposal, candidates, texts, texts, notes, st.integers(0, 3), texts)
briefings = st.builds(
    Briefing, st.lists(st.builds(Block, texts, texts, st.integers()), max_size=2).map(tuple), st.integers(0, 9), texts,
    texts, st.integers(0, 3), st.lists(st.builds(TurnedBack, texts, texts, texts), max_size=2).map(tuple),
)  # fmt: skip
runs = st.builds(
    Run, texts, st.integers(0, 9), st.just(Status.OK), st.dictionaries(texts, st.floats(-9, 9) | st.integers()),
    st.builds(Cost, st.integers(0, 9)), texts, notes, st.none() | texts,
)  # fmt: skip


def over(kind, value):
    return WIRE.unpack(kind)(json.loads(json.dumps(WIRE.pack(kind)(value))))


def exactly(one, other):
    """Equal, of one type, and the same within; a mapping's order counts, its type does not."""
    if hasattr(one, "items"):
        return list(one) == list(other) and all(exactly(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(exactly, one, other))
    if hasattr(one, "__dataclass_fields__"):
        names = one.__dataclass_fields__
        return type(one) is type(other) and all(exactly(getattr(one, n), getattr(other, n)) for n in names)
    return type(one) is type(other) and repr(one) == repr(other)


@FEW
@given(values)
def test_a_value_comes_back_exactly(value):
    assert exactly(value, unpacked(json.loads(json.dumps(packed(value)))))


@pytest.mark.parametrize("kind, made", [(Space, spaces), (Proposal, proposals), (Briefing, briefings), (Run, runs)])
def test_what_hooks_take_and_give_comes_back_exactly(kind, made):
    @FEW
    @given(made)
    def check(value):
        assert exactly(value, over(kind, value))

    check()


def test_trials_of_every_kind_come_back_exactly():
    space = Space(NUMERIC)
    for trial in mixed_trace(space, 40):
        assert exactly(trial, over(Trial, trial))
    first = made_trial(0, *[mixed_trace(space, 1)[0].candidate] * 2, space, loss=1.0, keep=True)
    full = Trial(
        3, first.parent, first.proposal, first.runs, Status.OK, 1, Decision(True, "so"), first.changes, True, "r",
        (TurnedBack("a", "b"),), {"m": {"select": Count(1, 2)}}, (Fault("m", "plan", "x"),), 2, True, {"brief": "b"},
        (Lesson("works", "s", "r", 0.9, (1, 2)),), (Climb("m", "h", "door", "passed", "ok", {"n": (1, [2.0])}),),
    )  # fmt: skip
    assert exactly(full, over(Trial, full))
    pending = Pending(4, 3, full.parent, full.proposal, (Step("full", 1),), refused="no", told={"guidance": "x"})
    assert exactly(pending, over(Pending, pending))


def test_questions_to_a_model_come_back_exactly():
    asked = Request((Message("user", "?"),), {"type": "object", "properties": {"b": {"()": 1}, "a": {}}}, 10, 0.5)
    assert exactly(asked, over(Request, asked))
    reply = Reply("yes", "a:b", finish=Finish.LENGTH, tokens_in=3, money=0.5)
    assert exactly(reply, over(Reply, reply))
    knobs = Settings({"rate": "because"}, "explore", "go", 2)
    assert exactly(knobs, over(Settings, knobs))


def test_not_a_number_has_a_form_of_its_own():
    assert math.isnan(unpacked(json.loads(json.dumps(packed(math.nan), allow_nan=False))))


def test_numbers_of_numpy_become_pythons():
    np = pytest.importorskip("numpy")
    given_ = {
        "a": np.float64(0.1),
        "b": np.int64(2**19),
        "c": np.bool_(True),
        "d": (np.float32(0.5),),
        "e": np.str_("x"),
    }
    back = unpacked(json.loads(json.dumps(packed(given_))))
    assert exactly(back, {"a": 0.1, "b": 524288, "c": True, "d": (0.5,), "e": "x"})
    with pytest.raises(GuestError, match=r"numpy\.ndarray cannot be stored"):
        packed(np.zeros(3))


def nested(depth):
    value = ()
    for _ in range(depth):
        value = (value,)
    return value


@pytest.mark.parametrize(
    "value, reason",
    [
        ({1, 2}, "set cannot be stored"),
        ({3: "x"}, "needs texts as keys, not 3"),
        (object(), "object cannot be stored"),
        ([10**5000], "bits is too long"),
        (nested(5000), "nested more than 100 deep"),
        ([lambda: 0], "function cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_said_with_the_reason(value, reason):
    with pytest.raises(GuestError, match=reason):
        packed(value)


@pytest.mark.parametrize(
    "kind, data, reason",
    [
        (Decision, ["yes", "r"], "Decision.keep: True or False is needed here, not 'yes'"),
        (Decision, [True], "a Decision is needed here"),
        (Decision, {"keep": True}, "a Decision is needed here, not a value of type dict"),
        (Step, ["full", True, False], "Step.seed: a whole number"),
        (Step, ["full", 1.0, False], "Step.seed: a whole number"),
        (Step, [None, 1, False], "Step.rung: a text"),
        (Step, ["full", 1, 0], "Step.of_parent: True or False"),
        (Step, ["full", 1], "a Step is needed here"),
        (Domain, ["Float", 1.0, 0.0, False, False], "a Float cannot be made: bounds must be finite"),
        (Domain, ["Float", {"~": "nan"}, 1.0, False, False], "bounds must be finite"),
        (Domain, ["Candidate"], "one of Float, Int, Choice, Bool, Derived is needed here"),
        (Domain, [["Float"]], "one of Float"),
        (Status, "fine", "one of 'ok'"),
        (Status, ["ok"], "one of 'ok'"),
        (Run, ["full", 0, "ok", None, [1, 0, 0, 0, 0, 0], "", {}, None], "cannot be made|Cost"),
        (Proposal, [[{}, {}], "w", "a", {"n": {"()": 3}}, 0, ""], "Proposal.notes: a value is needed here"),
        (Proposal, [[{}, {}], "w", "a", {"n": {"~": []}}, 0, ""], "Proposal.notes"),
        (Proposal, [[{}, {}], "w", "a", [1], 0, ""], "a mapping is needed here"),
        (tuple[Step, ...], "steps", "a tuple is needed here, not 'steps'"),
        (Request, [[["god", "hi"]], None, 1, None], "one of 'system', 'user', 'assistant' is needed here, not 'god'"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_type_is_refused_with_what_came(kind, data, reason):
    with pytest.raises(GuestError, match=reason):
        WIRE.unpack(kind)(data)


@FEW
@given(values, st.sampled_from([Space, Proposal, Briefing, Run, Trial, Decision, Domain, Reply, tuple[Step, ...]]))
def test_nothing_that_comes_raises_anything_but_a_guests_error(value, kind):
    try:
        WIRE.unpack(kind)(json.loads(json.dumps(packed(value))))
    except GuestError:
        return


def test_a_reply_nested_beyond_all_bounds_is_a_guests_error():
    data = 1
    for _ in range(900):
        data = [data]
    with pytest.raises(GuestError, match="nested more than"):
        unpacked(data)
    with pytest.raises(GuestError):
        WIRE.unpack(Proposal)(data)
