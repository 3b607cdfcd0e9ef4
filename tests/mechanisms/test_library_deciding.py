"""What the library's choosing and judging mechanisms change: the parent, and whether a candidate is kept."""

import pytest
from library_searches import count, loss, noisy, search, task

from bilevel.budget import Budget
from bilevel.codec import derive_seed
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.researchers import make
from bilevel.researchers.scripted import Scripted
from bilevel.settings import Settings
from bilevel.situations import Bowl, Walk
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask
from bilevel.tasks.sphere import sphere
from bilevel.trial import Run, Status

WORSE = tuple({"decay": 0.6 + 0.03 * n} for n in range(9))

# ---- elite ----


def test_on_a_plateau_the_next_change_starts_from_the_lean_elite_when_the_best_one_is_barren():
    good = ({"decay": 0.3}, {"decay": 0.1, "rate": 0.05, "shape": "round"})
    crashes = tuple({"shape": "long", "depth": depth} for depth in (1, 2, 3))
    trace = search([*good, *crashes, {"bias": True}], "elite", 6, patience=3, tolerance=0.7)
    assert [trial.decision.keep for trial in trace[:3]] == [True, True, True]
    assert [trial.parent.id for trial in trace[3:6]] == [trace[2].candidate.id] * 3
    assert trace[6].parent.id == trace[1].candidate.id and trace[6].moved  # one change from the baseline, not three
    assert count(trace, "elite", "select").decisive == 1


def test_an_elite_with_many_barren_children_gives_way_to_another():
    good = ({"decay": 0.3}, {"decay": 0.1, "rate": 0.05, "shape": "round"})
    bad = tuple({"depth": 9 - n % 4 - 5 * (n % 2), "batch": 16 * 2 ** (n % 6)} for n in range(12))
    trace = search([*good, *bad], "elite", 14, patience=2)
    parents = [trial.parent.id for trial in trace[5:] if trial.runs]
    assert len(set(parents)) >= 2
    best = trace[2].candidate.id
    assert set(parents) != {best}


def test_one_elite_alone_is_no_choice_and_neither_is_a_search_that_goes_well():
    assert count(search([{"shape": "long"}] * 6, "elite", 6), "elite", "select").touched == 0
    better = [{"decay": 0.5 - 0.03 * n} for n in range(1, 9)]
    assert count(search(better, "elite", 8), "elite", "select").touched == 0


def test_far_worse_candidates_are_no_elites():
    replies = [{"decay": 0.1, "rate": 0.05, "shape": "round"}, *({"decay": 0.6 + 0.03 * n} for n in range(8))]
    trace = search(replies, "elite", 9, patience=2, tolerance=0.1)
    assert count(trace, "elite", "select").touched == 0


# ---- annealing ----


def test_a_worse_candidate_is_kept_and_the_search_goes_on_from_it_while_the_incumbent_stays():
    trace = search(WORSE[:4], "annealing", 4, heat=1e6, cooling=1.0)
    assert all(trial.decision.keep for trial in trace)
    assert "annealing: kept with a probability of" in trace[1].decision.reason
    assert trace[2].parent.id == trace[1].candidate.id
    assert trace.incumbent.number == 0
    assert count(trace, "annealing", "decide").decisive == 4


def test_the_probability_falls_with_the_loss_and_with_time():
    def kept(**parameters):
        traces = [search(WORSE, "annealing", 9, seed=seed, **parameters) for seed in range(12)]
        return [sum(trace[number].decision.keep for trace in traces) for number in range(1, 10)]

    hot, cold = kept(heat=2.0, cooling=1.0), kept(heat=2.0, cooling=0.5)
    assert sum(cold) < sum(hot)
    assert sum(cold[4:]) < sum(cold[:4])
    small = [search([{"decay": 0.501}, *WORSE[5:]], "annealing", 4, seed=s, heat=0.5) for s in range(12)]
    assert sum(t[2].decision.keep for t in small) < 12


def test_a_large_loss_is_kept_more_rarely_than_a_small_one():
    replies = ({"decay": 0.52}, {"decay": 0.54}, {"decay": 0.56}, {"decay": 0.9, "rate": 1.0}, {"decay": 0.53})
    traces = [search(replies, "annealing", 5, seed=seed, heat=0.7, cooling=1.0) for seed in range(20)]
    far, near = (sum(trace[number].decision.keep for trace in traces) for number in (4, 5))
    assert far == 0 and near >= 3


def test_without_heat_and_without_a_score_nothing_is_kept():
    assert count(search(WORSE, "annealing", 9, heat=0.0), "annealing", "decide").touched == 0
    crashes = search([{"shape": "long"}] * 3, "annealing", 3, heat=1e6)
    assert not any(trial.decision.keep for trial in crashes[1:])


# ---- noise-aware ----


