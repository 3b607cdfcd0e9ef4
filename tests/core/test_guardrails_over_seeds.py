"""Guardrails over all that was measured of a candidate: who breaks one on a further seed is out."""

from dataclasses import replace

import pytest
from tiny import START, Script, dies_everywhere, made, spec_of
from told import SHIFTS, Told

from bilevel.guardrails import Guardrail
from bilevel.lab import Branch, Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Mechanism
from bilevel.objective import Objective
from bilevel.report import archive_best
from bilevel.rules import Rule
from bilevel.trial import Decision, Proposal, Status

AT_MOST, SHARE = Guardrail("size", at_most=3.0), Guardrail("size", worse_by_at_most=0.5)
RACE, OLDER = Rule("race", 2), Rule("race", 2, version=2)
BASE = (1.0, 1.2, 1.1)
A = (0.4, 0.5, 0.45, 0.42)  # a clear gain over the baseline: its race ends after one seed
B = (0.35, 0.55, 0.4, 0.37)  # leads `a` on the first seed, not clearly: both are run on the second
HEAVY = (1.0, 9.0)


class Sized(Told):
    """Scores and sizes that are written down; a size that is not is 1."""

    def __init__(self, guardrail, sizes, **scores):
        super().__init__(**scores)
        self.guardrail, self.sizes = guardrail, {SHIFTS.get(name, 2.5): values for name, values in sizes.items()}

    @property
    def objective(self):
        return Objective("loss", guardrails=(self.guardrail,))

    def run(self, candidate, bench):
        run, sizes = super().run(candidate, bench), self.sizes.get(candidate.params["shift"], ())
        size = sizes[bench.seed_index] if bench.seed_index < len(sizes) else 1.0
        return run if run.metrics is None else replace(run, metrics={**run.metrics, "size": size})


def named(name, **options):
    """The candidate of a name, as a proposal."""
    return Proposal(START.with_params(shift=SHIFTS.get(name, 2.5)), **options)


def spec(script, *mechanisms, guardrail=AT_MOST, sizes=None, rule=RACE, **scores):
    """A search that tries candidates by name, or proposals."""
    task = Sized(guardrail, {"a": HEAVY} if sizes is None else sizes, **{"base": BASE, "a": A, "b": B, **scores})
    lists = {n: [named(one) if isinstance(one, str) else one] for n, one in enumerate(script, 1)}
    return spec_of(task, Script(lists), keep=rule, trials=len(lists), **made(*mechanisms))


def searched(script, *mechanisms, workers=1, **options):
    return Loop(spec(script, *mechanisms, **options), Lab(MemoryStore(), workers=workers)).run()


class KeepAll(Mechanism):
    def decide(self, view, trial):
        return Decision(True, "I want it")


# ---- as a parent ----


@pytest.mark.parametrize(
    ("guardrail", "said"), [(AT_MOST, "size is 9 (the worst of 2 runs), more than 3"), (SHARE, "size is 5 (mean of 2")]
)
def test_a_parent_that_breaks_a_guardrail_on_a_further_seed_is_out(guardrail, said):
    trace = searched("ab", guardrail=guardrail)
    parent, challenger = trace[1], trace[2]
    assert parent.decision.keep and parent.rule == Rule("race", 1) and parent.status is Status.OK
    assert [run.seed for run in challenger.parent_runs] == [1]
    assert [one.candidate for one in challenger.fallen] == [parent.candidate.id] == [*trace.out]
    assert said in trace.out[parent.candidate.id]
    assert challenger.decision.keep and trace.incumbent == challenger and trace.current == challenger.candidate
    assert challenger.decision.reason.startswith(f"its parent is out ({trace.out[parent.candidate.id]}); ")
    assert challenger.decision.reason.endswith("better than trial 0, the best that holds them, by 0.65")


def test_without_it_the_parent_keeps_its_place():
    trace = searched("ab", sizes={})
    assert not trace[2].decision.keep and trace.incumbent.number == 1 and not trace.out


def test_older_rules_do_not_ask():
    trace, plain = searched("ab", rule=OLDER), searched("ab", rule=OLDER, sizes={})
    assert trace.incumbent.number == plain.incumbent.number == 1 and not trace.out and trace[2].fallen == ()
    assert trace[2].decision == plain[2].decision


def test_a_challenger_that_led_a_parent_that_is_out_has_to_beat_the_best_that_holds():
    trace = searched("abc", b=(0.35, 2.5), c=(0.9, 1.0))
    assert not trace[2].decision.keep and "not better than trial 0, the best that holds" in trace[2].decision.reason
    assert trace.upto(3).incumbent.number == 0 and trace.upto(3).current == START
    assert trace[3].parent == START and trace[3].decision.keep and trace.incumbent.number == 3


def test_the_search_goes_back_to_the_best_that_holds():
    trace = searched("cabd", c=(0.5, 0.6), a=(0.05, 0.1), b=(0.04, 2.5), d=(0.3, 0.3))
    assert [trial.decision.keep for trial in trace] == [True, True, True, False, True]
    assert trace.upto(4).incumbent.number == 1 and trace[4].parent == trace[1].candidate
    assert "not better than trial 1, the best that holds" in trace[3].decision.reason


def test_the_race_against_a_parent_that_is_out_ends():
    on, off = ({"rule": Rule("race", 4), "b": (0.35, 0.45, 0.4, 0.37), **more} for more in ({}, {"sizes": {}}))
    assert len(searched("ab", **on)[2].runs) == 2 and len(searched("ab", **off)[2].runs) > 2


