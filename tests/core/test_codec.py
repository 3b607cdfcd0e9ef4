"""What is stored comes back equal; equal content has equal text."""

import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.budget import Budget, Cost, Meter
from bilevel.codec import canonical, derive_seed, dump, load
from bilevel.noise import estimate
from bilevel.objective import Objective, is_score
from bilevel.space import Candidate, Change
from bilevel.trial import Count, Decision, Fault, Pending, Proposal, Run, Status, Step, Trial, TurnedBack

numbers = st.one_of(st.booleans(), st.integers(-(2**80), 2**80), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(numbers, st.text(max_size=5))
values = st.one_of(scalars, st.lists(scalars, max_size=3).map(tuple))
names = st.text(min_size=1, max_size=6).filter(lambda name: name != "()")
plain = st.recursive(
    st.one_of(st.none(), scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
)
candidates = st.builds(
    Candidate, st.dictionaries(names, values, max_size=3), st.dictionaries(names, st.text(max_size=9))
)
proposals = st.builds(Proposal, candidates, st.text(max_size=9), notes=st.dictionaries(names, plain, max_size=2))
costs = st.builds(Cost, st.integers(0, 9), st.floats(0, 1e6))
ok_runs = st.builds(
    Run, st.just("full"), st.integers(0, 3), st.just(Status.OK),
    st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False)), costs, st.text(max_size=9),
    st.dictionaries(names, plain, max_size=2), st.none() | st.text(max_size=3),
)  # fmt: skip
bad_runs = st.builds(
    Run, st.just("full"), st.integers(0, 3), st.sampled_from([Status.EXIT, Status.TIME_OUT]), st.none()
)
runs = st.one_of(ok_runs, bad_runs)
ledgers = st.dictionaries(
    names, st.dictionaries(names, st.builds(Count, *[st.integers(0, 9)] * 4), max_size=2), max_size=2
)
faults = st.lists(st.builds(Fault, names, names, st.text()), max_size=2).map(tuple)
changes = st.dictionaries(names, st.builds(Change, values, values), max_size=2)
backs = st.lists(st.builds(TurnedBack, names, st.text()), max_size=2).map(tuple)
trials = st.builds(
    Trial, st.integers(0, 9), candidates, proposals, st.lists(runs, max_size=2).map(tuple), st.sampled_from(Status),
    st.none() | st.floats(allow_nan=False, allow_infinity=False), st.builds(Decision, st.booleans(), st.text()),
    changes, st.booleans(), st.text(), backs, ledgers, faults,
)  # fmt: skip
pendings = st.builds(
    Pending, st.integers(0, 9), st.integers(0, 9), candidates, proposals,
    st.lists(st.builds(Step, names, st.integers(0, 9)), max_size=2).map(tuple), changes, turned_back=backs,
    ledger=ledgers, faults=faults,
)  # fmt: skip


@pytest.mark.slow
@given(st.one_of(trials, pendings, runs))
def test_records_come_back_equal(record):
    text = dump(record)
    again = load(type(record), text)
    assert again == record
    assert dump(again) == text


@given(candidates)
def test_values_keep_their_types(candidate):
    again = load(Candidate, dump(candidate))
    assert again.id == candidate.id
    assert {n: type(v) for n, v in again.params.items()} == {n: type(v) for n, v in candidate.params.items()}


@given(st.dictionaries(names, values, max_size=5), st.randoms())
def test_an_id_does_not_depend_on_the_order_of_keys(params, rng):
    shuffled = list(params.items())
    rng.shuffle(shuffled)
    assert Candidate(dict(shuffled)).id == Candidate(params).id
    assert canonical(dict(shuffled)) == canonical(params)


def test_different_types_have_different_ids():
    ids = {Candidate({"a": value}).id for value in (1, 1.0, True, "1", (1,), "True")}
    assert len(ids) == 6
    assert len({Candidate({"a": v}) for v in (1, True)}) == 2


