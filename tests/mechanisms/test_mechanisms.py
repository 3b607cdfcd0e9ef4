"""Each mechanism of the library changes a decision in a search where it should, and none where it should not."""

import importlib
from collections.abc import Mapping

import pytest

from bilevel.budget import Budget
from bilevel.errors import InputError
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import HOOKS, Guest, Mechanism, load, overridden
from bilevel.mechanisms import is_shipped, library, source
from bilevel.objective import Objective
from bilevel.researchers.scripted import Scripted
from bilevel.researchers.stuck import Stuck
from bilevel.settings import Settings
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.tasks.function import FunctionTask
from bilevel.testing import check_mechanism
from bilevel.trace import Trace
from bilevel.trial import Count

SPACE = Space(
    {
        "rate": Float(0.001, 1.0, log=True),
        "decay": Float(0.0, 1.0),
        "batch": Int(16, 1024, power_of_two=True),
        "depth": Int(1, 8),
        "shape": Choice(("flat", "round", "long")),
        "bias": Bool(),
        "edition": Int(1, 3, locked=True),
    }
)
START = Candidate({"rate": 0.1, "decay": 0.5, "batch": 128, "depth": 4, "shape": "flat", "bias": False, "edition": 1})


def loss(params: Mapping[str, object], seed: int) -> float:
    if params["shape"] == "long":
        raise ValueError("shape 'long' does not fit")
    if params["batch"] == 1024 and params["depth"] == 8:
        raise MemoryError("too large")
    away = (SPACE.domains["rate"].unit(params["rate"]) - 0.2) ** 2 + (params["decay"] - 0.1) ** 2
    return away + 0.01 * abs(params["depth"] - 6) + 0.0001 * params["batch"]


TASK = FunctionTask("small", loss, SPACE, START, Objective("loss"), "a small task")


def search(researcher, *names, trials=12, settings=None, task=TASK, **parameters) -> Trace:
    guests = tuple(Guest(name, source(name, **parameters)) for name in names)
    spec = LoopSpec(
        "inner", task, researcher, guests, settings or Settings(), Budget(trials=trials), seed=3, calibration=1
    )
    trace = Loop(spec, Lab()).run()
    assert [fault for trial in trace for fault in trial.faults] == []
    return trace


def count(trace: Trace, name: str, hook: str) -> Count:
    return trace.ledger()[name][hook]


def scripted(*replies) -> Scripted:
    return Scripted(replies)


@pytest.mark.parametrize("name", library())
def test_the_shipped_class_is_what_is_loaded_from_its_text_and_conforms(name):
    entry = library()[name]
    mechanism = load(Guest(name, source(name)))
    assert overridden(mechanism) == entry.hooks
    assert (mechanism.domain, mechanism.needs) == (entry.domain, entry.needs)
    assert {key: getattr(mechanism, key) for key in entry.parameters} == dict(entry.parameters)
    assert entry.domain and len(entry.source.splitlines()) < 120
    assert "Source: " in entry.source
    module = importlib.import_module(f"bilevel.mechanisms.{name}")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Mechanism)]
    assert check_mechanism(next(kind for kind in kinds if kind is not Mechanism)) == []


def test_a_parameter_is_rewritten_and_everything_else_stays_as_it_was():
    before, after = source("tabu"), source("tabu", tenure=3, distance=1)
    assert load(Guest("tabu", after)).tenure == 3
    assert after == before.replace("tenure = 8", "tenure = 3").replace("distance = 0.04", "distance = 1")


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("tabu", {"tenur": 3}, "no parameter 'tenur'; its parameters are: tenure, distance"),
        ("tabu", {"tenure": "3"}, "'tenure' of mechanism 'tabu' is int, so '3' does not fit"),
        ("tabu", {"distance": float("nan")}, "finite number"),
        ("taboo", {}, "no mechanism 'taboo'; the library has: annealing"),
    ],
)
def test_a_wrong_parameter_is_refused_with_those_there_are(name, parameters, said):
    with pytest.raises(InputError, match=said):
        source(name, **parameters)


def test_tabu_refuses_a_change_near_a_discarded_one_and_says_why():
    trace = search(scripted({"decay": 0.9}, {"decay": 0.92}, {"decay": 0.2}, {"depth": 5}), "tabu", trials=2)
    assert trace[2].changes["decay"].new == 0.2  # the draft after the refused one
    assert "too near trial 1, which changed decay likewise" in trace[2].turned_back[0].reason
    assert count(trace, "tabu", "propose").decisive == 1


