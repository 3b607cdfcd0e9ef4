"""Advice drawn from the trace: what is told, and that a researcher which heeds advice then does something else."""

from dataclasses import replace

import pytest
from searches import TASK, count, guest, loss, scripted, told

from bilevel.codec import derive_seed

ALONE = ("mix_b",)  # what a researcher changes that was told nothing


def advice(found, name):
    """The counts of a mechanism's advice; it was given, and the last trial is another than without it."""
    counted = count(found.trace, name, "advise")
    assert counted.touched > 0 and counted.decisive > 0 and found.last != ALONE
    return counted


def test_without_advice_the_researcher_does_what_it_always_does():
    assert told([{"decay": 0.9}]).last == ALONE


def test_step_sizes_that_helped_and_hurt():
    replies = [{"decay": 0.45}, {"decay": 0.4}, {"decay": 0.9}, {"decay": 0.95}]
    found = told(replies, "step_sizes")
    assert "small steps helped 2 and hurt 0 times, mean gain +0.045" in found.text
    assert "large steps helped 0 and hurt 2 times" in found.text
    assert count(found.trace, "step_sizes", "advise").touched == 3


def test_the_roughness_of_a_parameter():
    def rough(params, seed):
        return loss(params, seed)["loss"] + (0.2 if round(params["mix_a"] * 20) % 2 else 0.0)

    smooth = [{"decay": value} for value in (0.55, 0.6, 0.7, 0.8, 0.9)]
    jagged = [{"mix_a": value} for value in (0.25, 0.3, 0.35, 0.4, 0.45)]
    found = told([*jagged, *smooth], "roughness", task=replace(TASK, function=rough))
    assert "mix_a is rough: the score turns round 4 times in 6 points" in found.text
    assert "decay is smooth: the score turns round 0 times in 6 points" in found.text
    assert advice(found, "roughness") and found.last == ("mix_a",)


def test_the_noise_floor_and_the_signal_of_each_gain():
    def noisy(params, seed):
        return loss(params, seed)["loss"] + derive_seed("noise", seed) % 1000 / 50_000

    found = told([{"decay": 0.2}, {"depth": 8}], "noise_report", calibration=3, task=replace(TASK, function=noisy))
    floor = found.trace.noise.sd * 2**0.5
    gain = found.trace.gain_of(found.trace[1]) / floor
    assert f"two runs of one candidate differ by about {floor:.2g}" in found.text
    assert f"trial 1 (decay): {gain:.1f} times the noise, clear" in found.text
    assert advice(found, "noise_report")


def test_pair_interactions():
    replies = [{"bias": True}, {"shape": "round"}, {"bias": True, "shape": "round"}]
    found = told(replies, "pair_interactions")
    assert "synergy of bias and shape (trial 3): +0.1" in found.text
    assert advice(found, "pair_interactions")


def test_correlations_among_the_elites():
    values = [(0.45, 0.3), (0.4, 0.4), (0.35, 0.5), (0.3, 0.6)]
    replies = [{"decay": decay, "mix_a": mix} for decay, mix in values]
    found = told([*replies, {"decay": 0.9}], guest("elite_correlations", least=5))
    assert "if decay goes up, mix_a goes down" in found.text
    assert advice(found, "elite_correlations") and found.last == ("decay",)


def test_the_effect_of_a_change_given_the_values_of_the_others():
    def crossed(params, seed):
        return 2 + loss(params, seed)["loss"] + (params["mix_a"] - 0.5) * (params["mix_b"] - 0.5)

    replies = [{"mix_a": 0.25}, {"mix_b": 0.6}, {"mix_a": 0.3}]
    found = told(replies, "conditional_effects", task=replace(TASK, function=crossed))
    assert "raising mix_a helps where mix_b is low: +0.01 where it is low, -0.005 where it is high" in found.text
    assert advice(found, "conditional_effects") and found.last == ("mix_a",)


def test_attribution_of_a_joint_change_to_its_parts():
    replies = [{"decay": 0.6}, {"decay": 0.6, "depth": 8}]
    found = told(replies, "attribution")
    assert "trial 2 gained -0.03: decay -0.11 alone; left for depth: +0.08" in found.text
    assert advice(found, "attribution") and found.last == ("decay",)


