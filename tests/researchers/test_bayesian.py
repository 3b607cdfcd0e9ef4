"""The default researcher: it finds more than random search does, whatever the parameters are, and is at home in every
situation that a search comes to."""

import random
import time
from dataclasses import replace

import pytest

from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.objective import Objective
from bilevel.researchers import make
from bilevel.settings import Settings
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Status
from bilevel.view import Briefing

SPACE = Space(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "width": Int(16, 1024, power_of_two=True),
        "depth": Int(1, 8),
        "kind": Choice(("plain", "wide", "deep", "odd")),
        "share": Choice((0.0, 0.1, 0.25, 0.5)),
        "bias": Bool(),
    }
)
START = Candidate({"rate": 0.5, "width": 16, "depth": 1, "kind": "odd", "share": 0.5, "bias": False})


def bowl(params, seed) -> float:
    """0 at one point, where every parameter has its best value; the kinds matter with the depth."""
    u = {name: SPACE.domains[name].unit(value) for name, value in params.items()}
    loss = 4 * (u["rate"] - 0.4) ** 2 + (u["width"] - 5 / 6) ** 2 + 0.5 * u["share"] + 0.2 * (not params["bias"])
    return loss + (0.1 * abs(params["depth"] - 4) if params["kind"] == "wide" else 0.6 + 0.05 * params["depth"])


def searched(function, space, start, researcher="bayesian", trials=30, seed=0, workers=1, minimize=True, **settings):
    task = FunctionTask("t", function, space, start, Objective("loss", minimize=minimize), "b")
    budget = Budget(trials=trials)
    spec = LoopSpec(
        "inner", task, make(researcher), settings=Settings(**settings), budget=budget, seed=seed, calibration=1
    )
    loop = Loop(spec, Lab(workers=workers))
    loop.run()
    return loop


def best(loop) -> float:
    return loop.trace.incumbent.score


def test_thirty_trials_find_what_random_search_does_not():
    mine = [best(searched(bowl, SPACE, START, seed=seed)) for seed in range(2)]
    others = [best(searched(bowl, SPACE, START, "random", seed=seed)) for seed in range(2)]
    assert all(a < b for a, b in zip(mine, others, strict=True))
    assert sum(mine) < 0.5 * sum(others)


def test_larger_is_better_where_the_objective_says_so():
    up = searched(lambda params, seed: -bowl(params, seed), SPACE, START, trials=14, minimize=False)
    down = searched(bowl, SPACE, START, trials=14)
    assert [t.candidate.id for t in up.trace] == [t.candidate.id for t in down.trace]


@pytest.mark.parametrize("name", SPACE.domains)
def test_a_single_parameter_of_each_kind_is_searched_until_nothing_is_left(name):
    space = Space({name: SPACE.domains[name]})
    rest = dict(START.params)
    loop = searched(
        lambda params, seed: bowl({**rest, **params}, seed), space, Candidate({name: rest[name]}), trials=12
    )
    assert not any(trial.faults for trial in loop.trace)
    tried = {trial.candidate.id for trial in loop.trace if trial.runs}
    assert len(tried) == {"rate": 13, "width": 7, "depth": 8, "kind": 4, "share": 4, "bias": 2}[name]


def test_a_parameter_with_one_value_and_locked_ones_stay_as_they_are():
    space = Space({**SPACE.domains, "one": Choice(("only",)), "zero": Float(2.0, 2.0), "depth": Int(1, 8, locked=True)})
    loop = searched(bowl_of_some, space, START.with_params(one="only", zero=2.0), trials=10, frozen={"rate": "settled"})
    assert not any(trial.faults for trial in loop.trace) and all(trial.runs for trial in loop.trace)
    for trial in loop.trace:
        assert {n: trial.candidate.params[n] for n in ("one", "zero", "depth", "rate")} == {
            "one": "only", "zero": 2.0, "depth": 1, "rate": 0.5,
        }  # fmt: skip


def bowl_of_some(params, seed) -> float:
    return bowl({name: value for name, value in params.items() if name in SPACE.domains}, seed)


def test_with_every_parameter_frozen_it_has_nothing_to_propose():
    loop = searched(bowl, SPACE, START, trials=2, frozen=dict.fromkeys(SPACE.domains, "settled"))
    assert [trial.status for trial in loop.trace][1:] == [Status.REFUSED] * 2


