"""What a run claims at its end: the answer on fresh seeds, each change, rolling back; and what chance alone does."""

import functools
import math
import random
from dataclasses import replace

import pytest

from bilevel.claim import PROVISIONAL, REFUTED, STANDS, Allowance, next_round, standing
from bilevel.claiming import Stage
from bilevel.codec import build, plain
from bilevel.objective import Objective
from bilevel.rollback import KeptChange, Question
from bilevel.space import Candidate

LOSS = Objective("loss")
SD = 1.0


def made(effects, least=3):
    """A question: change i sets parameter xi from 0 to 1, which lowers the loss by effects[i]."""
    names = [f"x{n}" for n in range(len(effects))]
    changes = tuple(KeptChange(f"root#{n + 1}", (name,), gain=0.1) for n, name in enumerate(names))
    baseline = Candidate(dict.fromkeys(names, 0))
    return Question(LOSS, baseline, Candidate(dict.fromkeys(names, 1)), changes, least)


def night(effects, seed, allowed=None, barred=None):
    """The claims after a stage on a task with these true effects, and its rounds."""
    question, allowed = made(effects), allowed or Allowance(20, 50)
    scores: dict = {}
    rng = random.Random(seed)
    rounds: list = []

    def score(candidate, number):
        return scores[candidate, number]

    while (found := next_round(question, rounds, 0, score, allowed)) is not None:
        for candidate in found.arms.values():
            if (candidate, found.seed) not in scores:
                on = values_of(question, candidate)
                loss = -sum(effect for effect, value in zip(effects, on, strict=True) if value)
                scores[candidate, found.seed] = loss + rng.gauss(0, SD)
        rounds.append(found)
    return standing(question, rounds, score), rounds


def values_of(question, wanted):
    return known(len(question.changes))[wanted]


@functools.cache
def known(size):
    """The values of every candidate that there can be, by id."""
    question = made((0.0,) * size)
    trials = [change.trial for change in question.changes]
    masks = [frozenset(t for bit, t in enumerate(trials) if mask >> bit & 1) for mask in range(1 << size)]
    return {made_of.id: tuple(made_of.params.values()) for made_of in map(question.without, masks)}


def share(count, n):
    return count / n, 1.96 * math.sqrt(max(count, 1) / n * (1 - count / n) / n)


@pytest.mark.parametrize("size", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 5))])
def test_without_any_effect_at_most_one_night_in_twenty_confirms_anything(size):
    nights = 2000
    confirmed = 0
    for seed in range(nights):
        stands, _ = night([0.0] * size, f"null {size} {seed}")
        confirmed += stands.whole.status == STANDS or any(claim.status == STANDS for claim in stands.changes)
    part, error = share(confirmed, nights)
    assert part + error <= 0.05, f"{part:.4f} +- {error:.4f}"


@pytest.mark.parametrize(("effect", "least"), [(2.0, 0.6), (3.0, 0.75)])
def test_real_effects_are_mostly_confirmed_within_the_default_of_a_night_of_a_hundred_ideas(effect, least):
    found = [claim for seed in range(150) for claim in night([effect] * 3, f"real {effect} {seed}")[0].changes]
    assert sum(claim.status == STANDS for claim in found) / len(found) >= least
    assert sum(claim.status == REFUTED for claim in found) / len(found) <= 0.05


def test_a_harmful_change_is_rolled_back_and_the_answer_without_it_is_measured_on_seeds_of_its_own():
    stands, rounds = night([3.0, -3.0], "harm", Allowance(20))
    good, bad = stands.changes
    assert bad.status == REFUTED and good.status == STANDS and stands.whole.status == STANDS
    assert dict(stands.answer.params) == {"x0": 1, "x1": 0} and [change.trial for change in stands.kept] == ["root#1"]
    first = next(n for n, each in enumerate(rounds) if each.arms["answer"] == stands.answer.id)
    assert len(bad.gains) == first and len(stands.whole.gains) <= len(rounds) - first