def test_tabu_lets_every_other_change_pass():
    trace = search(
        scripted({"decay": 0.9}, {"rate": 0.9}, {"decay": 0.9, "depth": 5}, {"decay": 0.8}), "tabu", trials=4
    )
    assert count(trace, "tabu", "propose") == Count(calls=4)


def test_tabu_does_not_undo_what_was_kept():
    replies = ({"decay": 0.3}, {"decay": 0.5, "batch": 128}, {"decay": 0.49}, {"depth": 5})
    trace = search(scripted(*replies), "tabu", trials=2)
    assert trace[1].decision.keep
    assert [back.author for back in trace[2].turned_back] == ["scripted"] * 2
    assert trace[2].changes.keys() == {"depth"}


def test_tabu_works_on_an_outer_level_where_parameters_are_derived():
    assert library()["tabu"].needs == frozenset()


def test_restart_goes_back_to_the_baseline_after_failures():
    better, worse = {"decay": 0.3}, [{"depth": depth} for depth in (1, 2, 3)]
    trace = search(scripted(better, *worse, {"batch": 64}), "restart", trials=5, patience=3)
    assert trace[1].decision.keep
    assert [trial.parent.params["decay"] for trial in trace][2:] == [0.3, 0.3, 0.3, 0.5]
    assert count(trace, "restart", "select").decisive == 1


def test_restart_goes_back_at_intervals():
    trace = search(
        scripted(*({"decay": 0.5 - 0.02 * n} for n in range(1, 8))), "restart", every=3, patience=0, trials=7
    )
    assert [trial.number for trial in trace if trial.parent.id == START.id] == [0, 1, 4, 7]


def test_restart_names_what_it_resets():
    settings = Settings(guidance="go on like this", history_window=20)
    replies = ({"decay": 0.3}, {"depth": 1}, {"depth": 2}, {"batch": 64}, {"batch": 32})
    whole = search(scripted(*replies), "restart", trials=5, patience=2, settings=settings)
    assert count(whole, "restart", "advise").touched > 0
    kept = search(scripted(*replies), "restart", trials=5, patience=2, settings=settings, reset=("parent",))
    assert count(kept, "restart", "advise").touched == 0
    assert count(kept, "restart", "select").decisive > 0


def test_revert_selects_the_incumbent_when_something_led_away_from_it():
    trace = _away()
    assert count(trace, "revert", "select").decisive >= 1
    reverted = [t for t in trace if t.number > 3 and t.parent.id == trace[1].candidate.id]
    assert reverted


def _away() -> Trace:
    guests = (Guest("restart", source("restart", every=2, patience=0)), Guest("revert", source("revert", patience=3)))
    replies = ({"decay": 0.1}, {"depth": 1}, {"depth": 2}, {"depth": 3}, {"depth": 1, "batch": 256}, {"batch": 512})
    spec = LoopSpec("inner", TASK, scripted(*replies), guests, budget=Budget(trials=6), calibration=1)
    return Loop(spec, Lab()).run()


def test_orthogonal_takes_over_with_one_design_whose_points_differ_everywhere():
    trace = search(
        scripted(*({"decay": 0.4 - 0.01 * n} for n in range(9))),
        "orthogonal",
        points=6,
        radius=1.0,
        patience=0,
        trials=9,
    )
    mine = [t for t in trace if "latin hypercube" in t.proposal.notes]
    assert [t.proposal.notes["latin hypercube"]["point"] for t in mine] == [0, 1, 2, 3, 4, 5]
    assert sorted(int(6 * t.candidate.params["decay"]) for t in mine) == [0, 1, 2, 3, 4, 5]
    assert sorted(int(6 * SPACE.domains["rate"].unit(t.candidate.params["rate"])) for t in mine) == [0, 1, 2, 3, 4, 5]
    assert {t.candidate.params["edition"] for t in mine} == {1}
    assert count(trace, "orthogonal", "propose").decisive == 6
    assert {t.proposal.author for t in mine} == {"orthogonal"}


def test_orthogonal_begins_another_design_on_a_plateau():
    trace = search(Stuck(), "orthogonal", points=4, patience=3, trials=40)
    assert {t.proposal.notes["latin hypercube"]["round"] for t in trace if "latin hypercube" in t.proposal.notes} >= {
        0,
        1,
    }