def test_it_leaves_a_region_that_crashes():
    def fragile(params, seed):
        if params["width"] >= 256:
            raise MemoryError
        return bowl(params, seed)

    for seed in range(2):
        loop = searched(fragile, SPACE, START, trials=30, seed=seed)
        failed = [trial.status is Status.OUT_OF_MEMORY for trial in loop.trace]
        assert sum(failed[20:]) <= 4 and best(loop) < 0.35


def test_a_task_that_always_fails_but_at_the_start_still_gets_new_candidates():
    def hard(params, seed):
        if params != START.params:
            raise ValueError("no")
        return 1.0

    loop = searched(hard, SPACE, START, trials=12)
    assert len({trial.candidate.id for trial in loop.trace}) == 13 and not any(t.faults for t in loop.trace)


def test_trials_in_flight_are_neither_repeated_nor_ignored():
    alone, many = (searched(bowl, SPACE, START, trials=24, workers=workers) for workers in (1, 4))
    ids = [trial.candidate.id for trial in many.trace]
    assert len(set(ids)) == len(ids) and not any(trial.faults for trial in many.trace)
    assert ids != [trial.candidate.id for trial in alone.trace]
    assert ids == [trial.candidate.id for trial in searched(bowl, SPACE, START, trials=24, workers=4).trace]


def test_drafts_are_spread():
    loop = searched(bowl, SPACE, START, trials=12)
    view = replace(loop.view(len(loop.trace), loop.trace), settings=Settings(drafts=4))
    drafts = make("bayesian").propose(view, loop.trace.current, Briefing())
    assert len({draft.candidate.id for draft in drafts}) == 4
    one = make("bayesian").propose(loop.view(len(loop.trace), loop.trace), loop.trace.current, Briefing())
    assert [draft.candidate.id for draft in drafts][:1] == [draft.candidate.id for draft in one]


def test_exploit_steps_short_and_what_was_turned_back_is_not_proposed_again():
    loop = searched(bowl, SPACE, START, trials=12)
    view, parent = loop.view(len(loop.trace), loop.trace), loop.trace.current
    first = make("bayesian").propose(view, parent, Briefing())[0]
    refused = searched_turned_back(first)
    assert make("bayesian").propose(view, parent, refused)[0].candidate.id != first.candidate.id
    for attempt in range(3):
        view = replace(view, settings=Settings(strategy="exploit"))
        moved = make("bayesian").propose(view, loop.trace.incumbent.candidate, Briefing(attempt=attempt))[0].candidate
        for name in ("rate", "depth", "width"):
            old = loop.trace.incumbent.candidate.params[name]
            assert view.space.step(name, old, moved.params[name]) <= 0.1 + 1e-9


def searched_turned_back(proposal) -> Briefing:
    from bilevel.trial import TurnedBack

    return Briefing(attempt=0, turned_back=(TurnedBack(proposal.candidate.id, "no"),))


def test_noise_does_not_lead_it_to_one_lucky_point():
    def noisy(params, seed):
        rng = random.Random(f"{sorted(params.items())} {seed}")
        return bowl(params, seed) + rng.gauss(0, 0.1)

    truth = []
    for seed in range(2):
        found = searched(noisy, SPACE, START, trials=30, seed=seed).trace.incumbent.candidate
        truth.append(bowl(found.params, 0))
    start = bowl(START.params, 0)
    assert sum(truth) / len(truth) < 0.3 * start


def test_without_an_improvement_every_fourth_candidate_moves_one_hardly_tried_parameter():
    loop = searched(lambda params, seed: 1.0 if params == START.params else 2.0, SPACE, START, trials=32)
    whys = [trial.proposal.why for trial in loop.trace if trial.number > 5 and trial.number % 4 == 0]
    assert len(whys) == 7 and all(why.startswith("alone hardly tried") for why in whys)


@pytest.mark.slow
def test_the_thousandth_proposal_costs_little_more_than_the_hundredth():
    loop = searched(bowl, SPACE, START, "random", trials=1000)
    took = {}
    for length in (110, 1000):
        view = loop.view(length, loop.trace.upto(length))
        began = time.process_time()
        for _ in range(3):
            assert make("bayesian").propose(view, START, Briefing())
        took[length] = time.process_time() - began
    assert took[1000] < 3 * took[110]
