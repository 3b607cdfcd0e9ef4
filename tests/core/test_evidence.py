"""What forks may be said to show, and how often a mechanism that does nothing is believed."""

import itertools
import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.evidence import CONFIRMED, SURE, Fork, Verdict, beside, e_value, spread, together, verdict
from bilevel.objective import Objective

LOSS, GAIN = Objective("loss"), Objective("accuracy", minimize=False)
scores = st.lists(st.none() | st.floats(-5, 5), min_size=1, max_size=4)


def by_hand(objective, before, challenger, control):
    """The same by dealing the trials out in every way there is."""
    trials, squares = [*challenger, *control], []
    for chosen in itertools.combinations(range(len(trials)), len(challenger)):
        bests = []
        for inside in (True, False):
            own = [before] + [t for i, t in enumerate(trials) if (i in chosen) is inside and t is not None]
            bests.append(max(objective.gain(before, score) for score in own))
        squares.append((bests[0] - bests[1]) ** 2)
    return math.sqrt(statistics.mean(squares))


@given(scores, scores, st.floats(-5, 5), st.sampled_from([LOSS, GAIN]))
def test_the_spread_is_that_of_every_way_to_deal_the_trials_to_the_arms(challenger, control, before, objective):
    found = spread(objective, before, challenger, control)
    assert found == pytest.approx(by_hand(objective, before, challenger, control), abs=1e-9)


def test_without_a_score_nothing_is_spread():
    assert spread(LOSS, 1.0, [None, None], [None]) == 0.0
    assert spread(LOSS, None, [], [0.5]) == 0.0
    assert spread(LOSS, None, [0.4], [0.5]) > 0.0


def fork(rng, shift=0.0, trials=5, before=1.05):
    challenger, control = ([rng.gauss(1.0 - s, 0.1) for _ in range(trials)] for s in (shift, 0.0))
    gain = min([before, *control]) - min([before, *challenger])
    return Fork(gain, spread(LOSS, before, challenger, control))


@pytest.mark.parametrize("forks", [1, 3, 8])
@pytest.mark.parametrize("trials", [3, 5])
def test_a_mechanism_that_does_nothing_is_called_helped_no_more_often_than_the_rule_says(forks, trials):
    rng = random.Random(forks * 10 + trials)
    words = [verdict(fork(rng, trials=trials) for _ in range(forks)).word for _ in range(600)]
    allowed = 1 - SURE
    noise = 3 * math.sqrt(allowed * SURE / len(words))
    assert words.count("helped") / len(words) <= allowed + noise
    assert words.count("hurt") / len(words) <= allowed + noise


def clustered(rng, trials=5, before=1.05):
    """A fork of two searches that find something once and then stay beside it, as one does that goes on from it."""
    arms = [
        [found + rng.gauss(0.0, 1e-3) for _ in range(trials)] for found in (rng.gauss(1.0, 0.1), rng.gauss(1.0, 0.1))
    ]
    gain = min([before, *arms[1]]) - min([before, *arms[0]])
    return Fork(gain, spread(LOSS, before, *arms))


@pytest.mark.parametrize("forks", [1, 2, 4, 8])
def test_trials_that_hang_together_do_not_make_a_useless_mechanism_believed(forks):
    rng = random.Random(forks)
    words = [verdict(clustered(rng) for _ in range(forks)).word for _ in range(400)]
    assert words.count("helped") / len(words) <= 0.0625 + 3 * math.sqrt(0.05 * 0.95 / len(words))
    assert forks >= 4 or set(words) == {"undecided"}


def test_a_mechanism_that_does_nothing_is_confirmed_at_most_once_in_twenty_however_often_one_looks():
    rng, ever, runs = random.Random(5), 0, 400
    for _ in range(runs):
        forks = [fork(rng) for _ in range(30)]
        ever += any(e_value(forks[:n]) >= CONFIRMED for n in range(1, 31))
    assert ever / runs <= 1 / CONFIRMED + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_a_mechanism_that_helps_is_found_and_in_the_end_confirmed():
    rng = random.Random(8)
    assert statistics.mean(verdict(fork(rng, 0.1) for _ in range(10)).word == "helped" for _ in range(100)) > 0.7
    assert statistics.mean(verdict(fork(rng, 0.1) for _ in range(25)).confirmed for _ in range(60)) > 0.8


def test_one_fork_is_never_enough_to_confirm_and_one_lucky_best_not_even_to_believe():
    assert not verdict([Fork(1e9, 1e-9)]).confirmed
    lucky = [0.2, 1.0, 1.0, 1.0, 1.0]
    gain, by_chance = 1.0 - 0.2, spread(LOSS, 1.0, lucky, [1.0] * 5)
    assert verdict([Fork(gain, by_chance)]).word == "undecided"


def test_forks_that_tell_nothing_leave_everything_open():
    empty = verdict([Fork(0.0, 0.0)] * 5)
    assert (empty.word, empty.forks, empty.probability) == ("undecided", 0, 0.5)
    assert "no fork told the arms apart" in empty.sentence
    assert verdict([Fork(0.3, 0.1), Fork(0.0, 0.0)]) == verdict([Fork(0.3, 0.1)])


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1)), min_size=1, max_size=8))
def test_turning_every_sign_round_turns_the_verdict_round(pairs):
    one, other = (verdict(Fork(sign * gain, sd) for gain, sd in pairs) for sign in (1, -1))
    assert one.effect == pytest.approx(-other.effect) and one.probability == pytest.approx(1 - other.probability)
    assert {"helped": "hurt", "hurt": "helped"}.get(one.word, one.word) == other.word
    assert one.low <= one.effect <= one.high


def test_of_several_mechanisms_tested_in_one_run_those_are_confirmed_that_stand_beside_all():
    strong, weak, useless = (Verdict("helped", 9, 1.0, 0.5, 1.5, 0.99, value) for value in (25.0, 3.0, 0.2))
    assert strong.confirmed and not weak.confirmed
    (alone,) = together([strong])
    assert alone.confirmed and alone.sentence == strong.sentence
    one, two, _ = together([strong, weak, useless])
    assert not one.confirmed and not two.confirmed
    assert one.sentence.startswith("helped after 9 forks") and one.sentence.endswith("not enough beside 2 others")
    assert [found.confirmed for found in together([replace(strong, e_value=61.0), weak, useless])] == [
        True,
        False,
        False,
    ]
    assert all(found.confirmed for found in together([strong] * 3)), "they stand together"


def test_after_some_forks_nothing_is_called_confirmed_that_may_not_stand_beside_the_others():
    strong, weak = (Verdict("helped", 9, 1.0, 0.5, 1.5, 0.99, value) for value in (25.0, 3.0))
    assert strong.so_far.startswith("helped after 9 forks") and "by itself" in strong.so_far
    assert weak.so_far == weak.sentence
    told, _ = together([strong, weak])
    assert not beside(strong, told).confirmed and "not enough beside 1 other" in beside(strong, told).sentence
    enough, _ = together([replace(strong, e_value=41.0), weak])
    assert beside(strong, enough).confirmed and not beside(weak, enough).confirmed
    assert beside(strong, None) == strong


def test_of_five_useless_mechanisms_one_is_confirmed_in_at_most_one_run_in_twenty():
    rng, wrong, alone, runs = random.Random(6), 0, 0, 150
    for _ in range(runs):
        found = [verdict([fork(rng) for _ in range(20)]) for _ in range(5)]
        alone += any(one.confirmed for one in found)
        wrong += any(one.confirmed for one in together(found))
    assert wrong <= alone and wrong / runs <= 1 / CONFIRMED
