"""The numbers of a comparison, against known values, enumeration and simulation."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.compare.paired import cohens_d, holm, replicates_needed, sign_flip_test, smallest_p, superiority
from bilevel.compare.ranks import critical_difference, friedman, range_quantile, ranked
from bilevel.compare.resampling import bootstrap, interquartile_mean, mean


@pytest.fixture(scope="module")
def stats():
    """scipy's statistics, which take a second to import: not while tests are collected."""
    from scipy import stats

    return stats


numbers = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=9)


@given(numbers)
def test_the_exact_test_counts_all_sign_patterns(differences):
    seen, scale = abs(sum(differences)), sum(map(abs, differences))
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    assert sign_flip_test(differences) == pytest.approx(sum(x >= seen - 1e-9 * scale for x in sums) / len(sums))


def test_the_exact_test_agrees_with_scipy(stats):
    differences = [1.1, 2.0, -0.3, 0.7, 1.9, 0.2, -0.1, 1.0]
    other = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(differences) == pytest.approx(other.pvalue)


def test_all_differences_on_one_side_give_the_smallest_p():
    assert sign_flip_test([0.5] * 8) == 2 / 256 == smallest_p(8)
    assert sign_flip_test([]) is None


def test_with_many_pairs_random_patterns_come_near_the_exact_p_and_the_seed_decides():
    rng = np.random.default_rng(1)
    differences = list(rng.normal(0.3, 1, 20))
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    exact = np.mean(np.abs(sums) >= abs(sum(differences)) - 1e-9)
    assert sign_flip_test(differences, seed=3) == pytest.approx(exact, abs=0.005)
    assert sign_flip_test(differences, seed=3) == sign_flip_test(differences, seed=3)


def test_without_an_effect_the_test_rejects_no_more_often_than_its_level():
    rng = np.random.default_rng(2)
    for draw in (rng.standard_normal, lambda n: rng.choice([-5.0, -1.0, 1.0, 5.0], n), lambda n: rng.standard_t(2, n)):
        rejected = sum(sign_flip_test(list(draw(8))) <= 0.05 for _ in range(1000))
        assert rejected <= 0.05 * 1000 + 3 * (0.05 * 0.95 * 1000) ** 0.5


def test_with_an_effect_the_test_finds_it():
    rng = np.random.default_rng(3)
    assert sum(sign_flip_test(list(rng.normal(1.5, 1, 10))) <= 0.05 for _ in range(200)) > 180


def test_holm_corrects_as_in_the_textbook_and_keeps_the_order_of_the_input():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_makes_a_p_smaller_and_is_no_stricter_than_bonferroni(values):
    for old, new in zip(values, holm(values), strict=True):
        assert old <= new <= min(1.0, len(values) * old) + 1e-12


def test_holm_keeps_all_wrong_claims_together_at_the_level():
    rng = np.random.default_rng(4)
    wrong = sum(min(holm(list(rng.uniform(size=5)))) <= 0.05 for _ in range(4000))
    assert wrong / 4000 == pytest.approx(0.05, abs=0.015)


def test_effect_sizes():
    differences = [1.0, 2.0, 3.0, 0.0, -1.0]
    assert cohens_d(differences) == pytest.approx(1.0 / statistics.stdev(differences))
    assert superiority(differences) == pytest.approx(3.5 / 5)
    assert cohens_d([0.5, 0.5]) is None and cohens_d([1.0]) is None and superiority([]) is None


def test_the_replicates_needed_are_those_of_the_textbook():
    differences = [-0.5, 1.5]  # mean 0.5, sd sqrt(2)
    assert replicates_needed(differences) == 63  # ((1.960 + 0.842) / 0.3536) ^ 2 = 62.8
    assert replicates_needed([1.0, -1.0]) is None and replicates_needed([1.0, 1.0]) is None


def test_so_many_replicates_do_find_such_a_difference_four_times_in_five():
    rng = np.random.default_rng(5)
    found = sum(sign_flip_test(list(rng.normal(1, 1, 8))) <= 0.05 for _ in range(1000))  # d = 1 needs 7.85
    assert 0.6 < found / 1000 < 0.85


@pytest.mark.slow
@given(numbers)
def test_the_interquartile_mean_is_the_trimmed_mean(stats, values):
    assert float(interquartile_mean(np.array(values))) == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_bootstrap_of_the_mean_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(6)
    for size, least in ((30, 0.91), (10, 0.86)):
        held = 0
        for _ in range(600):
            found = bootstrap([list(rng.normal(2, 1, size))], mean, seed=1, most=500)
            held += found.low <= 2 <= found.high
        assert least <= held / 600 <= 0.97


def test_the_bootstrap_draws_within_strata():
    apart = [[0.0, 0.1, 0.2], [100.0, 100.1, 100.2]]
    found = bootstrap(apart, mean, seed=0)
    assert found.value == pytest.approx(50.1) and 50.0 <= found.low <= found.high <= 50.2
    pooled = bootstrap([apart[0] + apart[1]], mean, seed=0)
    assert pooled.high - pooled.low > 50


def test_the_bootstrap_is_decided_by_its_seed_and_says_nothing_of_a_single_value():
    values = [list(np.random.default_rng(0).normal(size=12))]
    assert bootstrap(values, mean, seed=7) == bootstrap(values, mean, seed=7)
    assert bootstrap(values, mean, seed=7) != bootstrap(values, mean, seed=8)
    assert bootstrap([[1.0]], mean, seed=0).low is None and bootstrap([[]], mean, seed=0).value is None


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_the_quantile_of_the_range_is_that_of_scipy(stats, count):
    assert range_quantile(count) == pytest.approx(stats.studentized_range.ppf(0.95, count, np.inf), abs=2e-3)


def test_the_critical_difference_is_that_of_the_textbook():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)  # Demsar 2006, section 3.2.2: CD 1.25


def test_friedmans_test_agrees_with_the_chi_squared_one_for_many_tasks(stats):
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(40, 4)) + np.array([0.0, 0.1, 0.3, 0.4])
    table = np.array([stats.rankdata(-row) for row in scores])
    assert friedman(table, 1) == pytest.approx(stats.friedmanchisquare(*table.T).pvalue, abs=0.015)


def test_ranks_share_ties_and_need_two_tasks():
    found = ranked({"x": {"a": 1.0, "b": 2.0, "c": 2.0}, "y": {"a": 0.0, "b": 5.0, "c": 1.0}}, 0)
    assert found.by_task["x"] == {"a": 3.0, "b": 1.5, "c": 1.5} and found.average == {"a": 3.0, "b": 1.25, "c": 1.75}
    assert ranked({"x": {"a": 1.0, "b": 2.0}}, 0) is None


def test_no_fewer_replicates_are_said_to_be_needed_than_the_test_can_find_anything_with():
    strong = [1.0, 1.1, 0.9]
    assert cohens_d(strong) > 5 and replicates_needed(strong) == 6
    assert smallest_p(6) <= 0.05 < smallest_p(5)


def test_differences_that_are_equal_but_for_rounding_have_no_spread():
    assert cohens_d([0.3 - 0.1, 0.4 - 0.2, 0.5 - 0.3]) is None