def test_a_tie_goes_to_the_simpler():
    question, rounds = made([0.0, 1.0]), []

    def score(candidate, number):
        return -float(values_of(question, candidate)[1])

    while (found := next_round(question, rounds, 0, score, Allowance(8))) is not None:
        rounds.append(found)
    stands = standing(question, rounds, score)
    assert [claim.status for claim in stands.changes] == [REFUTED, STANDS]


def test_where_nothing_helps_the_baseline_is_the_answer():
    stands, rounds = night([-2.0, -2.0], "worse")
    assert stands.answer == made([0, 0]).baseline and stands.whole.status in (REFUTED, PROVISIONAL)
    assert {claim.status for claim in stands.changes} == {REFUTED} and len(rounds) <= 6


def test_of_two_changes_either_of_which_does_what_both_do_one_stays():
    question = made((0.0, 0.0))
    for seed in range(60):
        rng, scores, rounds = random.Random(f"either {seed}"), {}, []

        def score(candidate, number, scores=scores):
            return scores[candidate, number]

        while (found := next_round(question, rounds, 0, score, Allowance(20))) is not None:
            for candidate in found.arms.values():
                if (candidate, found.seed) not in scores:
                    scores[candidate, found.seed] = -3.0 * max(values_of(question, candidate)) + rng.gauss(0, SD)
            rounds.append(found)
        stands = standing(question, rounds, score)
        assert stands.whole.status != REFUTED and max(stands.answer.params.values()) == 1


def stage_on(question, worth, seed, allowed):
    """The claims after a stage where an answer is worth what `worth` says of the values of its changes."""
    rng, scores, rounds = random.Random(seed), {}, []

    def score(candidate, number):
        return scores[candidate, number]

    while (found := next_round(question, rounds, 0, score, allowed)) is not None:
        for candidate in found.arms.values():
            if (candidate, found.seed) not in scores:
                scores[candidate, found.seed] = -worth(values_of(question, candidate)) + rng.gauss(0, SD)
        rounds.append(found)
    return standing(question, rounds, score), rounds


def test_of_changes_among_others_that_do_the_same_one_stays_and_what_helps_nothing_goes():
    """x0 and x1 do the same, x2 helps, x3 and x4 do nothing: beside the others neither x0 nor x1 is of any help."""

    def worth(values):
        return 3.0 * max(values[:2]) + 2.0 * values[2]

    left = {}
    for version in (1, 2):
        question = replace(made((0.0,) * 5), version=version)
        nights = [stage_on(question, worth, f"same {seed}", Allowance(20, 60)) for seed in range(20)]
        answers = [tuple(stands.answer.params.values()) for stands, _ in nights]
        left[version] = sum(worth(values) for values in answers) / len(answers)
        assert max(sum(len(set(each.arms.values())) for each in rounds) for _, rounds in nights) <= 66
    assert all(max(values[:2]) for values in answers)
    assert left[2] > 4.8 > 4.4 > left[1]


def test_a_stage_of_an_older_run_folder_goes_on_by_the_rule_that_it_began_with():
    old = plain(Stage("root", 3, 3, version=2))
    assert build(Stage, old).version == 2
    del old["version"]
    assert build(Stage, old).version == 1


def test_changes_of_no_help_are_looked_at_together_and_taken_back_at_once_where_they_help_nothing():
    def score_of(worth):
        return lambda candidate, number: -worth(values_of(question, candidate))

    question = made((0.0,) * 3)
    three = [("answer", "baseline", "without root#1", "without root#2", "without root#3")] * 3
    for worth, after, left in (
        (lambda on: float(on[0]), (1, 0, 0), ("root#1",)),  # the others do nothing
        (lambda on: on[0] + 2.0 * max(on[1:]), (1, 0, 1), ("root#1", "root#3")),  # the others do the same
    ):
        score, rounds = score_of(worth), []
        while len(rounds) < 5 and (found := next_round(question, rounds, 0, score, Allowance(20))) is not None:
            rounds.append(found)
        assert [tuple(each.arms) for each in rounds[:3]] == three
        assert tuple(rounds[3].arms) == ("answer", "without root#2, root#3"), "nobody else, for this answer is given up"
        assert values_of(question, rounds[4].arms["answer"]) == after
        stands = standing(question, rounds[:4], score)
        assert tuple(change.trial for change in stands.kept) == left
        assert [claim.status for claim in stands.changes].count(REFUTED) == 3 - len(left)


