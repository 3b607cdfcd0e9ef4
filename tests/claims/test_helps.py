"""Whether a mechanism helps, from paired gains: what chance alone does, and what counts for nothing."""

import math
import random
from dataclasses import replace

import pytest

from bilevel.budget import Cost
from bilevel.helps import (
    HARMFUL,
    INERT,
    PLACEBO,
    PLAIN,
    RESTART,
    WITH,
    Ask,
    Begun,
    Looped,
    Pair,
    Series,
    helps,
    pairs_of,
    stands,
    wanted,
)
from bilevel.objective import Objective
from bilevel.trial import Shadow

LOSS = Objective("loss")


def series_of(count):
    return [Series(f"m{n}", f"hash{n}", 20, 3) for n in range(count)]


def night(rng, effects, over_restart=None, pairs=20, draw=lambda rng: rng.gauss(0, 1)):
    """What is known of mechanisms with these true effects after a test of them; they share the arms without them."""
    series = series_of(len(effects))
    evidence = {one: [] for one in series}
    ask = Ask(pairs, tuple(Begun(one, 0) for one in series))
    shared: dict = {}
    while (found := wanted(evidence, ask)) is not None:
        index, part = found
        plain, restart = shared.setdefault(index, (draw(rng), draw(rng)))
        for one in part:
            effect = effects[series.index(one)]
            own = draw(rng)
            gains = {
                PLAIN: own + effect - plain,
                RESTART: own + (effect if over_restart is None else over_restart) - restart,
            }
            evidence[one].append(Pair(index, gains, "", 0.0, ("propose",)))
    return [status for status, _, _ in stands(evidence)], evidence


def skewed(rng):
    return rng.expovariate(1.0)  # differences of two are symmetric all the same


def share_of(nights, effects, status, **options):
    found = sum(status in night(random.Random(f"{effects} {n}"), effects, **options)[0] for n in range(nights))
    return found / nights, 1.96 * math.sqrt(max(found, 1) / nights * (1 - found / nights) / nights)


def normal(rng):
    return rng.gauss(0, 1)


@pytest.mark.parametrize(
    ("count", "draw"),
    [(1, normal), (3, skewed), pytest.param(1, skewed, marks=pytest.mark.slow),
     pytest.param(3, normal, marks=pytest.mark.slow), pytest.param(8, normal, marks=pytest.mark.slow)],
)  # fmt: skip
def test_of_mechanisms_that_do_nothing_at_most_one_night_in_twenty_confirms_any(count, draw):
    part, error = share_of(700, [0.0] * count, "confirmed", draw=draw)
    assert part + error <= 0.05, f"{part:.4f} +- {error:.4f}"


def test_of_mechanisms_that_do_nothing_at_most_one_night_in_twenty_calls_any_harmful():
    part, error = share_of(400, [0.0], HARMFUL)
    assert part - error <= 0.05, f"{part:.4f} +- {error:.4f}"


def test_a_mechanism_that_is_no_better_than_a_restart_is_not_confirmed_however_good_it_is_against_nothing():
    part, error = share_of(400, [3.0], "confirmed", over_restart=0.0)
    assert part - error <= 0.05, f"{part:.4f}"


def test_large_effects_are_mostly_confirmed_and_harm_is_seen_too():
    assert share_of(150, [3.0], "confirmed")[0] > 0.9
    assert share_of(150, [-3.0], HARMFUL)[0] > 0.9


def test_several_that_are_tested_together_must_share_the_error():
    good, useless = series_of(2)
    five = [Pair(n, {PLAIN: 1.0, RESTART: 1.0}, "", 0.0, ("propose",)) for n in range(5)]
    nothing = [Pair(n, {PLAIN: (-1.0) ** n, RESTART: 1.0}, "", 0.0, ("propose",)) for n in range(5)]
    assert helps({good: five})[0].status == "confirmed"
    assert helps({good: five, useless: nothing})[0].status == "provisional"
    assert {one.status for one in helps({good: five, useless: five})} == {"confirmed"}


def looped(value, path, ledger=None):
    return Looped("b", "c", value, (value,), value, path, Cost(1), ledger or {})


DECISIVE = {"propose": (5, 4, 3, 0)}


def arms(own, plain, path, ledger=DECISIVE, restart=None):
    found = {
        WITH: looped(own, f"with {path}", ledger),
        PLAIN: looped(plain, f"plain {path}"),
        PLACEBO: looped(plain, ""),
    }
    return found if restart is None else {**found, RESTART: looped(restart, f"restart {path}")}


def test_pairs_that_credit_nothing_count_as_ties():
    inert = pairs_of(LOSS, [arms(0.0, 1.0, n, {"propose": (5, 4, 0, 0)}) for n in range(8)])
    assert {pair.void for pair in inert} == {INERT} and helps({series_of(1)[0]: inert})[0].status == INERT
    same = pairs_of(LOSS, [arms(0.0, 1.0, "always") for _ in range(8)])
    assert [pair.void for pair in same] == ["", *["as in an earlier pair"] * 7]
    said = helps({series_of(1)[0]: same})[0]
    assert said.status == "provisional" and said.live == 1 and "7 of 8" in said.note
    lost = pairs_of(LOSS, [arms(None, 1.0, n) for n in range(8)])
    assert {pair.void for pair in lost} == {"no value"} and helps({series_of(1)[0]: lost})[0].e_value == 1.0


def test_the_evidence_is_the_smaller_one_and_a_restart_is_not_set_against_itself():
    both = pairs_of(LOSS, [arms(0.0, 1.0, n, restart=0.0) for n in range(6)])
    said = helps({series_of(1)[0]: both})[0]
    assert said.against[PLAIN].e_value >= 20 and said.e_value == said.against[RESTART].e_value == 1.0
    alone = helps({series_of(1)[0]: pairs_of(LOSS, [arms(0.0, 1.0, n) for n in range(6)])})[0]
    assert alone.status == "confirmed" and set(alone.against) == {PLAIN} and alone.placebo == 0.0


def test_no_more_is_asked_for_than_was_allowed_and_not_where_it_is_known_or_idle():
    one = series_of(1)[0]
    ask = Ask(2, (Begun(one, 3),))
    pair = Pair(0, {PLAIN: 1.0}, "", None, ("propose",))
    assert wanted({one: [pair] * 3}, ask) == (3, (one,)) and wanted({one: [pair] * 5}, ask) is None
    assert wanted({one: [pair] * 5}, Ask(9, (Begun(one, 0),))) is None
    void = Pair(0, {PLAIN: 1.0}, INERT, None)
    assert wanted({one: [void] * 2}, Ask(9, (Begun(one, 0),))) is not None
    assert wanted({one: [void] * 3}, Ask(9, (Begun(one, 0),))) is None
    assert wanted({one: [void] * 3}, Ask(9, (Begun(one, 3),))) == (3, (one,))


def test_advice_must_be_shown_to_matter_before_it_is_confirmed():
    one, advises = series_of(1)[0], {"advise": (9, 9, 9, 0)}

    def said(differs):
        shadows = tuple((Shadow("m0", "without", differs, "other values" if differs else "same"),
                         Shadow("", "again", False, "same")) for _ in range(5))  # fmt: skip
        each = [
            {**arms(0.0, 1.0, n), WITH: replace(looped(0.0, f"with {n}", advises), shadows=shadows)} for n in range(6)
        ]
        return helps({one: pairs_of(LOSS, each)})[0]

    assert said(True).status == "confirmed"
    assert said(False).status == "provisional" and "not shown to matter" in said(False).note
