"""The e-process on paired differences: what it may be trusted with, and what it is worth with few pairs."""

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.eprocess import CONFIRMED, e_bh, e_value, holm, interval

NIGHTS, LOOKS = 2500, 40


def normal(rng, effect):
    return rng.gauss(effect, 1.0)


def heavy(rng, effect):
    return effect + rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.0, 1.0))  # Student's t, 2 degrees of freedom


def tied(rng, effect):
    return round(rng.gauss(effect, 0.8))


def changing(rng, effect):
    return effect + rng.gauss(0, 1) * rng.choice((0.01, 1.0, 30.0))


def share_confirmed(draw, effect, nights=NIGHTS, looks=LOOKS):
    """The share of nights on which somebody who looks after every pair ever sees 20."""
    rng, found = random.Random(f"{draw.__name__} {effect}"), 0
    for _ in range(nights):
        differences = [draw(rng, effect) for _ in range(looks)]
        found += any(e_value(differences[:n]) >= CONFIRMED for n in range(5, looks + 1))
    return found / nights


def upper(share, n):
    """The upper end of Wilson's 95 % interval."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    return middle + z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))


@pytest.mark.parametrize("draw", [normal, heavy, tied, changing])
def test_without_an_effect_it_reaches_twenty_in_at_most_one_night_in_twenty_however_often_one_looks(draw):
    share = share_confirmed(draw, 0.0, looks=20)
    assert upper(share, NIGHTS) <= 0.05, f"{share:.3f}"


def test_real_effects_are_seen_with_few_pairs():
    spread = math.sqrt(2)  # of a difference, in standard deviations of one measurement
    assert share_confirmed(normal, 3 / spread, nights=300, looks=8) > 0.9
    assert share_confirmed(normal, 2 / spread, nights=300, looks=12) > 0.85


def test_five_pairs_are_the_least_that_can_confirm():
    assert e_value([1.0] * 4) < CONFIRMED <= e_value([1.0] * 5)
    assert e_value([]) == 1.0 and e_value([0.0] * 30) == 1.0


def no_tiny(number):
    """The number, or 0 for one so small that it loses digits in another unit: no law of the evidence, but of floats."""
    return number if abs(number) >= 1e-290 else 0.0


@given(st.lists(st.floats(-1e6, 1e6).map(no_tiny), max_size=30), st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter_and_evidence_is_never_negative(differences, unit):
    value = e_value(differences)
    assert value >= 0
    assert e_value([unit * each for each in differences]) == pytest.approx(value, rel=1e-6, abs=1e-12)


def test_the_interval_lies_above_zero_exactly_where_the_evidence_is_enough():
    rng = random.Random(1)
    for effect in (0.0, 0.7, 1.5, 3.0):
        differences = [rng.gauss(effect, 1.0) for _ in range(12)]
        low, high = interval(differences)
        assert low is not None and high is not None and low < sum(differences) / 12 < high
        assert (low > 0) == (e_value(differences) >= CONFIRMED)
    assert interval([1.0, 2.0]) == (None, None)


def test_the_interval_covers_the_effect():
    rng, missed = random.Random(2), 0
    for _ in range(400):
        low, high = interval([rng.gauss(0.5, 1.0) for _ in range(10)])
        missed += (low is not None and low > 0.5) or (high is not None and high < 0.5)
    assert missed / 400 <= 0.1


def test_several_claims_together():
    assert e_bh([20.0]) == (True,) and e_bh([19.0]) == (False,)
    assert e_bh([30.0, 30.0]) == (True, True)  # the second of two needs 20
    assert e_bh([30.0, 1.0]) == (False, False)  # the first of two needs 40
    assert e_bh([1.0, 41.0, 21.0]) == (False, False, False)
    assert e_bh([1.0, 61.0, 31.0]) == (False, True, True)
    assert holm([30.0, 45.0]) == (True, True) and holm([30.0, 30.0]) == (False, False)
    assert e_bh([]) == holm([]) == ()
