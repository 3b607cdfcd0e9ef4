"""Keep rules: what is run, what is kept, what becomes of the incumbent, what it costs, and old runs."""

import json
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import START, Reordered, Script, TinyTask, dies_everywhere, made, search, spec_of, trace_in
from told import RACE, SHIFTS, Told, told

from bilevel.arms import Best
from bilevel.budget import Budget, Cost
from bilevel.claim import changes_between
from bilevel.compare.rechecking import keeps_of
from bilevel.keep import is_simpler
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Mechanism
from bilevel.noise import UNKNOWN, Noise
from bilevel.objective import Objective
from bilevel.overriding import override
from bilevel.recipe import Inner, Recipe, find, resolve, unread
from bilevel.rules import KEEP_RULES, Rule, mean
from bilevel.space import Candidate
from bilevel.store.records import dump_record, load_trial
from bilevel.trial import Proposal, Run, Status, Step
from bilevel.wiring import build

KNOWN = Noise(0.1, 10, 9)
GAINS = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


# ---- the rules themselves ----


@given(GAINS, st.sampled_from(KEEP_RULES), st.integers(2, 4))
def test_no_rule_keeps_what_is_not_better_on_average_over_all_the_seeds_it_takes(gains, name, depth):
    rule = Rule(name, depth).under(KNOWN)
    if rule.keeps(gains, KNOWN):
        assert mean(gains) > 0 and len(gains) >= rule.depth
    assert not (rule.keeps(gains, KNOWN) and rule.ties(gains, KNOWN))


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4), st.integers(2, 4))
def test_a_race_ends_at_the_first_mean_that_is_not_above_0_and_never_costs_more_than_its_depth(gains, depth):
    rule, run = Rule("race", depth), 1
    while rule.goes_on(gains[:run], KNOWN):
        run += 1
    means = [mean(gains[: n + 1]) for n in range(depth)]
    assert run == next((n + 1 for n, value in enumerate(means) if value <= 0), depth)
    assert rule.keeps(gains[:run], KNOWN) == all(value > 0 for value in means)


@pytest.mark.parametrize("name", KEEP_RULES)
def test_where_the_task_is_known_to_be_deterministic_one_run_says_all(name):
    assert Rule(name, 3).under(Noise(0.0, 3, 2)) == Rule(name, 1) and not Rule(name, 3).looks([1.0], KNOWN, 1)
    assert Rule(name, 3).under(UNKNOWN).depth == Rule(name, 3).under(KNOWN).depth == (3 if name in "race fixed" else 1)


# ---- race ----


def test_a_challenger_that_leads_is_run_on_the_seeds_of_its_parent_one_by_one_and_kept():
    trace, asked = told("a", base=(1.0, 1.2, 1.1), a=(0.9, 1.25, 0.8))
    assert asked[3:] == [("a", 0), ("a", 1), ("a", 2)]
    assert trace[1].decision.keep and trace[1].cost.evaluations == 3
    assert trace[1].decision.reason == "better than its parent (trial 0) on 2 of 3 seeds by 0.1167 on average"
    assert trace.incumbent.number == 1 and trace.current == trace[1].candidate


def test_it_is_dropped_at_the_first_mean_that_is_worse():
    trace, asked = told("ab", base=(1.0, 1.2, 1.1), a=(1.05,), b=(0.9, 1.4))
    assert asked[3:] == [("a", 0), ("b", 0), ("b", 1)]
    assert trace[1].decision.reason == "dropped at seed 1 of 3: 0.05 worse than its parent (trial 0)"
    assert trace[2].decision.reason == "dropped at seed 2 of 3: 0.05 worse than its parent (trial 0) on average"
    assert trace.incumbent.number == 0, "b's one good seed is better than the baseline's mean, and no bar"


