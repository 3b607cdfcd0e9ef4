"""What the library's proposing mechanisms change: which candidate runs, and what it is."""

import pytest
from library_searches import SPACE, START, Listening, count, noisy, search

from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.researchers import make
from bilevel.researchers.stuck import Stuck
from bilevel.trial import Status

WORSE = tuple({"decay": 0.6 + 0.03 * n} for n in range(9))

# ---- semantic duplicate ----


def test_the_same_idea_in_other_words_is_turned_back_and_the_next_draft_runs():
    trace = search([{"decay": 0.8}, {"decay": 0.75}, {"depth": 6}], "semantic_duplicate", 2)
    assert trace[2].changes.keys() == {"depth"}
    assert "the idea of trial 1 in other words (a large step of decay up" in trace[2].turned_back[0].reason
    assert count(trace, "semantic_duplicate", "propose").decisive == 1


@pytest.mark.parametrize(
    "other", [{"decay": 0.2}, {"decay": 0.55}, {"depth": 6}, {"decay": 0.8, "depth": 6}, {"rate": 0.3}]
)
def test_another_direction_size_or_parameter_is_another_idea(other):
    trace = search([{"decay": 0.8}, other], "semantic_duplicate", 2)
    assert trace[2].changes.keys() == other.keys() and trace[2].turned_back == ()
    assert count(trace, "semantic_duplicate", "propose").touched == 0


def test_what_was_kept_may_be_done_again_and_what_failed_elsewhere_too():
    trace = search([{"decay": 0.45}, {"decay": 0.4}, {"decay": 0.35}], "semantic_duplicate", 3)
    assert [trial.candidate.params["decay"] for trial in trace] == [0.5, 0.45, 0.4, 0.35]
    moved = search([{"decay": 0.75}, {"decay": 0.1}, {"decay": 0.35}], "semantic_duplicate", 3)
    assert moved[3].candidate.params["decay"] == 0.35 and not moved[3].turned_back  # a large step up, but from 0.1


def test_the_same_option_is_the_same_idea_and_an_idea_in_flight_counts():
    again = search([{"shape": "long"}, {"shape": "long", "edition": 1}, {"bias": True}], "semantic_duplicate", 2)
    assert again[2].changes.keys() == {"bias"}
    flying = search([{"decay": 0.8}, {"decay": 0.79}, {"bias": True}], "semantic_duplicate", 2, workers=2)
    assert flying[2].changes.keys() == {"bias"}


# ---- surrogate ----


def test_the_surrogate_puts_the_draft_first_that_the_scores_speak_for():
    past = tuple({"decay": 0.5 + 0.05 * n} for n in range(1, 7))
    trace = search([*past, [{"decay": 0.89}, {"decay": 0.45}]], "surrogate", 7, patience=100)
    assert trace[7].candidate.params["decay"] == 0.45
    assert trace[7].proposal.author == "scripted"
    assert count(trace, "surrogate", "propose").decisive == 1
    alone = search([*past, [{"decay": 0.89}, {"decay": 0.45}]], "surrogate", 7, patience=100, least=100)
    assert alone[7].candidate.params["decay"] == 0.89
    assert count(alone, "surrogate", "propose").touched == 0


def test_the_surrogate_takes_over_on_a_plateau_and_finds_what_the_researcher_does_not():
    trace = search(Stuck(), "surrogate", 40)
    mine = [trial for trial in trace if trial.proposal.author == "surrogate"]
    assert count(trace, "surrogate", "propose").decisive == len(mine) >= 8
    assert any(trial.decision.keep for trial in mine)
    alone = search(Stuck(), "surrogate", 40, least=1000)
    assert trace.incumbent.score < alone.incumbent.score


def test_the_surrogate_learns_from_failures_where_not_to_go():
    crashes = tuple({"shape": "long", "decay": 0.1 * n} for n in range(8))
    fine = tuple({"decay": 0.5 + 0.01 * n} for n in range(1, 8))
    replies = [reply for pair in zip(crashes, fine, strict=False) for reply in pair]
    trace = search([*replies, [{"shape": "long", "bias": True}, {"bias": True}]], "surrogate", 15, patience=100)
    assert trace[15].candidate.params["shape"] == "flat"


