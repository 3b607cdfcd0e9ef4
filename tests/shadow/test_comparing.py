"""How two lists of drafts differ, and when advice is said to matter."""

from itertools import combinations, product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import SPACE, START

from bilevel.codec import dump, load
from bilevel.shadow import AGAIN, LEVEL, WITHOUT, advice_of, aside_of, compared
from bilevel.space import Candidate
from bilevel.trial import HOW_DRAFTS_DIFFER, NO_ANSWER, Proposal, Shadow


def drafts(*changes):
    return [Proposal(START.with_params(**change)) for change in changes]


def files(text):
    return [Proposal(Candidate(START.params, {"a.py": text}))]


def difference(one, other):
    shadow = compared("m", WITHOUT, SPACE, START, one, other)
    return shadow.differs, shadow.how


DEEP, DEEPER, WIDE = {"depth": 9}, {"depth": 10}, {"shift": 1.0}


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        (drafts(DEEP), drafts(DEEPER), "other values"),
        (drafts(DEEP), drafts(WIDE), "other parameters"),
        (drafts(DEEP), drafts({**DEEP, **WIDE}), "other parameters"),
        (drafts(DEEP), drafts(DEEP, WIDE), "other count"),
        (drafts(DEEP, WIDE), drafts(DEEP, DEEPER), "other parameters"),
        (drafts(DEEP), drafts(DEEPER, WIDE), "other values"),
        (drafts(DEEP), [], "nothing proposed"),
        ([], drafts(DEEP), "nothing proposed"),
        (files("a"), files("b"), "other files"),
        (drafts(DEEP), files("b"), "other files"),
    ],
)
def test_how_drafts_differ(one, other, how):
    assert difference(one, other) == (True, how) and how in HOW_DRAFTS_DIFFER


changes = st.lists(
    st.fixed_dictionaries({}, optional={"depth": st.integers(1, 11), "shift": st.floats(-2, 3), "bias": st.booleans()}),
    max_size=3,
)


@given(changes)
def test_the_same_drafts_do_not_differ_whatever_their_reasons(made):
    other = [Proposal(draft.candidate, "another reason", "another author") for draft in drafts(*made)]
    assert difference(drafts(*made), other) == (False, "same")


@given(changes, changes)
def test_which_of_the_two_is_first_makes_no_difference(one, other):
    there, back = (compared("m", AGAIN, SPACE, START, a, b) for a, b in ((one, other), (other, one))
                   for a, b in [(drafts(*a), drafts(*b))])  # fmt: skip
    assert there == back
    assert there.distance is None or 0 < there.distance <= 1
    assert load(Shadow, dump(there)) == there


def test_numbers_are_as_far_apart_as_on_the_scale_of_the_space():
    def distance(one, other):
        return compared("m", WITHOUT, SPACE, START, drafts(one), drafts(other)).distance

    assert distance({"shift": -2.0}, {"shift": 0.5}) == 0.5
    assert distance({"shift": -2.0, "depth": 1}, {"shift": 0.5, "depth": 12}) == 1.0
    assert distance({"shape": "round"}, {"shape": "long"}) is None
    assert distance({"depth": 40}, {"depth": "deep"}) is None  # what the host would turn back


# ---- when advice matters ----


def trials(without, again):
    """Trials of which some differ: a list of booleans for each kind, None for an ask that failed."""

    def shadow(name, kind, differs):
        how = NO_ANSWER if differs is None else "other values" if differs else "same"
        return Shadow(name, kind, bool(differs), how, 0.5 if differs else None)

    return [(shadow("m", WITHOUT, w), shadow("", AGAIN, a)) for w, a in zip(without, again, strict=True)]


def advice(k, j, n):
    return advice_of("m", trials([i < k for i in range(n)], [i < j for i in range(n)]))


@pytest.mark.parametrize(
    ("k", "j", "n", "live"),
    [(1, 0, 1, False), (2, 0, 2, False), (3, 0, 3, True), (5, 1, 5, True), (5, 3, 5, False), (5, 5, 5, False),
     (0, 0, 5, False), (3, 1, 5, False), (0, 5, 5, False)],
)  # fmt: skip
def test_advice_matters_where_leaving_it_out_changes_more_than_asking_again(k, j, n, live):
    assert advice(k, j, n).live == live


@given(st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_the_chance_is_that_of_dealing_the_differences_to_the_two_at_random(counts):
    k, j, n = counts
    cards = [i < k + j for i in range(2 * n)]
    deals = list(combinations(cards, n))
    as_great = [deal for deal in deals if sum(deal) >= k]
    assert advice(k, j, n).chance == pytest.approx(len(as_great) / len(deals))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.8, 0.99])
def test_advice_of_no_effect_is_said_to_matter_no_more_often_than_stated(rate, n):
    chance = sum(
        comb(n, k) * comb(n, j) * rate ** (k + j) * (1 - rate) ** (2 * n - k - j)
        for k, j in product(range(n + 1), repeat=2)
        if advice(k, j, n).live
    )
    assert chance <= LEVEL


def test_asks_that_failed_are_told_apart_and_not_compared():
    found = advice_of("m", trials([True, None, True], [None, False, False]))
    assert (found.without.asks, found.without.differed, found.without.failed) == (2, 2, 1)
    assert (found.again.asks, found.again.differed, found.again.failed) == (2, 0, 1)
    assert found.without.distance == 0.5 and found.again.distance is None
    assert found.without.how == {"other values": 2}


def test_another_mechanism_s_asks_are_none_of_its_own():
    found = [*trials([True], [True]), (Shadow("n", WITHOUT, True, "other values"), Shadow("", AGAIN, True, "same"))]
    assert advice_of("m", found).again.asks == 1 and advice_of("n", found).without.asks == 1
    assert advice_of("o", found) is None and advice_of("", []) is None


@pytest.mark.parametrize(
    ("purpose", "aside"),
    [("propose", ""), ("propose/again", "again"), ("propose/re-ask 1/without my rule", "without my rule"),
     ("mechanism m/again/then", ""), ("session/generate", "")],
)  # fmt: skip
def test_what_was_asked_on_the_side_is_known_by_its_purpose(purpose, aside):
    assert aside_of(purpose) == aside
