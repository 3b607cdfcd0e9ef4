"""The surrogate of the gpt task: how well it agrees with what was measured, and that it says what it is."""

import random

import pytest

from bilevel.lab import Bench, Lab
from bilevel.tasks.catalog import find
from bilevel.tasks.gpt_table import BASELINE, SEED_SD, measured, rows, surrogate
from bilevel.trial import Status


def run(task, candidate, seed=1):
    return task.run(candidate, Bench(Lab(), "8s", 0, seed))


def test_it_is_labelled_as_a_surrogate():
    assert "surrogate" in find("gpt-table").brief.splitlines()[0]


def test_its_leave_one_out_error_and_rank_correlation_are_as_documented():
    quality = surrogate().quality
    assert quality.candidates > 90
    assert quality.rmse < 0.045 and quality.rmse_good < 0.025
    assert quality.rank > 0.97
    assert "leave-one-out" in str(quality)


def test_only_comparable_rows_count_and_seeds_are_averaged():
    assert all(row["budget_kind"] == "virtual" and row["budget"] == "8.0" for _, row in rows())
    assert not any(row["phase"].startswith("explore") for _, row in rows())
    assert max(len(values) for values in measured().values()) >= 8


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ({}, 0.0),
        ({"TOTAL_BATCH_SIZE": 1024, "DEVICE_BATCH_SIZE": 8}, -0.196),
        ({"TOTAL_BATCH_SIZE": 16384}, +0.28),
        ({"DEPTH": 2}, -0.169),
        ({"UNEMBEDDING_LR": 0.016}, -0.125),
        ({"WARMDOWN_RATIO": 0.2}, -0.05),
    ],
)
def test_the_measured_effects_are_there(change, effect):
    assert surrogate().predict({**BASELINE, **change}) == pytest.approx(2.867 + effect, abs=0.03)


def test_an_effect_at_a_large_batch_vanishes_at_a_small_one():
    small = {**BASELINE, "TOTAL_BATCH_SIZE": 1024, "DEVICE_BATCH_SIZE": 8}
    assert abs(surrogate().predict({**small, "WARMDOWN_RATIO": 0.2}) - surrogate().predict(small)) < 0.015


def test_a_smaller_batch_alone_crashes_as_the_script_does():
    task = find("gpt-table")
    failed = run(task, task.baseline().with_params(TOTAL_BATCH_SIZE=1024))
    assert failed.status is Status.EXIT
    assert "must be a multiple of DEVICE_BATCH_SIZE * sequence length (32 * 128 = 4096)" in failed.log.splitlines()[-1]


def test_seeds_differ_by_the_measured_noise_and_repeat_exactly():
    task = find("gpt-table")
    scores = [run(task, task.baseline(), seed).metrics["val_bpb"] for seed in range(300)]
    mean = sum(scores) / len(scores)
    spread = (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
    assert spread == pytest.approx(SEED_SD, rel=0.2)
    assert run(task, task.baseline(), 5).metrics["val_bpb"] == scores[5]


def test_every_prediction_is_plausible():
    task = find("gpt-table")
    rng = random.Random(0)
    for _ in range(500):
        assert 2.4 < surrogate().predict(task.space.sample(rng, task.baseline()).params) <= 4.5


def test_the_parameters_and_the_baseline_are_those_of_the_task_it_stands_for():
    gpt, table = find("gpt"), find("gpt-table")
    assert set(table.space.domains) == set(gpt.space.unlocked)
    for name, value in table.baseline().params.items():
        assert gpt.baseline().params[name] == value