def test_a_parent_that_lacks_a_seed_is_run_on_it_within_the_trial_of_its_challenger():
    trace, asked = told("a", calibration=1, base=(1.0, 1.2, 1.1), a=(0.9, 0.9, 0.9))
    assert asked == [("base", 0), ("a", 0), ("a", 1), ("base", 1), ("a", 2), ("base", 2)]
    (trial,) = trace[1:]
    assert [run.seed for run in trial.runs] == [0, 1, 2] and [run.seed for run in trial.parent_runs] == [1, 2]
    assert trial.score == pytest.approx(0.9) and trial.cost.evaluations == 5
    assert trace.scores(START.id) == {0: 1.0, 1: 1.2, 2: 1.1} and trace.noise.n == 3
    assert trace.gain_of(trial) == pytest.approx(0.2)


def test_what_is_known_of_a_parent_is_not_measured_again():
    trace, asked = told("ab", calibration=1, base=(1.0, 1.2, 1.1), a=(0.9, 1.4, 0), b=(0.8, 1.1, 1.0))
    assert asked == [("base", 0), ("a", 0), ("a", 1), ("base", 1), ("b", 0), ("b", 1), ("b", 2), ("base", 2)]
    assert [trial.decision.keep for trial in trace] == [True, False, True]


def test_a_parent_that_fails_on_a_further_seed_loses_to_a_challenger_that_leads():
    trace, _ = told("a", calibration=1, base=(1.0,), a=(0.9, 0.9, 0.9))
    assert trace[1].status is Status.OK and trace[1].decision.keep
    assert trace[1].decision.reason.endswith("on seed 1 its parent failed (exit)")


def test_a_challenger_that_fails_on_a_later_seed_has_failed():
    trace, asked = told("a", base=(1.0, 1.2, 1.1), a=(0.9,))
    assert asked[3:] == [("a", 0), ("a", 1)]
    assert trace[1].status is Status.EXIT and trace[1].score is None and not trace[1].decision.keep
    assert trace.scores(trace[1].candidate.id) == {}


@pytest.mark.parametrize("calibration", [1, 3])
def test_a_deterministic_task_repeats_nothing_once_it_is_known_to_be_one(calibration):
    trace, asked = told("ab", calibration=calibration, base=(1.0,) * 4, a=(0.9,) * 4, b=(0.8,) * 4)
    assert [trial.decision.keep for trial in trace] == [True] * 3
    assert asked[-1] == ("b", 0) and trace[2].cost.evaluations == 1 and trace[2].rule == Rule("race", 1)
    assert trace[2].decision.reason == "better than its parent (trial 1) by 0.1"


@pytest.mark.parametrize("name", ["race", "fixed"])
def test_the_first_candidate_that_leads_is_looked_at_on_a_seed_that_nobody_had(name):
    scores = {"base": (1.0,) * 4, "a": (1.1,) * 4, "b": (0.9,) * 4, "c": (0.8,) * 4}
    trace, asked = told("abc", rule=Rule(name, 3), **scores)
    assert asked[3:] == [("a", 0), ("b", 0), ("b", 3), ("c", 0)], "one look in all, where nothing moves"
    assert [trial.decision.keep for trial in trace] == [True, False, True, True]
    assert trace[2].decision.reason == "better than its parent (trial 0) by 0.1" and trace[2].rule == Rule(name, 1)
    _, before = told("abc", rule=Rule(name, 3, version=1), **scores)
    assert before[3:] == [("a", 0), ("b", 0), ("c", 0)]


def test_a_look_that_finds_noise_makes_a_race_of_the_trial_and_of_those_after_it():
    still = (1.0, 1.0, 1.0, 1.0)
    lucky, asked = told("ab", base=still, a=(0.9, 0.9, 0.9, 1.2), b=(0.95, 1.3))
    assert asked[3:] == [("a", 0), ("a", 3), ("base", 3), ("b", 0), ("b", 1)], "the baseline's seed 3 is for a's race"
    assert [trial.decision.keep for trial in lucky] == [True, False, False]
    assert lucky[1].decision.reason.startswith("dropped at seed 2 of 3") and not lucky.noise.deterministic
    better, asked = told("a", base=still, a=(0.9, 0.95, 0.9, 0.8))
    assert asked[3:] == [("a", 0), ("a", 3), ("base", 3), ("a", 1)] and better[1].decision.keep