def test_layers_of_old_and_recent_settings():
    replies = [{"decay": 0.4}, {"mix_a": 0.3}, {"mix_a": 0.25}, {"rate": 0.05}, {"depth": 5}]
    found = told(replies, "layers")
    assert "recent, change them first: depth (1 trials)" in found.text
    assert "proven, touch them last: decay (5 trials)" in found.text
    assert advice(found, "layers") and found.last == ("depth",)


def test_settled_parameters_are_frozen_and_volatile_ones_recommended():
    replies = [{"decay": 0.6}, {"decay": 0.7}, {"decay": 0.8}, {"depth": 5}, {"depth": 6}, {"decay": 0.9}]
    found = told(replies, "settled")
    assert "volatile, worth another look: depth\nsettled: decay" in found.text
    assert advice(found, "settled") and found.last == ("depth",)
    assert "decay is frozen by settled" in found.trace[6].turned_back[0].reason
    assert count(found.trace, "settled", "constrain").decisive > 0
    least = told(replies, guest("settled", least=10))
    assert count(least.trace, "settled", "constrain").touched == 0  # that many stay active, so none is frozen


def test_intervals_in_which_everything_failed_are_told_and_refused():
    replies = [{"decay": 0.9}, {"decay": 0.95}, {"decay": 0.85}, {"depth": 5}]
    found = told(replies, "failed_intervals")
    assert "decay from 0.8 to 1.0: 2 changes, none was kept" in found.text
    assert "lies in an interval in which every change failed" in found.trace[3].turned_back[0].reason
    assert found.trace[3].changes.keys() == {"depth"}
    assert count(found.trace, "failed_intervals", "propose").decisive == 1
    assert count(found.trace, "failed_intervals", "advise").touched > 0


def test_the_coverage_of_each_range():
    found = told([{"rate": value} for value in (0.001, 0.01, 0.5, 0.9)], guest("coverage", told=10))
    assert "batch: 10% of its range" in found.text and "rate: 50% of its range" in found.text
    assert advice(found, "coverage") and found.last == ("batch",)


def test_search_health_with_directives():
    found = told([{"decay": value} for value in (0.6, 0.7, 0.8, 0.9)], "search_health")
    assert "entropy 0.00, breadth 1, velocity 0 per trial" in found.text
    assert "You circle around decay; now change: rate, batch, depth, width." in found.text
    assert "Nothing moves: take larger steps." in found.text
    assert advice(found, "search_health") and found.last == ("decay",)
    lively = told([{"decay": 0.4}, {"depth": 5}, {"rate": 0.12}, {"mix_a": 0.1}], "search_health")
    assert "circle" not in lively.text and "larger steps" not in lively.text


def test_the_calibration_of_predictions():
    replies = [{"decay": 0.4}, {"decay": 0.9}, {"decay": 0.8}]
    found = told(replies, "calibration", predicted=0.1)
    assert "decay: too hopeful by" in found.text and "right sign 1 of 3 times" in found.text
    assert advice(found, "calibration").decisive == 1 and found.last == ("decay",)


def test_a_surprise_is_followed_up_first():
    def turning(params, seed):
        return {"loss": 2 - params["mix_a"] if params["mix_a"] > 0.4 else 2 + params["mix_a"]}

    replies = [{"mix_a": 0.25}, {"mix_a": 0.3}, {"mix_a": 0.45}, {"depth": 5}]
    found = told(replies, "surprise", task=replace(TASK, function=turning), more=0)
    assert [trial.decision.keep for trial in found.trace] == [True, False, False, True, True]
    assert found.trace[4].changes["mix_a"].new == pytest.approx(0.7)
    assert "trial 3 improved against all experience with mix_a" in found.text
    assert count(found.trace, "surprise", "propose").decisive == 1
    assert count(found.trace, "surprise", "advise").touched == 1
    assert scripted(replies, task=replace(TASK, function=turning))[4].changes.keys() == {"depth"}
