"""The laws of guardrails, dominance and hypervolume, and what they do in a search."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.budget import Budget, Cost
from bilevel.codec import content_hash, plain
from bilevel.errors import InputError
from bilevel.guardrails import Guardrail, breach, built_in, diff_size, room
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.objective import Further, Objective
from bilevel.pareto import Point, dominates, front, hypervolume, margins, spreads
from bilevel.researchers.scripted import Scripted
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Decision, Proposal, Run, Status, Trial

TWO = Objective("loss", also=(Further("speed", minimize=False),))
THREE = Objective("loss", also=(Further("speed", minimize=False), Further("bytes")))
NUMBERS = st.floats(-5, 5).map(lambda x: round(x, 2))
VALUES = st.tuples(NUMBERS, NUMBERS, NUMBERS)
MARGINS = st.tuples(*[st.sampled_from([0.0, 0.1, 1.0])] * 3)


def run(seed=0, **metrics):
    return Run("full", seed, Status.OK, metrics, Cost(1))


# ---- laws ----


@given(VALUES, VALUES, VALUES, MARGINS)
def test_dominance_is_a_strict_order(a, b, c, margins):
    assert not dominates(THREE, margins, a, a)
    if dominates(THREE, margins, a, b):
        assert not dominates(THREE, margins, b, a)
        if dominates(THREE, margins, b, c):
            assert dominates(THREE, margins, a, c)


@given(st.lists(VALUES, max_size=8), MARGINS)
def test_nobody_on_a_front_dominates_another_and_who_is_not_on_it_is_dominated_from_there(values, margins):
    points = [Point(None, one) for one in values]
    found = front(THREE, margins, points)
    assert bool(found) == bool(points)
    assert not any(dominates(THREE, margins, a.values, b.values) for a in found for b in found)
    for point in points:
        assert point in found or any(dominates(THREE, margins, a.values, point.values) for a in found)


@given(st.data(), st.integers(1, 5), st.integers(0, 14))
def test_a_front_holds_exactly_those_that_no_other_one_dominates(data, aims, many):
    few = st.floats(-2, 2).map(lambda x: round(x, 1)) | st.floats(allow_nan=False, allow_infinity=False)
    objective = Objective("o0", also=tuple(Further(f"o{n}", minimize=n % 2 == 0) for n in range(1, aims)))
    margins = data.draw(st.tuples(*[st.sampled_from([0.0, 0.1, 1.0, math.inf])] * aims))
    points = [Point(None, one) for one in data.draw(st.lists(st.tuples(*[few] * aims), min_size=many, max_size=many))]
    plain = [p for p in points if not any(dominates(objective, margins, o.values, p.values) for o in points)]
    assert [id(point) for point in front(objective, margins, points)] == [id(point) for point in plain]


def test_a_difference_below_the_noise_does_not_dominate():
    assert not dominates(TWO, (0.5, 0.5), (1.0, 1.0), (1.4, 1.0))
    assert dominates(TWO, (0.5, 0.5), (1.0, 1.0), (1.6, 1.0))
    assert not dominates(TWO, (0.5, 0.5), (1.0, 1.0), (3.0, 1.01))  # a little worse is worse


@given(st.lists(VALUES, max_size=6), VALUES, st.randoms())
def test_a_hypervolume_grows_with_its_points_and_does_not_know_their_order(values, more, rng):
    reference = (5.0, -5.0, 5.0)
    volume = hypervolume(THREE, values, reference)
    shuffled = list(values)
    rng.shuffle(shuffled)
    assert hypervolume(THREE, shuffled, reference) == pytest.approx(volume)
    assert hypervolume(THREE, [*values, more], reference) >= volume - 1e-9
    assert hypervolume(THREE, [*values, *values], reference) == pytest.approx(volume)


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=6))
def test_a_hypervolume_is_the_number_of_unit_cells_below(values):
    objective = Objective("a", minimize=False, also=(Further("b", minimize=False), Further("c", minimize=False)))
    cells = {(x, y, z) for a, b, c in values for x in range(a) for y in range(b) for z in range(c)}
    assert hypervolume(objective, values, (0.0, 0.0, 0.0)) == pytest.approx(len(cells))


# ---- bounds ----


@given(
    st.sampled_from(["at_most", "at_least", "worse_by_at_most"]),
    st.floats(0, 5),
    st.booleans(),
    st.lists(NUMBERS, max_size=3),
    st.lists(NUMBERS, max_size=3),
    st.sampled_from([1, 2]),
)
def test_the_room_that_is_left_is_negative_exactly_where_a_guardrail_is_broken(kind, bound, lower, own, base, version):
    guard = Guardrail("bytes", **{kind: bound}, minimize=lower)
    runs, baseline = ([run(n, bytes=value) for n, value in enumerate(each)] for each in (own, base))
    left = room(guard, own, base, version)
    found = breach([guard], runs, baseline, version)
    assert (left is None) == (not own or (kind == "worse_by_at_most" and not base))
    assert (left is not None and left.left < 0) == (found is not None)
    assert found is None or all(f"{value:.6g}" in found.reason for value in (left.value, left.bound))


def test_the_worst_seed_counts_for_a_bound_and_the_reason_names_metric_value_and_bound():
    guard = Guardrail("bytes", at_most=10)
    assert breach([guard], [run(bytes=10.0), run(1, bytes=3.0)], []) is None
    found = breach([guard], [run(bytes=1.0), run(1, bytes=12.0)], [])
    assert found.status is Status.GUARDRAIL
    assert all(text in found.reason for text in ("bytes", "12", "10", "worst of 2"))
    assert breach([Guardrail("speed", at_least=5)], [run(speed=4.0)], []).status is Status.GUARDRAIL
    assert breach([Guardrail("speed", at_least=5)], [run(speed=5.0)], []) is None


def test_a_relative_bound_breaks_by_noise_alone_in_about_one_case_of_twenty():
    guard, rng, broken, runs = Guardrail("bytes", worse_by_at_most=0.0), random.Random(3), {1: 0, 2: 0}, 2000
    for _ in range(runs):
        baseline = [run(n, bytes=rng.gauss(100.0, 5.0)) for n in range(3)]
        one = [run(bytes=rng.gauss(100.0, 5.0))]
        for version in broken:
            broken[version] += breach([guard], one, baseline, version) is not None
    assert broken[2] / runs < 0.065 < 0.1 < broken[1] / runs


def test_what_is_noise_on_a_front_is_known_from_all_repeats_and_not_from_the_baselines_alone():
    def trial(number, params, parent, values, parent_values=()):
        runs = [run(n, loss=value, bytes=value) for n, value in enumerate(values)]
        others = [run(n, loss=value, bytes=value) for n, value in enumerate(parent_values, 3)]
        made = Trial(number, parent, Proposal(params), tuple(runs), Status.OK, 1.0, Decision(True, ""))
        return replace(made, parent_runs=tuple(others))

    start, other = Candidate({"a": 0}), Candidate({"a": 1})
    two = Objective("loss", also=(Further("bytes"),))
    still = trial(0, start, start, (1.0, 1.0, 1.0))
    assert margins(still, two) == spreads([still], two) == (0.0, 0.0)
    moving = spreads([still, trial(1, other, start, (0.9, 1.3))], two)
    assert moving[0] == moving[1] > 0
    assert spreads([still, trial(1, other, start, (0.9,), (1.2,))], two)[0] > 0, "the parent on a further seed"
    assert spreads([still, trial(1, other, start, (0.9,), (1.0,))], two)[0] == 0


def test_a_relative_bound_leaves_room_for_the_noise_of_the_baseline():
    guard = Guardrail("bytes", worse_by_at_most=0.1)
    quiet = [run(n, bytes=100.0) for n in range(3)]
    noisy = [run(n, bytes=value) for n, value in enumerate((90.0, 100.0, 110.0))]
    assert breach([guard], [run(bytes=110.0)], quiet) is None
    assert breach([guard], [run(bytes=111.0)], quiet).status is Status.GUARDRAIL
    assert breach([guard], [run(bytes=120.0)], noisy) is None
    assert breach([guard], [run(bytes=140.0)], noisy) is None, "three repeats know little of the noise"
    assert breach([guard], [run(bytes=140.0)], noisy, version=1).status is Status.GUARDRAIL
    assert breach([guard], [run(bytes=145.0)], noisy).status is Status.GUARDRAIL
    more = Guardrail("bytes", worse_by_at_most=0.1, minimize=False)
    assert breach([more], [run(bytes=140.0)], quiet) is None
    assert breach([more], [run(bytes=89.0)], quiet).status is Status.GUARDRAIL


def test_a_missing_metric_is_a_failure():
    found = breach([Guardrail("bytes", at_most=10)], [run(bytes=1.0), run(1, loss=1.0)], [])
    assert found.status is Status.INVALID_METRIC and "bytes is missing" in found.reason


@pytest.mark.parametrize(
    "wrong",
    [{}, {"at_most": 1, "at_least": 0}, {"at_most": float("nan")}, {"worse_by_at_most": -0.1}],
)
def test_a_guardrail_that_says_nothing_or_too_much_has_a_problem(wrong):
    assert Guardrail("x", **wrong).problem and not Guardrail("x", at_most=1).problem


def test_what_the_host_did_not_measure_is_not_known():
    names = frozenset({"run_seconds", "run_memory_bytes", "diff_lines"})
    assert built_in(names, run(loss=1.0), {}) == {}
    known = Run("full", 0, Status.OK, {"loss": 1.0}, Cost(1, 2.0, 1.0), data={"peak_memory_bytes": 7})
    assert built_in(names, known, {"diff_lines": 3, "diff_bytes": 9}) == {
        "run_seconds": 2.0, "run_memory_bytes": 7.0, "diff_lines": 3.0,
    }  # fmt: skip


def test_the_size_of_a_diff_cannot_be_hidden_behind_lines_that_look_like_headers():
    patch = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- gone\n+++ new\n same\n@@ -9 +9 @@\n-a\n+\u00e4\n"
    assert diff_size(patch)["diff_lines"] == 4
    assert diff_size(patch)["diff_bytes"] == len("-- gone") + len("++ new") + len("a") + len("ä".encode())


def test_an_objective_without_guardrails_has_the_text_that_it_always_had():
    assert set(plain(Objective("loss"))) == {"name", "unit", "minimize", "relative"}
    assert content_hash(Objective("loss")) != content_hash(TWO)


# ---- searches ----

SPACE = Space({"rate": Float(0.0, 1.0), "size": Float(0.0, 1.0)})
REPLIES = [
    {"rate": 0.1}, {"rate": 0.0, "size": 0.9}, {"rate": 0.2, "size": 0.1}, {"rate": 0.3, "size": 0.3},
    {"rate": 0.4, "size": 0.4}, {"rate": 0.15, "size": 0.45},
]  # fmt: skip


def measured(params, seed):
    return {"loss": params["rate"], "bytes": params["size"]} if params["size"] != 0.45 else {"loss": 0.0}


def searched(objective, *guests, trials=6):
    task = FunctionTask("two", measured, SPACE, Candidate({"rate": 0.5, "size": 0.5}), objective, "two")
    spec = LoopSpec("inner", task, Scripted(tuple(REPLIES)), guests, budget=Budget(trials=trials))
    return Loop(spec, Lab()).run()


KEEPER = Guest(
    "keeper",
    "from bilevel.mechanism import Mechanism\nfrom bilevel.trial import Decision\n\n\n"
    "class Keeper(Mechanism):\n    def decide(self, view, trial):\n        return Decision(True, 'I want it')\n",
)


def test_who_breaks_a_guardrail_is_recorded_and_never_kept_whatever_a_mechanism_says():
    trace = searched(Objective("loss", guardrails=(Guardrail("bytes", at_most=0.7),)), KEEPER)
    broken = trace[2]
    assert broken.status is Status.GUARDRAIL and broken.score is None and not broken.decision.keep
    assert broken.runs[0].metrics["bytes"] == 0.9 and broken.runs[0].metrics["loss"] == 0.0
    assert "0.9" in broken.decision.reason and "0.7" in broken.decision.reason
    assert trace.incumbent.number != 2
    assert any(fault.guest == "keeper" and fault.hook == "decide" for fault in broken.faults)
    missing = trace[6]
    assert missing.status is Status.INVALID_METRIC and missing.score is None and not missing.decision.keep
    assert trace.incumbent.score > 0.0


def test_a_baseline_that_breaks_its_guardrail_ends_the_run_at_the_start_with_the_way_out():
    with pytest.raises(InputError, match=r"bytes is 0.5.*loosen the bound"):
        searched(Objective("loss", guardrails=(Guardrail("bytes", at_most=0.4),)))


def test_a_function_in_this_process_has_no_memory_of_its_own_nor_a_diff():
    for name in ("run_memory_bytes", "diff_lines"):
        with pytest.raises(InputError, match=name):
            searched(Objective("loss", guardrails=(Guardrail(name, at_most=1),)))


def test_the_mechanism_front_spreads_a_search_and_its_ledger_counts():
    objective = Objective("loss", also=(Further("bytes"),))
    plain_trace = searched(objective)
    trace = searched(objective, Guest("front", source("front", best_every=0)))
    assert not plain_trace[3].decision.keep and trace[3].decision.keep
    assert "on the front" in trace[3].decision.reason and "bytes" in trace[3].decision.reason
    ledger = trace.ledger()["front"]
    assert ledger["decide"].decisive > 0 and ledger["select"].decisive > 0
    alone = searched(Objective("loss"), Guest("front", source("front", best_every=0)))
    assert alone.ledger()["front"]["select"].touched == alone.ledger()["front"]["decide"].touched == 0