@pytest.mark.parametrize("workers", [1, 2])
def test_a_look_that_is_killed_at_any_write_is_made_as_it_would_have_been(workers):
    spec = spec_of(TinyTask(), trials=4)
    whole = search(spec, workers)
    assert any(len(trial.runs) == 2 for trial in whole)
    for store in dies_everywhere(spec, workers):
        assert trace_in(store, spec.task.objective).fingerprint() == whole.fingerprint()


def test_what_is_known_of_several_candidates_needs_no_look():
    _, asked = told("a", noise=Noise(0.0, 6, 4), base=(1.0,) * 3, a=(0.9,))
    assert asked[3:] == [("a", 0)]
    _, asked = told("a", noise=Noise(0.0, 6, 5), base=(1.0,) * 3, a=(0.9,) * 4)
    assert asked[3:] == [("a", 0), ("a", 3)], "one candidate was repeated, however often"


def test_a_trial_is_decided_by_the_noise_that_it_saw():
    """Clear by what it saw, a trial is not discarded because the trial before it showed more noise meanwhile."""
    scores = {"base": (1.0, 1.01, 0.99, 1.0), "a": (0.99, 1.9, 0.3), "b": (0.9, 0.9, 0.9)}
    trace, asked = told("ab", workers=2, **scores)
    assert [seed for name, seed in asked if name == "b"] == [0] and trace[2].sees == 1
    assert trace.upto(2).noise.margin > 0.1 > trace.upto(1).noise.margin, "clear to the trial, and to nobody after it"
    assert trace[2].rule == Rule("race", 1) and trace[2].decision.keep
    assert not told("ab", workers=2, rule=Rule("race", 3, version=1), **scores)[0][2].decision.keep


def test_depth_says_on_how_many_seeds():
    scores = {"base": (1.0, 1.2, 1.1, 1.0), "a": (0.9, 1.1, 1.0, 5.0)}
    for depth in (2, 3, 4):
        trace, asked = told("a", rule=Rule("race", depth), **scores)
        assert asked.count(("a", depth - 1)) == 1 and trace[1].decision.keep == (depth < 4)


# ---- the others ----


def test_greedy_and_margin_measure_once():
    scores = {"base": (1.0, 1.2, 1.1), "a": (0.95,)}
    greedy, asked = told("a", rule=Rule("greedy"), **scores)
    assert greedy[1].decision.reason == "better than its parent (trial 0) by 0.05" and asked[-1] == ("a", 0)
    margin, _ = told("a", rule=Rule("margin"), **scores)
    assert not margin[1].decision.keep and "within the noise margin of" in margin[1].decision.reason


def test_fixed_measures_every_idea_on_all_seeds_and_the_parent_too():
    trace, asked = told("a", rule=Rule("fixed", 3), calibration=1, base=(1.0, 1.2, 1.1), a=(1.1, 1.0, 1.0))
    assert asked[1:4] == [("a", 0), ("a", 1), ("a", 2)] and asked[4:] == [("base", 1), ("base", 2)]
    assert trace[1].decision.keep, "worse on the first seed, and better on average"


# ---- ties ----


def test_simpler_is_closer_to_the_baseline_in_everything():
    base = Candidate({"a": 1, "b": 1}, {"f": "1\n2\n"})
    one, two = base.with_params(a=2), base.with_params(a=2, b=2)
    assert is_simpler(one, two, base) and is_simpler(base, one, base) and not is_simpler(two, one, base)
    assert not is_simpler(one, base.with_params(b=2), base), "as many changes are no simpler"
    longer = Candidate(base.params, {"f": "1\n2\n3\n"})
    assert is_simpler(longer, Candidate(base.params, {"f": "1\n3\n4\n"}), base)
    assert not is_simpler(longer, one, base) and not is_simpler(one, longer, base), "of each kind more: no order"


