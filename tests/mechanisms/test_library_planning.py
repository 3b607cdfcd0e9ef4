"""What the library's planning mechanisms change: which runs a candidate gets, and where it stops."""

from library_searches import TWO_RUNGS, count, search

from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, load
from bilevel.mechanisms import source
from bilevel.researchers import make
from bilevel.rules import Rule
from bilevel.task import Rung
from bilevel.tasks.sphere import sphere
from bilevel.testing import admit, check_mechanism
from bilevel.trial import Status

GOOD = tuple({"decay": 0.5 - 0.01 * n} for n in range(1, 9))
FAR = {"decay": 0.9, "rate": 1.0}


def rungs_of(trial):
    return [run.rung for run in trial.runs]


# ---- smoke run ----


def test_a_failing_candidate_costs_the_short_rung_only():
    trace = search([{"shape": "long"}, {"decay": 0.3}], "smoke_run", 2, rungs=TWO_RUNGS, rung="quick")
    assert rungs_of(trace[1]) == ["quick"] and trace[1].status is Status.EXIT
    assert rungs_of(trace[2]) == ["quick", "full"] and trace[2].decision.keep
    assert trace[2].score == trace[2].runs[-1].metrics["loss"]  # never that of the short rung
    assert count(trace, "smoke_run", "plan").decisive >= 2


def test_a_diverging_candidate_stops_on_the_short_rung():
    trace = search([{"decay": 0.95}], "smoke_run", 1, rungs=TWO_RUNGS, rung="quick")
    assert rungs_of(trace[1]) == ["quick"] and trace[1].status is Status.INVALID_METRIC


def test_a_hopeless_candidate_stops_on_the_short_rung_and_is_turned_back_when_it_comes_again():
    trace = search([*GOOD, FAR, FAR, {"bias": True}], "smoke_run", 10, rungs=TWO_RUNGS, rung="quick")
    assert all(rungs_of(trial) == ["quick", "full"] for trial in trace[1:9])
    assert rungs_of(trace[9]) == ["quick"] and trace[9].status is Status.PRUNED and trace[9].score is None
    assert trace[10].changes.keys() == {"bias"}
    assert "stopped on rung quick in trial 9" in trace[10].turned_back[0].reason
    assert count(trace, "smoke_run", "propose").decisive == 1


def test_hopeless_is_said_of_nothing_while_few_were_seen_or_if_it_is_not_far_off():
    few = search([*GOOD[:4], FAR], "smoke_run", 5, rungs=TWO_RUNGS, rung="quick")
    assert rungs_of(few[5]) == ["quick", "full"]
    near = search([*GOOD, {"decay": 0.415}], "smoke_run", 9, rungs=TWO_RUNGS, rung="quick")
    assert rungs_of(near[9]) == ["quick", "full"]


def test_without_a_name_a_smoke_run_takes_the_cheapest_rung():
    named = search([*GOOD, FAR, FAR, {"bias": True}], "smoke_run", 10, rungs=TWO_RUNGS, rung="quick")
    found = search([*GOOD, FAR, FAR, {"bias": True}], "smoke_run", 10, rungs=TWO_RUNGS)
    assert [(rungs_of(trial), trial.status) for trial in found] == [(rungs_of(trial), trial.status) for trial in named]
    assert found[9].status is Status.PRUNED and "stopped on rung quick in trial 9" in found[10].turned_back[0].reason
    assert count(found, "smoke_run", "plan").decisive > 0


def test_without_a_short_rung_a_smoke_run_changes_nothing():
    for trace in (search(GOOD, "smoke_run", 8), search(GOOD, "smoke_run", 8, rung="full")):
        assert count(trace, "smoke_run", "plan").touched == count(trace, "smoke_run", "propose").touched == 0


# ---- successive halving ----


def test_only_the_best_third_of_what_was_seen_on_a_rung_goes_on():
    decays = (0.3, 0.35, 0.36, 0.37, 0.25, 0.26)
    trace = search([{"decay": decay} for decay in decays], "halving", 6, rungs=TWO_RUNGS, rungs_=("quick",))
    assert [rungs_of(trial)[-1] for trial in trace[1:]] == ["full", "quick", "quick", "quick", "full", "full"]
    assert [trial.status for trial in trace[2:5]] == [Status.PRUNED] * 3
    assert trace.incumbent.number == 5
    assert count(trace, "halving", "plan").decisive > 0


def test_what_was_stopped_is_turned_back_instead_of_being_run_again():
    replies = [{"decay": 0.3}, {"decay": 0.4}, {"decay": 0.4}, {"bias": True}]
    trace = search(replies, "halving", 3, rungs=TWO_RUNGS, rungs_=("quick",))
    assert trace[2].status is Status.PRUNED and trace[3].changes.keys() == {"bias"}
    assert "stopped below the top rung in trial 2" in trace[3].turned_back[0].reason


def test_without_names_halving_takes_all_rungs_below_the_one_that_scores():
    replies = [{"decay": decay} for decay in (0.3, 0.35, 0.36, 0.37, 0.25, 0.26, 0.15)]
    three = (Rung("least", {"quick": True}), *TWO_RUNGS)
    for rungs, names in ((TWO_RUNGS, ("quick",)), (three, ("least", "quick"))):
        named = search(replies, "halving", 6, rungs=rungs, rungs_=names)
        found = search(replies, "halving", 6, rungs=rungs)
        assert [rungs_of(trial) for trial in found] == [rungs_of(trial) for trial in named]
        assert rungs_of(found[1]) == [*names, "full"] and count(found, "halving", "plan").decisive > 0


def test_with_one_rung_halving_changes_nothing():
    trace = search(GOOD, "halving", 8)
    assert count(trace, "halving", "plan").touched == count(trace, "halving", "propose").touched == 0


def test_halving_saves_runs_on_the_long_rung_in_a_real_search():
    task = sphere(rungs=2)

    def full_runs(*guests):
        spec = LoopSpec("inner", task, make("random"), guests, budget=Budget(trials=40), seed=2, keep=Rule("margin"))
        trace = Loop(spec, Lab()).run()
        assert not any(trial.faults for trial in trace)
        return sum(run.rung == "full" for trial in trace for run in trial.runs), trace

    saved, trace = full_runs(Guest("halving", source("halving")))
    usual, _ = full_runs()
    assert saved < 0.7 * usual and trace.ledger()["halving"]["plan"].decisive > 10


def test_with_their_rungs_named_they_pass_the_suite_and_the_door():
    for text in (source("smoke_run", rung="quick"), source("halving", rungs=("quick",), eta=2)):
        assert check_mechanism(lambda text=text: load(Guest("rule", text))) == []
        assert admit(text).problems == ()