def test_the_bandit_takes_over_when_nothing_is_found_and_credits_only_its_own_moves():
    trace = search(Stuck(), "bandit", patience=2, trials=30)
    mine = [trial for trial in trace if trial.proposal.author == "bandit"]
    assert count(trace, "bandit", "propose").decisive >= 5
    arms = load(Guest("bandit", source("bandit")))
    memory = None
    for trial in trace:
        memory = arms.remember(memory, trial)
    assert sum(pulls for pulls, _ in memory.values()) == len(mine)
    assert sum(wins for _, wins in memory.values()) == sum(trial.decision.keep for trial in mine)
    assert any(trial.decision.keep for trial in mine)


def test_the_trust_region_clips_a_long_step_and_grows_with_success():
    trace = search(scripted({"decay": 0.0}, {"decay": 0.0}, {"rate": 1.0}), "trust_region", trials=3, radius=0.2)
    assert trace[1].candidate.params["decay"] == pytest.approx(0.3)  # 0.2 from 0.5
    assert trace[2].candidate.params["decay"] == pytest.approx(0.0)  # the radius has doubled
    assert count(trace, "trust_region", "propose").decisive >= 1


def test_the_trust_region_shrinks_with_failure_but_lets_whole_numbers_and_choices_move():
    worse = [{"decay": 0.5 + 0.001 * n} for n in range(1, 8)]
    trace = search(
        scripted(*worse, {"decay": 0.9}, {"depth": 5}, {"shape": "round"}), "trust_region", trials=10, patience=2
    )
    assert trace[8].candidate.params["decay"] == pytest.approx(0.525)
    assert trace[9].candidate.params["depth"] == 5
    assert trace[10].candidate.params["shape"] == "round"


def test_crash_memory_refuses_a_value_that_crashed_and_never_ran():
    replies = ({"shape": "long"}, {"decay": 0.3}, {"shape": "long"}, {"depth": 5}, {"batch": 64})
    trace = search(scripted(*replies), "crash_memory", trials=3)
    assert trace[1].status.value == "exit"
    assert trace[3].changes.keys() == {"depth"}
    assert "shape = 'long' crashed before (trial 1: exit" in trace[3].turned_back[0].reason
    assert count(trace, "crash_memory", "propose").decisive == 1


def test_crash_memory_forbids_no_single_value_of_a_joint_crash_and_tells_of_it():
    told = []

    class Listening(Scripted):
        def propose(self, view, parent, briefing):
            told.append("\n".join(block.text for block in briefing.blocks))
            return super().propose(view, parent, briefing)

    replies = ({"batch": 1024}, {"depth": 8}, {"batch": 1024, "depth": 8}, {"batch": 1024, "rate": 0.2})
    trace = search(Listening(replies), "crash_memory", trials=4)
    assert trace[3].status.value == "out-of-memory"
    assert trace[4].status.value == "ok"
    assert "batch: 128 -> 1024, depth: 4 -> 8: out-of-memory" in told[3]
    assert "it is their combination" in told[3]


def test_the_placebo_is_called_in_every_hook_and_touches_exactly_nothing():
    trace = search(Stuck(), "placebo", trials=30)
    counts = trace.ledger()["placebo"]
    assert tuple(sorted(counts, key=HOOKS.index)) == HOOKS
    assert all(c.calls > 0 and c.touched == c.decisive == c.faults == 0 for c in counts.values())
    bare = search(Stuck(), trials=30)
    assert [t.candidate.id for t in bare] == [t.candidate.id for t in trace]


@pytest.mark.slow
def test_what_is_shipped_is_known_again_with_other_values_and_nothing_else_is():
    assert all(is_shipped(entry.source) for entry in library().values())
    assert is_shipped(source("tabu", tenure=12)) and is_shipped(source("restart", reset=("parent",)))
    changed = source("tabu").replace("view.trace[-self.tenure :]", "view.trace[-self.tenure : -1]")
    assert changed != source("tabu") and not is_shipped(changed)
    assert not is_shipped(source("tabu").replace("tenure = 8", "tenure = 8\n    more = 1"))
    assert not is_shipped(source("tabu", tenure=10**6))  # as harmless as it was tested
    assert not is_shipped(source("orthogonal", points=10_000)) and is_shipped(source("orthogonal", points=60))
    assert not is_shipped("x =") and not is_shipped("")
