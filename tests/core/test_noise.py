"""Noise: quantiles, intervals, margins, and what a trace learns from repeats."""

import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.noise import UNKNOWN, Noise, estimate, of_baseline
from bilevel.objective import Objective
from bilevel.quantiles import chi_square, sd_interval, student
from bilevel.space import Candidate
from bilevel.trace import Trace
from bilevel.trial import Decision, Proposal, Run, Status, Trial

# Printed tables: Student's t (A&S table 26.10) and chi-square (A&S table 26.8).
T = {(0.95, 1): 6.314, (0.95, 2): 2.920, (0.975, 5): 2.571, (0.95, 19): 1.729, (0.99, 10): 2.764, (0.95, 400): 1.6487}
CHI = {(0.975, 1): 5.024, (0.025, 2): 0.0506, (0.975, 9): 19.023, (0.025, 9): 2.700, (0.95, 100): 124.342}


def measured(number, parent, scores, name):
    """A trial that measured a candidate on several seeds."""
    runs = tuple(Run("full", seed, Status.OK, {"loss": score}) for seed, score in scores.items())
    mean = statistics.fmean(scores.values())
    candidate = Candidate({"x": name})
    start = Candidate({"x": parent})
    return Trial(number, start, Proposal(candidate), runs, Status.OK, mean, Decision(False, ""))


def trace_of(*trials, known=UNKNOWN):
    trace = Trace(Objective("loss"))
    for trial in trials:
        trace = trace + (replace(trial, known=known) if trial.number == 0 else trial)
    return trace


@pytest.mark.parametrize(("at", "value"), T.items())
def test_quantiles_of_students_t(at, value):
    assert student(*at) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(("at", "value"), CHI.items())
def test_quantiles_of_chi_square(at, value):
    assert chi_square(*at) == pytest.approx(value, rel=1e-3)


@given(st.integers(1, 400), st.floats(0.01, 0.99))
def test_quantiles_are_symmetric_and_grow(degrees, p):
    assert student(p, degrees) == pytest.approx(-student(1 - p, degrees), abs=1e-6)
    assert student(p + 0.005, degrees) > student(p, degrees)
    assert chi_square(p + 0.005, degrees) > chi_square(p, degrees) > 0


@pytest.mark.parametrize(("p", "degrees"), [(0.0, 3), (1.0, 3), (0.5, 0)])
def test_there_is_no_quantile_without_a_probability_and_degrees(p, degrees):
    with pytest.raises(ValueError, match="no quantile"):
        chi_square(p, degrees)


@pytest.mark.parametrize("repeats", [3, 8])
def test_the_interval_of_an_sd_holds_the_true_one_as_often_as_it_says(repeats):
    rng, held = random.Random(repeats), 0
    for _ in range(4000):
        found = estimate([rng.gauss(5.0, 0.3) for _ in range(repeats)])
        low, high = sd_interval(found.sd, repeats - 1)
        held += low <= 0.3 <= high
    assert abs(held / 4000 - 0.95) < 0.0138  # four standard errors


@pytest.mark.parametrize("repeats", [3, 5])
def test_students_t_keeps_the_share_of_false_keeps_where_a_normal_quantile_does_not(repeats):
    """No real effect, the baseline one of the repeats, a challenger measured once."""
    rng, false = random.Random(repeats), {"t": 0, "normal": 0}
    for _ in range(20_000):
        baseline = [rng.gauss(0, 1) for _ in range(repeats)]
        gain = baseline[0] - rng.gauss(0, 1)
        false["t"] += gain > estimate(baseline).margin
        false["normal"] += gain > of_baseline(baseline).margin
    assert 0.03 < false["t"] / 20_000 < 0.05
    assert false["normal"] / 20_000 == pytest.approx({3: 0.109, 5: 0.077}[repeats], abs=0.009)


