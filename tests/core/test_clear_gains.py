"""A race keeps a gain that is clear on the seeds so far at once; what becomes of the best when that was luck."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import TinyTask, dies_everywhere, search, spec_of, trace_in
from told import told

from bilevel.noise import UNKNOWN, Noise
from bilevel.rules import KEEP_RULES, Rule, is_clear, mean

KNOWN = Noise(0.1, 10, 9)
BASE = (1.0, 1.02, 1.01)  # an sd of 0.01, so that a gain of more than 0.0413 is clear at once
GAINS = st.lists(st.floats(-10, 10), min_size=1, max_size=4)


@given(GAINS, st.sampled_from(KEEP_RULES), st.integers(2, 4))
def test_only_a_race_ends_early_and_only_by_a_mean_beyond_the_margin_of_so_many_seeds(gains, name, depth):
    rule = Rule(name, depth)
    early = rule.under(KNOWN, gains).depth < rule.under(KNOWN).depth
    assert early == (name == "race" and len(gains) < depth and mean(gains) > KNOWN.margin / len(gains) ** 0.5)
    if early:
        now = rule.under(KNOWN, gains)
        assert now.keeps(gains, KNOWN) and not now.goes_on(gains, KNOWN)


def test_where_nothing_is_known_of_the_noise_nothing_is_clear():
    assert not is_clear([1e9], UNKNOWN) and Rule("race", 2).under(UNKNOWN, [1e9]).goes_on([1e9], UNKNOWN)
    trace, asked = told("a", rule=Rule(), calibration=1, base=BASE, a=(0.5, 0.5))
    assert asked == [("base", 0), ("a", 0), ("a", 1), ("base", 1)]
    assert trace[1].rule == Rule("race", 2)


def test_a_clear_gain_is_kept_on_one_seed_and_may_be_the_best():
    trace, asked = told("a", rule=Rule(), base=BASE, a=(0.9,))
    assert asked[3:] == [("a", 0)] and trace[1].cost.evaluations == 1
    assert trace[1].decision.keep and trace[1].rule == Rule("race", 1) and trace[1].contends
    assert trace[1].decision.reason == "better than its parent (trial 0) by 0.1"
    assert trace.incumbent.number == 1 and trace.current == trace[1].candidate


def test_a_gain_within_the_noise_is_run_on_a_second_seed():
    trace, asked = told("ab", rule=Rule(), base=BASE, a=(0.97, 1.0), b=(0.96, 1.01))
    assert asked[3:] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert trace[1].decision.reason == "better than its parent (trial 0) on 2 of 2 seeds by 0.025 on average"
    assert trace[1].rule == Rule("race", 2) and not trace[2].decision.keep


def test_what_leads_on_one_seed_and_is_not_run_on_the_second_is_not_the_best():
    trace, _ = told("ab", rule=Rule(), base=BASE, a=(0.97, 1.1), b=(0.98, None))
    assert trace.upto(2).incumbent.number == 0 and not trace[1].decision.keep
    assert trace[2].score is None and trace.incumbent.number == 0


def test_two_seeds_may_be_clear_where_one_was_not():
    scores = {"base": BASE, "a": (0.965, 0.98, 2.0)}
    trace, asked = told("a", rule=Rule("race", 3), **scores)
    assert asked[-1] == ("a", 1) and trace[1].rule == Rule("race", 2) and trace[1].decision.keep
    unclear, asked = told("a", rule=Rule("race", 3), base=BASE, a=(0.99, 1.01, 2.0))
    assert asked[-1] == ("a", 2) and not unclear[1].decision.keep


def test_a_clear_gain_that_was_luck_loses_the_place_of_the_best_once_it_is_measured_again_as_a_parent():
    trace, asked = told("ab", rule=Rule(), base=BASE, a=(0.5, 5.0), b=(0.49, 6.0))
    assert asked[3:] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert trace.upto(2).incumbent.number == 1
    assert trace.scores(trace[1].candidate.id) == {0: 0.5, 1: 5.0} and not trace[2].decision.keep
    assert trace.incumbent.number == 0
    won, _ = told("ab", rule=Rule(), base=BASE, a=(0.5, 5.0), b=(0.49, 0.9))
    assert won[2].decision.keep and won.incumbent.number == 2


def test_a_seed_that_is_hard_for_all_takes_nobodys_place():
    """The baseline's own score on it says so."""
    hard = {"base": (1.0, 1.3, 1.01), "a": (-5.0, -4.7), "b": (-5.01, -4.65)}
    trace, _ = told("ab", rule=Rule(), **hard)
    assert len(trace[1].runs) == 1 and len(trace[2].parent_runs) == 1
    assert trace.scores(trace[1].candidate.id) == {0: -5.0, 1: -4.7} and not trace[2].decision.keep
    assert trace.incumbent.number == 1, "worse on average than on its first seed, and as good against the baseline"


def test_a_candidate_that_lost_its_race_is_not_the_best_because_the_baseline_was_unlucky_elsewhere():
    trace, _ = told("a", rule=Rule(), base=(1.0, 1.02, 1.9), a=(0.99, 1.1))
    assert not trace[1].decision.keep and trace[1].score < trace[0].score and trace.incumbent.number == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_with_clear_gains_that_is_killed_at_any_write_goes_on_as_it_would_have(workers):
    spec = spec_of(TinyTask(noise=0.02), trials=6, keep=Rule())
    whole = search(spec, workers)
    assert {trial.rule.depth for trial in whole if trial.decision.keep} == {1, 2}
    for store in dies_everywhere(spec, workers):
        assert trace_in(store, spec.task.objective).fingerprint() == whole.fingerprint()