def test_a_parent_without_the_metric_on_a_further_seed_is_out_too():
    trace = searched("ab", sizes={"a": (1.0, float("nan"))})
    assert "size is missing or not a finite number" in trace.out[trace[1].candidate.id]


def test_the_baseline_stays_whatever_further_seeds_say_of_it():
    trace = searched(
        "b", sizes={"base": (1.0, 1.0, 1.0, 9.0)}, rule=Rule("fixed", 4), b=(0.9, 1.1, 1.0, 1.2), base=(*BASE, 1)
    )
    assert trace[1].parent_runs[0].metrics["size"] == 9.0 and not trace.out and not trace[1].fallen


def test_who_is_out_is_not_a_parent_even_if_nothing_of_it_is_kept():
    trace = searched("abcd", b=(0.35, 2.5), c=(1.3,), d=(1.4,))
    assert [trial.parent.id for trial in trace[3:]] == [START.id] * 2 and trace.incumbent.number == 0


# ---- measured again on purpose ----


def again(name):
    return named(name, repeats=1)


def test_a_candidate_that_is_measured_again_and_breaks_a_guardrail_loses_its_place_and_no_mechanism_saves_it():
    for mechanisms in ((), (KeepAll(),)):
        trace = searched(["a", again("a"), "b"], *mechanisms)
        assert trace[2].status is Status.GUARDRAIL and trace[2].score is None and not trace[2].decision.keep
        assert trace.upto(3).incumbent.number == 0 and trace.upto(3).current == START and trace[3].parent == START
    older = searched(["a", again("a")], rule=OLDER)
    assert older.incumbent.number == 1


def test_the_mean_over_all_its_runs_counts_and_not_that_of_the_last_trial():
    sizes = {"a": (1.0, 1.0, 2.3), "base": (1.0, 1.0, 1.0)}
    trace = searched(["a", again("a"), again("a")], guardrail=SHARE, sizes=sizes)
    assert trace[3].status is Status.GUARDRAIL, "by what it was measured on in this trial"
    assert not trace.out and trace.incumbent.number == 1 and trace.current == trace[1].candidate, "the mean is 1.43"
    sizes["a"] = (1.4, 1.4, 1.8)
    trace = searched(["a", again("a"), again("a")], guardrail=SHARE, sizes=sizes)
    assert "size is 1.53333 (mean of 3 runs)" in trace.out[trace[1].candidate.id] and trace.incumbent.number == 0


def test_who_is_out_stays_out_however_often_it_is_measured():
    trace = searched(["a", again("a"), again("a"), again("a")])
    assert [trial.status for trial in trace] == [Status.OK, Status.OK, *[Status.GUARDRAIL] * 3]
    assert [len(trial.fallen) for trial in trace] == [0, 0, 1, 0, 0] and trace.incumbent.number == 0
    assert trace[4].runs[0].metrics["size"] == 1.0 and "the worst of 2 runs" in trace[4].reason


def test_who_broke_one_at_once_does_not_come_back_by_a_better_seed():
    trace = searched(["a", again("a")], sizes={"a": (9.0, 1.0)})
    assert [trial.status for trial in trace[1:]] == [Status.GUARDRAIL] * 2 and trace.incumbent.number == 0
    assert searched(["a", again("a")], sizes={"a": (9.0, 1.0)}, rule=OLDER)[2].status is Status.OK


# ---- the same whoever looks ----


def test_with_workers_a_challenger_of_a_parent_that_fell_meanwhile_has_to_beat_the_best_that_holds():
    script = ["a", "d", "b", "c", "d"]
    options = {"b": (0.35, 2.5), "c": (0.38, 0.6), "d": (1.3, 1.4)}
    trace = searched(script, workers=2, **options)
    assert trace[3].fallen and trace[4].parent == trace[1].candidate and trace[4].sees == 3
    assert "its parent is out" in trace[4].decision.reason and "than trial 0, the best that" in trace[4].decision.reason
    assert trace[4].decision.keep and trace.incumbent.number == 4 and trace.current == trace[4].candidate
    assert searched(script, workers=2, **options).fingerprint() == trace.fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_dies_anywhere_and_goes_on_is_the_unbroken_one(workers):
    search = spec(["a", "b", again("a"), "c"], b=(0.35, 2.5), c=(0.9, 1.0))
    whole = Loop(search, Lab(MemoryStore(), workers=workers)).run()
    assert whole.out
    for store in dies_everywhere(search, workers):
        assert Lab(store).traces.trace("root", search.task.objective).fingerprint() == whole.fingerprint()


def test_who_fell_in_one_arm_of_a_fork_is_the_best_of_none():
    lab = Lab(MemoryStore())
    Loop(spec("a"), lab).run()
    one, other = (Branch(f"root/1.{arm}", "inner", "root", 2) for arm in ("challenger", "control"))
    Loop(spec(["a", "b"], b=(0.35, 2.5)), lab, one).run()
    trace = Loop(spec(["a", "d"], d=(1.3, 1.4)), lab, other).run()
    assert trace.incumbent.number == 1 and lab.traces.trace(one.id, trace.objective).incumbent.number == 0
    branch, best = archive_best(lab.store, spec("a"))
    assert (branch, best.number) == ("root", 0)