def tie(**scores):
    """A search that keeps a change of two parameters, then takes one of them back."""
    task, script = Told(**scores), Script({1: [{"shift": 2.0, "depth": 3}], 2: [{"shift": 2.0, "depth": 8}]})

    class ByDepth(Told):
        def run(self, candidate, bench):
            same = candidate.params["shift"] == START.params["shift"]
            name = "base" if same else "a" if candidate.params["depth"] == 3 else "b"
            return task.run(candidate.with_params(shift=SHIFTS.get(name, 2.5)), bench)

    return search(spec_of(ByDepth(), script, trials=2, keep=RACE))


def test_a_tie_within_the_noise_goes_to_the_simpler_candidate_and_only_to_it():
    base = (1.0, 1.2, 1.1)
    trace = tie(base=base, a=(0.5, 0.5, 0.5), b=(0.52, 0.52, 0.52))
    assert trace[2].decision.keep
    assert trace[2].decision.reason == (
        "equal to its parent (trial 1) within the noise (0.02 worse over 3 seeds), and simpler"
    )
    assert trace.incumbent.number == 1, "the best stays what it was"
    assert not tie(base=base, a=(0.5, 0.5, 0.5), b=(0.9, 0.9, 0.9))[2].decision.keep
    longer, _ = told("ab", base=base, a=(0.5, 0.5, 0.5), b=(0.52, 0.52, 0.52))  # as many changes: no tie
    assert not longer[2].decision.keep


def test_many_small_losses_do_not_add_up():
    changes = {1: [{"shift": 2.0, "depth": 3, "bias": True}], 2: [{"bias": False}], 3: [{"depth": 8}]}

    class Slipping(TinyTask):
        def run(self, candidate, bench):
            away = len(candidate.changes_from(START))
            loss = {0: 1.0, 3: 0.5, 2: 0.54, 1: 0.58}[away] + 0.01 * bench.seed_index * (away == 0)
            return Run(bench.rung, bench.seed, Status.OK, {"loss": loss}, Cost(1))

    trace = search(spec_of(Slipping(), Script(changes), trials=3, noise=Noise(0.06, 40, 39)))
    assert [trial.decision.keep for trial in trace] == [True, True, True, False]
    assert "and simpler" in trace[2].decision.reason


def test_greedy_and_margin_know_no_ties():
    assert not any(Rule(name, 1).ties([0.0], KNOWN) for name in ("greedy", "margin"))


# ---- what is known of a candidate ----


class Again(Mechanism):
    """Measures the incumbent again in trial 2."""

    def propose(self, view, parent, proposals):
        best = view.trace.incumbent.candidate
        return (Proposal(best, "again", repeats=2),) if view.number == 2 else proposals


def test_an_incumbent_that_proves_worse_on_further_seeds_loses_its_place():
    scores = {"base": (1.0, 1.2, 1.1), "a": (0.9, 1.1, 1.0, 1.9, 1.9)}
    trace, _ = told("abc", Again(), **scores, b=(5.0,), c=(5.0,))
    assert trace.upto(2).incumbent.number == 1 and trace[2].candidate == trace[1].candidate
    assert trace.scores(trace[1].candidate.id) == {0: 0.9, 1: 1.1, 2: 1.0, 3: 1.9, 4: 1.9}
    assert trace.incumbent.number == 0
    assert "measured again" in trace[2].decision.reason and not trace[2].decision.keep