def test_a_gain_that_does_not_stand_on_further_seeds_is_discarded():
    lucky = {"bias": True}

    def function(params, seed):
        first = seed == derive_seed(3, "evaluation", 0)
        return (
            loss(params, 0)
            + seed % 7 * 0.005
            - (0.3 if params["bias"] and first else 0.0)
            + (0.05 if params["bias"] else 0.0)
        )

    default = search([lucky], "simpler", 1, function, calibration=3)
    assert default[1].decision.keep
    trace = search([lucky], "noise_aware", 1, function, calibration=3)
    assert not trace[1].decision.keep and len(trace[1].runs) == 3
    assert "does not stand after repeats" in trace[1].decision.reason
    assert count(trace, "noise_aware", "decide").decisive == 1
    assert count(trace, "noise_aware", "plan").decisive >= 1


def test_a_small_gain_that_stands_is_kept_though_one_run_could_not_show_it():
    def function(params, seed):
        return loss(params, 0) + seed % 11 * 0.01 - 0.03 * params["bias"]

    plain = search([{"bias": True}], "simpler", 1, function, calibration=3)
    assert not plain[1].decision.keep and "within the noise margin" in plain[1].decision.reason
    trace = search([{"bias": True}], "noise_aware", 1, function, calibration=3, seeds=6)
    assert len(trace[1].runs) == 6
    assert trace[1].decision.keep is False  # the baseline shares three seeds only, whatever was run
    for gain in (0.3, 0.7, 1.3):  # in margins of single runs: three seeds divide it by 1.73
        margin = plain.noise.margin

        def better(params, seed, gain=gain * margin):
            return loss(params, 0) + seed % 11 * 0.01 - gain * params["bias"]

        three = search([{"bias": True}], "noise_aware", 1, better, calibration=3)
        assert three[1].decision.keep is (gain > 3**-0.5)


def test_a_clearly_worse_candidate_is_not_repeated_and_nothing_is_without_noise():
    trace = search([{"decay": 0.9}], "noise_aware", 1, noisy, calibration=3)
    assert len(trace[1].runs) == 1 and not trace[1].decision.keep
    still = search(({"decay": 0.45}, {"decay": 0.9}), "noise_aware", 2, calibration=3)
    assert count(still, "noise_aware", "plan").touched == count(still, "noise_aware", "decide").touched == 0


def test_a_tie_goes_to_the_candidate_with_fewer_settings():
    def function(params, seed):
        return loss(params, 0) + seed % 11 * 0.01

    replies = [{"decay": 0.1, "bias": True}, {"bias": False}]
    trace = search(replies, "noise_aware", 2, function, calibration=3)
    assert trace[1].decision.keep and trace[2].decision.keep
    assert "a tie that goes to the simpler candidate" in trace[2].decision.reason
    assert trace.current.params["bias"] is False
    other = search([{"decay": 0.1}, {"bias": True}], "noise_aware", 2, function, calibration=3)
    assert not other[2].decision.keep


class Programs(FunctionTask):
    """Equal losses up to the seed's noise; the length of a candidate's program is recorded."""

    def run(self, candidate, bench):
        metrics = {"loss": 1.0 + bench.seed % 11 * 0.01}
        length = {"program_characters": 100 - int(10 * candidate.params["rate"])}
        return Run(bench.rung, bench.seed, Status.OK, metrics, data=length)


@pytest.mark.parametrize(("rate", "kept"), [(0.9, True), (0.1, False)])
def test_a_tie_goes_to_the_shorter_program(rate, kept):
    space = Space({"rate": Float(0.0, 1.0)})
    small = Programs("programs", loss, space, Candidate({"rate": 0.5}), task().objective, "equal ones")
    spec = LoopSpec(
        "inner", small, Scripted(({"rate": rate},)), (Guest("noise_aware", source("noise_aware")),), Settings(),
        Budget(trials=1), seed=3, calibration=3,
    )  # fmt: skip
    assert Loop(spec, Lab()).run()[1].decision.keep is kept


# ---- all of them in a search ----


@pytest.mark.parametrize(("name", "hook"), [("elite", "select"), ("annealing", "decide"), ("noise_aware", "decide")])
def test_in_a_real_search_decisions_are_others(name, hook):
    place = sphere(noise=0.05, crash=True) if name == "noise_aware" else Bowl()
    spec = LoopSpec("inner", place, Walk(), (Guest(name, source(name)),), budget=Budget(trials=40), seed=1)
    trace = Loop(spec, Lab()).run()
    assert trace.ledger()[name][hook].decisive > 0 and not any(trial.faults for trial in trace)


def test_they_work_with_workers_and_give_one_trace():
    for name in ("elite", "annealing", "noise_aware"):
        first, second = (search(make("random"), name, 20, noisy, calibration=3, workers=workers) for workers in (3, 3))
        assert first.fingerprint() == second.fingerprint()