def test_minus_zero_is_zero():
    assert canonical(-0.0) == canonical(0.0)
    assert Candidate({"a": -0.0}).id == Candidate({"a": 0.0}).id


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_stored(bad):
    with pytest.raises(ValueError, match=r"cannot be stored|not a number"):
        dump(Run("full", 0, Status.OK, {"loss": bad}))
    with pytest.raises(ValueError, match="not a number"):
        Candidate({"a": bad}).id  # noqa: B018


@pytest.mark.parametrize("bad", [object(), {1: 2}, {1}, b"x", Candidate])
def test_what_has_no_json_form_is_refused(bad):
    with pytest.raises(TypeError):
        canonical(bad)


def test_the_mark_of_a_tuple_is_not_a_key():
    with pytest.raises(ValueError, match="reserved"):
        canonical({"()": [1]})


def test_what_a_record_holds_cannot_be_changed():
    notes = {"deep": {"list": [1, {"a": 2}]}}
    proposal = Proposal(Candidate(), notes=notes)
    notes["deep"]["list"].append(3)
    assert proposal.notes["deep"]["list"] == [1, {"a": 2}]
    with pytest.raises(TypeError):
        proposal.notes["deep"]["new"] = 1
    assert isinstance(Run("full", 0, Status.OK, {"loss": 1.0}).metrics, MappingProxyType)


def test_a_run_has_metrics_exactly_when_it_is_ok():
    with pytest.raises(ValueError, match="exactly when"):
        Run("full", 0, Status.EXIT, {"loss": 1.0})
    with pytest.raises(ValueError, match="exactly when"):
        Run("full", 0, Status.OK)


def test_seeds_depend_on_every_part_and_on_nothing_else():
    assert derive_seed(1, 2, "a") == derive_seed(1, 2, "a")
    assert len({derive_seed(*parts) for parts in [(1, 2), (12,), ("1", 2), (1, "2"), (2, 1)]}) == 5


def test_gain_knows_both_directions():
    down, up = Objective("loss"), Objective("accuracy", minimize=False)
    assert down.gain(2.0, 1.5) == 0.5 and up.gain(2.0, 1.5) == -0.5
    assert down.better(1.0, None) and down.better(1.0, 2.0) and not down.better(2.0, 2.0)
    assert up.better(3.0, 2.0) and not up.better(1.0, 2.0)
    assert not any(map(is_score, (None, True, math.nan, math.inf, "1"))) and is_score(3) and is_score(-0.5)


def test_noise_is_the_spread_between_repeats():  # 2.92 is in every table of Student's t
    assert estimate([]).sd == 0.0 and estimate([1.0]).margin == 0.0 and estimate([1.0]).n == 1
    noise = estimate([1.0, 2.0, 3.0])
    assert noise.sd == 1.0 and noise.n == 3 and noise.margin == pytest.approx(2.92 * 2**0.5, abs=1e-3)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9))))
def test_a_charge_is_charged_to_every_ancestor_and_to_nobody_else(charges):
    root = Meter("run")
    left, right = root.child("left"), root.child("right")
    meters = [root, left, right, left.child("leaf")]
    for which, evaluations in charges:
        meters[which].charge(Cost(evaluations, tokens=1))
    spent = [sum(n for w, n in charges if w in group) for group in ({0, 1, 2, 3}, {1, 3}, {2}, {3})]
    assert [meter.spent.evaluations for meter in meters] == spent
    assert root.spent.tokens == len(charges)
    assert Budget() == Budget(None, None)


def test_what_is_stored_comes_back_in_the_same_order():
    """A prompt or a mechanism that goes through them is then the same in a run that is resumed or replayed."""
    run = Run("full", 0, Status.OK, {"time": 1.0, "loss": 2.0}, data={"z": {"b": 1, "a": [{"d": 1, "c": 2}]}, "y": 0})
    again = load(Run, dump(run))
    assert list(again.metrics) == list(run.metrics) == ["loss", "time"]
    assert repr(again.data) == repr(run.data)
    proposal = Proposal(Candidate({"x": 1}), "why", "me", {"second": 2, "first": 1})
    assert list(load(Proposal, dump(proposal)).notes) == list(proposal.notes)