def test_the_surrogate_is_the_same_with_workers_run_twice_and_proposes_nothing_twice():
    first, second = (search(Stuck(), "surrogate", 24, workers=3, patience=0) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    ran = [trial.candidate.id for trial in first if trial.runs]
    assert len(set(ran)) == len(ran)


# ---- crossover ----


def test_a_child_of_two_elites_lies_between_them():
    replies = [{"decay": 0.2, "rate": 0.05, "shape": "round"}, {"decay": 0.3, "depth": 7}, {"bias": True}]
    trace = search(replies, "crossover", 3, every=3, patience=0, stretch=0.0, transplant=0.0)
    child, notes = trace[3].candidate.params, trace[3].proposal.notes["crossover"]
    mother, father = (trace[number].candidate.params for number in notes)
    for name, domain in SPACE.domains.items():
        if name in ("shape", "bias", "edition"):
            assert child[name] in (mother[name], father[name])
        else:
            low, high = sorted((domain.unit(mother[name]), domain.unit(father[name])))
            assert low - 1e-6 <= domain.unit(child[name]) <= high + 1e-6
    assert trace[3].candidate.id not in {trial.candidate.id for trial in trace[:3]}
    assert count(trace, "crossover", "propose").decisive == 1


def test_no_child_is_made_of_two_elites_that_differ_in_one_parameter():
    trace = search([{"decay": 0.2}, {"decay": 0.15}, {"bias": True}], "crossover", 3, every=1, patience=0)
    assert count(trace, "crossover", "propose").touched == 0


def test_a_group_that_was_changed_together_is_transplanted_whole_to_where_the_search_stands():
    away = (Guest("restart", source("restart", every=2, patience=0)),)
    replies = [{"decay": 0.2, "shape": "round"}, {"rate": 0.2}, {"rate": 0.05}, {"rate": 0.3}, {"rate": 0.3}]
    trace = search(replies, "crossover", 4, every=4, patience=0, transplant=1.0, others=away)
    assert trace[4].parent.id == trace[3].candidate.id and trace[3].parent.id == START.id
    assert trace[4].proposal.notes["transplant"] == 1
    assert {name: change.new for name, change in trace[4].changes.items()} == {"decay": 0.2, "shape": "round"}
    assert trace[4].candidate.params["rate"] == 0.05
    assert count(trace, "crossover", "propose").decisive == 1


def test_crossover_leaves_a_search_alone_that_finds_something():
    replies = [{"decay": 0.5 - 0.03 * n} for n in range(1, 10)]
    trace = search(replies, "crossover", 9)
    assert count(trace, "crossover", "propose").touched == 0


# ---- knock-out ----


def test_a_knock_out_sets_one_parameter_back_and_tells_what_it_is_worth():
    researcher = Listening(({"decay": 0.2, "bias": True}, {"shape": "round"}, {"depth": 1}, {"depth": 2}, {"depth": 3}))
    trace = search(researcher, "knock_out", 5, every=3, patience=0)
    assert trace[3].proposal.notes["knock out"] == "decay" and trace[3].changes["decay"].new == 0.5
    assert trace[3].changes.keys() == {"decay"}
    assert count(trace, "knock_out", "propose").decisive == 1
    assert "decay = 0.2 instead of 0.5: worth 0.15" in researcher.told[4] and "trial 3" in researcher.told[4]
    assert [researcher.told[number] for number in (1, 2, 3)] == ["", "", ""]


def test_what_was_never_knocked_out_comes_before_what_was():
    replies = ({"decay": 0.2, "depth": 6}, {"bias": True}, {"shape": "round"}, {"bias": True})
    trace = search(replies, "knock_out", 4, every=2, patience=0)
    assert [trial.decision.keep for trial in trace] == [True, True, False, True, False]
    assert trace[2].proposal.notes["knock out"] == "decay"
    assert trace[4].proposal.notes["knock out"] == "depth"  # from the new place decay would be a fresh candidate too


def test_a_useless_setting_goes_back_and_that_it_was_worth_nothing_is_told():
    researcher = Listening(({"decay": 0.2, "bias": True}, {"decay": 0.5}, {"bias": False}, {"depth": 3}))
    trace = search(researcher, "knock_out", 4, every=100)
    assert [trial.decision.keep for trial in trace] == [True, True, False, False, False]
    assert "bias = True instead of False: worth nothing beyond the noise margin" in researcher.told[4]


def test_there_is_nothing_to_knock_out_at_the_baseline_or_while_the_search_goes_well():
    assert count(search(WORSE[:6], "knock_out", 6, every=1, patience=0), "knock_out", "propose").touched == 0
    better = [{"decay": 0.5 - 0.03 * n} for n in range(1, 7)]
    assert count(search(better, "knock_out", 6, every=1), "knock_out", "propose").touched == 0


def test_a_setting_without_which_the_trial_fails_is_told_as_such():
    def needs_bias(params, seed):
        if params["decay"] < 0.3 and not params["bias"]:
            raise ValueError("needs a bias")
        return params["decay"]

    researcher = Listening(({"decay": 0.2, "bias": True}, {"bias": False}, {"depth": 2}))
    search(researcher, "knock_out", 3, needs_bias, every=100)
    assert "bias = True instead of False: without it the trial has no score (exit, trial 2)" in researcher.told[3]


# ---- re-measuring ----


def test_the_incumbent_is_measured_again_on_seeds_of_its_own_and_its_luck_is_told():
    researcher = Listening(({"decay": 0.1}, {"depth": 2}, {"depth": 3}, {"depth": 4}, {"bias": True}, {"batch": 16}))
    trace = search(researcher, "remeasure", 6, noisy, calibration=3, every=4, repeats=3, most=4)
    again = trace[4]
    assert again.proposal.repeats == 3 and again.candidate.id == trace[1].candidate.id
    assert sorted(run.seed for run in again.runs) == [1, 2, 3]
    assert count(trace, "remeasure", "propose").decisive == 1
    scores = [run.metrics["loss"] for trial in (trace[1], again) for run in trial.runs]
    assert f"is {sum(scores) / 4:.6g} on average over 4 seeds" in researcher.told[5]
    assert researcher.told[4] == ""


def test_nothing_is_measured_again_where_there_is_no_noise():
    trace = search(WORSE, "remeasure", 9, calibration=3, every=1)
    assert count(trace, "remeasure", "propose").touched == 0


def test_re_measuring_ends_when_enough_is_known():
    trace = search(make("random"), "remeasure", 12, noisy, calibration=3, every=1, most=4)
    by_candidate = {}
    for trial in trace:
        by_candidate.setdefault(trial.candidate.id, []).extend(run.seed for run in trial.runs)
    assert max(len(seeds) for seeds in by_candidate.values()) <= 5
    assert all(len(set(seeds)) == len(seeds) for seeds in by_candidate.values())
    assert not any(trial.status is Status.REFUSED for trial in trace)