def test_the_gain_with_which_a_change_was_kept_knows_nothing_of_later_seeds():
    scores = {"base": (1.0, 1.2, 1.1, 1.0, 1.0), "a": (0.9, 1.1, 1.0, 1.9, 1.9), "b": (5.0,), "c": (5.0,)}
    spec = spec_of(Told(**scores), Script({1: [{"shift": 2.0}]}), Again(), keep=RACE, trials=2)
    store = MemoryStore()
    trace = search(spec, store=store)
    longer = trace + replace(trace[2], number=3, parent_runs=trace[2].runs, parent=trace[1].candidate)
    assert longer.scores(trace[1].candidate.id).keys() == {0, 1, 2, 3, 4}
    measured = replace(trace[0], number=4, runs=tuple(replace(trace[0].runs[0], seed=n) for n in (3, 4)), rule=RACE)
    longer = longer + measured
    assert longer.gain_of(trace[1]) < 0 < trace.upto(1).gain_of(trace[1]) == pytest.approx(0.1)
    (change,) = changes_between(longer, longer[1])
    (old,) = changes_between(longer, longer[1], version=1)
    assert change.gain == pytest.approx(0.1) and old.gain == longer.gain_of(trace[1])
    for trial in longer[3:]:
        store.add_trial("root", trial)
    assert [keep.claimed for keep in keeps_of(store, spec)] == [pytest.approx(0.1)]


def test_a_branch_knows_its_own_measurements_only():
    trace, _ = told("ab", calibration=1, base=(1.0, 1.2, 1.1), a=(0.9, 1.0, 0.9), b=(0.95,))
    short = trace.upto(1)
    assert short.scores(START.id) == {0: 1.0} and trace.scores(START.id) == {0: 1.0, 1: 1.2, 2: 1.1}
    other = short + trace[1]
    assert other.scores(START.id) == trace.scores(START.id) and other.incumbent.number == trace.incumbent.number


def test_the_best_of_two_arms_are_compared_on_the_seeds_that_both_have():
    loss = Objective("loss")
    few, many = Best(0.9, {0: 0.9}), Best(0.5, {0: 1.0, 1: 0.0})
    assert few.gain(loss, many) == pytest.approx(-0.1) and many.gain(loss, few) == pytest.approx(0.1)
    assert Best(1.0).gain(loss, few) == pytest.approx(0.1) and Best().gain(loss, few) == 0


# ---- mechanisms ----


class Stops(Mechanism):
    """Lets nothing be repeated."""

    def plan(self, view, proposal, partial, steps):
        return () if partial else steps


def test_a_mechanism_may_end_a_race_and_that_is_decisive():
    trace, asked = told("a", Stops(), base=(1.0, 1.2, 1.1), a=(0.9, 0.9, 0.9))
    assert asked[-1] == ("a", 0) and not trace[1].decision.keep
    assert trace[1].decision.reason.endswith("but not run on the 3 seeds that it takes")
    count = trace.ledger()["Stops"]["plan"]
    assert (count.calls, count.touched, count.decisive) == (2, 1, 1)


class RunsParents(Mechanism):
    def plan(self, view, proposal, partial, steps):
        return (*steps, Step("full", 7, of_parent=True))


def test_only_the_keep_rule_plans_runs_of_the_parent():
    trace, asked = told("a", RunsParents(), base=(1.0, 1.2, 1.1), a=(0.9, 0.9, 0.9))
    assert "only the keep rule" in trace[1].faults[0].message and len(asked) == 6


# ---- budgets, workers, kills, records ----


@pytest.mark.parametrize("most", [4, 5, 6, 7, 20])
def test_repeats_are_bounded_by_the_measurements_that_are_left(most):
    spec = spec_of(TinyTask(noise=0.5), calibration=1, budget=Budget(trials=30, evaluations=most))
    trace = search(spec)
    assert sum(trial.cost.evaluations for trial in trace) == most


@pytest.mark.parametrize("workers", [1, 2])
def test_a_race_that_is_killed_at_any_write_goes_on_as_it_would_have(workers):
    spec = spec_of(TinyTask(noise=0.8), calibration=1, trials=4)
    whole = search(spec, workers)
    assert any(trial.parent_runs for trial in whole)
    for store in dies_everywhere(spec, workers):
        assert trace_in(store, spec.task.objective).fingerprint() == whole.fingerprint()