def test_where_changes_cannot_be_taken_back_together_the_worst_goes_alone():
    question, asked = made((0.0,) * 3), []

    def worth(values):
        return float(values[0]) - 0.1 * values[2]

    for barred in (True, False):  # by a rule of the task; because the candidate fails
        bad = question.without(frozenset({"root#2", "root#3"})).id
        rule = (lambda candidate: "too small" if candidate.id == bad else "") if barred else question.barred  # noqa: B023
        one, rounds = replace(question, barred=rule), []

        def score(candidate, number):
            asked.append(candidate)
            return None if candidate == bad else -worth(values_of(question, candidate))  # noqa: B023

        while (found := next_round(one, rounds, 0, score, Allowance(8))) is not None:
            rounds.append(found)
        stands = standing(one, rounds, score)
        assert dict(stands.answer.params) == {"x0": 1, "x1": 1, "x2": 0}
        assert (bad in asked) != barred


def test_the_measurements_are_bounded_but_the_answer_always_has_its_least_pairs():
    _, rounds = night([0.5] * 4, "bound", Allowance(20, 24))
    assert sum(len(set(each.arms.values())) for each in rounds) <= 24 + 2 * 3
    stands, rounds = night([0.5], "none", Allowance(20, 0))
    assert len(rounds) == 3 and len(stands.whole.gains) == 3


def test_a_change_without_which_the_candidate_fails_stays():
    question = made([1.0, 1.0])
    needed = question.changes[0].taken_from(question.incumbent, question.baseline).id
    rounds: list = []

    def score(candidate, number):
        return None if candidate == needed else -sum(values_of(question, candidate))

    while (found := next_round(question, rounds, 0, score, Allowance(10))) is not None:
        rounds.append(found)
    stands = standing(question, rounds, score)
    assert stands.changes[0].status == PROVISIONAL and "fails" in stands.changes[0].note
    assert stands.answer == question.incumbent and stands.whole.status == STANDS


@pytest.mark.parametrize(("every", "fails"), [(1, "answer"), (7, "answer"), (1, "baseline")])
def test_an_answer_that_fails_on_a_fresh_seed_is_not_confirmed_and_the_stage_ends(every, fails):
    question = made([3.0])
    failing = question.incumbent.id if fails == "answer" else question.baseline.id
    rounds: list = []

    def score(candidate, number):
        if candidate == failing and number % every == 0:
            return None
        return -3.0 * values_of(question, candidate)[0]

    while (found := next_round(question, rounds, 0, score, Allowance(12))) is not None:
        rounds.append(found)
    stands = standing(question, rounds, score)
    assert len(rounds) <= 12 and stands.whole.status == PROVISIONAL and stands.changes[0].status == PROVISIONAL
    assert ("it failed on" in stands.whole.note) == (fails == "answer")
    assert ("the baseline failed on" in stands.whole.note) == (fails != "answer")
    assert stands.whole.note.endswith("mean and interval are of the seeds on which both have a score")


def test_a_rolled_back_answer_that_fails_is_given_up():
    question = made([0.0, 0.0, 2.0])
    alone = question.without(frozenset({"root#1"})).id
    rounds: list = []

    def score(candidate, number):
        on = values_of(question, candidate)
        if candidate == alone and rounds and number >= 4:
            return None
        return -2.0 * on[2] - (0.1 * on[1])

    while (found := next_round(question, rounds, 0, score, Allowance(12))) is not None:
        rounds.append(found)
    stands = standing(question, rounds, score)
    assert stands.answer == question.incumbent and "fails" in stands.changes[0].note