def test_a_trace_pools_the_repeats_of_all_candidates():
    trace = trace_of(
        measured(0, 0, {0: 1.0, 1: 3.0}, 0),
        measured(1, 0, {0: 5.0}, 1),
        measured(2, 0, {0: 7.0, 1: 8.0, 2: 12.0}, 2),
    )
    assert trace.upto(2).noise == Noise(math.sqrt(2), 2, 1, 0.0, 0)
    noise = trace.noise
    assert noise.sd == pytest.approx(math.sqrt((2 + 14) / 3)) and (noise.n, noise.degrees) == (5, 3)
    assert noise.paired_sd == pytest.approx(math.sqrt(0.5)) and noise.paired_degrees == 1  # 6 and 5: sum of squares 1/2


def test_a_repeat_of_the_same_seed_adds_nothing_and_a_further_seed_joins_its_candidate():
    once = trace_of(measured(0, 0, {0: 1.0, 1: 3.0}, 0), measured(1, 0, {0: 2.0}, 1))
    assert (once + measured(2, 0, {0: 2.0}, 1)).noise == once.noise
    more = once + measured(2, 0, {1: 4.0}, 1)
    assert more.noise == Noise(math.sqrt(2), 4, 2, 0.0, 1)


scores = st.dictionaries(st.integers(0, 5), st.floats(-10, 10), min_size=1, max_size=5)


@given(st.lists(st.tuples(st.integers(0, 3), scores), min_size=1, max_size=10))
def test_pooling_one_trial_at_a_time_is_pooling_all_at_once(steps):
    steps = [(0, steps[0][1]), *steps[1:]]
    by_candidate = {}
    for name, found in steps:
        by_candidate.setdefault(name, {}).update({s: v for s, v in found.items() if s not in by_candidate[name]}
                                                 if name in by_candidate else found)  # fmt: skip
    trials = [measured(i, 0, {s: by_candidate[name][s] for s in found}, name) for i, (name, found) in enumerate(steps)]
    groups = [list(found.values()) for found in by_candidate.values() if len(found) > 1]
    degrees = sum(len(group) - 1 for group in groups)
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups)
    noise = trace_of(*trials).noise
    assert noise.degrees == degrees
    assert noise.sd == pytest.approx(math.sqrt(squares / degrees) if degrees else 0.0, abs=1e-5)


def test_what_was_known_before_counts_with_its_degrees_of_freedom():
    trials = [measured(0, 0, {0: 1.0, 1: 3.0, 2: 5.0}, 0)]
    noise = trace_of(*trials, known=Noise(1.0, 9, 8)).noise
    assert noise.sd == pytest.approx(math.sqrt((8 + 8) / 10)) and (noise.n, noise.degrees) == (12, 10)
    assert noise.margin < trace_of(*trials).noise.margin


def test_a_record_of_an_older_version_keeps_its_noise():
    trace = trace_of(measured(0, 0, {0: 1.0, 1: 3.0}, 0), measured(1, 0, {0: 1.0, 1: 9.0}, 1), known=None)
    assert trace.noise == Noise(math.sqrt(2), 2)
    assert trace.noise.margin == pytest.approx(1.645 * 2)


def test_where_seeds_act_on_all_candidates_alike_the_margin_is_that_of_the_pairs():
    rng = random.Random(0)
    luck = [rng.gauss(0, 1) for _ in range(6)]
    trials = [
        measured(number, 0, {seed: number + luck[seed] + rng.gauss(0, 0.01) for seed in range(6)}, number)
        for number in range(4)
    ]
    few, many = trace_of(*trials[:2]).noise, trace_of(*trials).noise
    assert few.paired_degrees == 5 and few.of_difference == (math.sqrt(2) * few.sd, few.degrees)
    assert many.paired_degrees == 15 and many.of_difference == (many.paired_sd, 15)
    assert many.paired_sd == pytest.approx(0.014, abs=0.006) and many.margin < few.margin / 20


def test_a_task_is_deterministic_where_no_seed_ever_changed_a_score():
    same = measured(0, 0, {0: 0.1, 1: 0.1, 2: 0.1}, 0)
    assert trace_of(same).noise.deterministic and trace_of(same).noise.margin == 0
    assert not trace_of(same, measured(1, 0, {0: 1.0, 1: 1.1}, 1)).noise.deterministic
    assert not trace_of(measured(0, 0, {0: 0.1}, 0)).noise.deterministic  # one measurement says nothing of seeds
    assert of_baseline([0.1, 0.1]).deterministic and not UNKNOWN.deterministic