def test_with_workers_the_order_in_which_runs_end_changes_nothing():
    def race(task):
        return search(spec_of(task, calibration=1, trials=8), 2).fingerprint()

    class Late(Reordered):
        def run(self, candidate, bench):
            return super().run(candidate, bench) if bench.seed_index == 0 else TinyTask.run(self, candidate, bench)

    assert race(TinyTask(noise=0.8)) == race(Late(noise=0.8))


def test_two_trials_that_need_the_same_run_of_their_parent_make_it_once():
    """b asks for the baseline on seed 1 while a's race measures it there, and waits for what comes of it."""
    asked, other = [], threading.Event()

    class Both(Told):
        def run(self, candidate, bench):
            asked.append((candidate.params["shift"], bench.seed_index))
            if asked[-1] == (START.params["shift"], 1) and asked.count(asked[-1]) == 1:
                other.wait(10)
            return super().run(candidate, bench)

    class Asked(MemoryStore):
        def find_run(self, key):
            if key.candidate == START.id and (START.params["shift"], 1) in asked:
                other.set()
            return super().find_run(key)

    class Keys(Lab):
        def alone(self, key):
            if key.candidate == START.id and (START.params["shift"], 1) in asked:
                other.set()
            return super().alone(key)

    task = Both(base=(1.0, 1.2, 1.1), a=(0.9, 0.9, 0.9), b=(0.8, 0.8, 0.8))
    script = Script({1: [{"shift": SHIFTS["a"]}], 2: [{"shift": SHIFTS["b"]}]})
    lab = Keys(Asked(), workers=2)
    trace = Loop(spec_of(task, script, calibration=1, keep=Rule("race", 2), trials=2), lab).run()
    assert [trial.decision.keep for trial in trace] == [True] * 3 and all(len(t.parent_runs) == 1 for t in trace[1:])
    assert asked.count((START.params["shift"], 1)) == 1 and lab.meter.spent.evaluations == 7, "paid by both, made once"


def test_a_trial_with_runs_of_its_parent_is_stored_and_comes_back():
    trace, _ = told("a", calibration=1, base=(1.0, 1.2, 1.1), a=(0.9, 0.9, 0.9))
    trial, known = trace[1], {c.id: c for c in (trace[0].candidate, trace[1].candidate)}
    text = dump_record(trial)
    assert load_trial(text, known.__getitem__) == trial
    old = {key: value for key, value in json.loads(text).items() if key not in ("parent_runs", "rule")}
    assert load_trial(json.dumps(old), known.__getitem__).rule is None


# ---- recipes ----


def test_each_key_of_a_recipe_is_read():
    assert build(find("a")).keep == Rule("race", 2) == Rule()
    for name in KEEP_RULES:
        assert build(override(find("a"), keep=name)).keep == Rule(name, 2)
    assert build(Recipe(name="mine", title="mine", inner=Inner(rules=1))).keep == Rule("race", 2, version=1)
    recipe = Recipe(name="mine", title="mine", inner=Inner(keep="fixed", depth=5))
    assert build(recipe).keep == Rule("fixed", 5) and not unread(recipe)
    once = recipe.model_copy(update={"inner": Inner(keep="margin", depth=5)})
    assert unread(once) == ["inner.depth: the keep rule 'margin' measures a candidate once"]


def test_an_old_run_folder_goes_on_as_it_began():
    old = find("a").model_dump(mode="json")
    del old["inner"]["keep"], old["inner"]["depth"]
    assert build(resolve(old)).keep is None
    later = find("a").model_dump(mode="json")
    del later["inner"]["rules"]
    assert build(resolve(later)).keep == Rule("race", 2, version=1)
    again = made(Again())
    spec = spec_of(TinyTask(noise=0.5), trials=6, keep=None, **again)
    trace = search(spec)
    assert all(trial.rule is None and not trial.parent_runs for trial in trace)
    assert trace.incumbent.score == min(trial.score for trial in trace)  # each trial's own score stands
    for trial in trace[1:]:
        assert trial.decision.keep == (trace.upto(trial.number).gain_of(trial) > trace.upto(trial.number).noise.margin)
