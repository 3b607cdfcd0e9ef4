"""One loop: what is asked, measured, decided, stored and resumed."""

import math
import threading
from dataclasses import replace

import pytest
from tiny import START, Draws, Reordered, Script, TinyTask, dies_everywhere, search, spec_of, trace_in

from bilevel.budget import Budget, Cost
from bilevel.errors import HarnessError, InputError, Stopped
from bilevel.lab import Branch, Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Mechanism
from bilevel.rules import Rule
from bilevel.space import Candidate
from bilevel.task import Rung
from bilevel.trial import Proposal, Run, Status, Step

GOOD = {"shape": "round"}
ONCE = Rule("greedy")  # one measurement per idea


def test_the_baseline_comes_first_on_all_calibration_seeds():
    task = TinyTask(noise=0.1)
    trace = search(spec_of(task, trials=0, calibration=4))
    baseline = trace.baseline
    assert len(trace) == 1 and baseline.candidate == START and baseline.decision.keep
    assert [run.seed for run in baseline.runs] == [0, 1, 2, 3]
    assert baseline.score == pytest.approx(sum(run.metrics["loss"] for run in baseline.runs) / 4)
    assert trace.noise.n == 4 and trace.noise.sd > 0


def test_a_loop_runs_its_budget_of_trials_and_keeps_what_is_better():
    trace = search(spec_of(trials=30))
    assert len(trace) == 31
    assert trace.incumbent.score < trace.baseline.score
    assert trace[5].changes == trace[5].candidate.changes_from(trace[5].parent)
    for trial in trace[1:]:
        assert trial.decision.keep == (trial.score is not None and trial.score < trace.of(trial.parent.id).score)


def test_a_duplicate_is_turned_back_with_the_reason():
    class Twice(Script):
        def propose(self, view, parent, briefing):
            if view.number == 2 and not briefing.turned_back:
                return [Proposal(view.trace[1].candidate)]
            return super().propose(view, parent, briefing)

    task = TinyTask()
    trace = search(spec_of(task, Twice({1: [GOOD], 2: [{"bias": True}]}), trials=2, keep=ONCE))
    assert trace[2].turned_back[0].candidate == trace[1].candidate.id
    assert trace[2].turned_back[0].reason == f"already measured as trial 1 (score {trace[1].score:.6g})"
    assert trace[2].candidate.params["bias"] is True
    assert task.calls.count(trace[1].candidate.id) == 1


def test_where_nothing_new_comes_the_trial_is_refused_and_nothing_runs():
    task = TinyTask()
    trace = search(spec_of(task, Script({1: [{}], 2: [{"depth": 99}]}), trials=3))
    assert [trial.status for trial in trace[1:]] == [Status.REFUSED] * 3
    assert trace[1].reason.startswith("already measured as trial 0")
    assert trace[2].reason == "depth: 99 is outside [1, 12]"
    assert trace[3].reason == "researcher 'script' had nothing to propose"
    assert all(not trial.runs and not trial.decision.keep for trial in trace[1:])
    assert len(task.calls) == 3 and trace.current == START
    assert len(trace[1].turned_back) == 3  # one draft and two redrafts


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, True, "0.1"])
def test_a_score_that_is_no_number_is_an_invalid_metric_and_never_best(value):
    class Odd(TinyTask):
        def run(self, candidate, bench):
            run = super().run(candidate, bench)
            if candidate == START:
                return run
            return replace(run, metrics={} if value is None else {"loss": value})

    trace = search(spec_of(Odd(), Script({1: [GOOD]}), trials=1))
    assert trace[1].status is Status.INVALID_METRIC and trace[1].score is None
    assert not trace[1].decision.keep and trace.incumbent.number == 0
    assert "missing or not a finite number" in trace[1].runs[0].log


def test_other_metrics_that_are_no_numbers_are_left_out():
    class Chatty(TinyTask):
        def run(self, candidate, bench):
            run = super().run(candidate, bench)
            return replace(run, metrics={**run.metrics, "gradient": math.nan})

    trace = search(spec_of(Chatty(), trials=2))
    assert trace[2].status is Status.OK and set(trace[2].runs[0].metrics) == {"loss"}
    assert trace.fingerprint()


def test_a_task_may_compute_its_score_from_other_metrics():
    class Summed(TinyTask):
        def run(self, candidate, bench):
            run = super().run(candidate, bench)
            return replace(run, metrics={"a": run.metrics["loss"], "b": 1.0})

        def evaluate(self, run):
            return run.metrics["a"] + run.metrics["b"]

    trace = search(spec_of(Summed(noise=0.1), trials=3, keep=Rule("margin")))
    assert trace.baseline.score > 1 and trace.noise.n == 3


def test_a_crash_is_never_kept_and_not_run_again():
    class KeepAll(Mechanism):
        def decide(self, view, trial):
            return replace(trial.decision, keep=True, reason="always")

    trace = search(spec_of(TinyTask(), Script({1: [{"depth": 12}], 2: [{"depth": 12}]}), KeepAll(), trials=2))
    assert trace[1].status is Status.EXIT and trace[1].reason == "Too deep" and not trace[1].decision.keep
    assert trace[1].faults[0].message == "a trial without a score cannot be kept"
    assert trace[2].reason == "already measured as trial 1 (exit)"


def test_a_baseline_that_fails_is_the_users_to_mend():
    task = TinyTask(start=START.with_params(depth=12))
    with pytest.raises(InputError, match=r"baseline .* fails .*exit"):
        search(spec_of(task, Script({1: [{"depth": 5}]}), trials=2))


class Broken(TinyTask):
    """A machine that fails from some run on."""

    good = 0

    def run(self, candidate, bench):
        self.good -= 1
        ill = Run(bench.rung, bench.seed, Status.INFRASTRUCTURE, log="no torch")
        return super().run(candidate, bench) if self.good >= 0 else ill


def test_a_machine_that_cannot_measure_the_baseline_ends_the_run():
    with pytest.raises(HarnessError, match=r"baseline .* no torch"):
        search(spec_of(Broken(), Script({}), trials=2))


def test_a_machine_that_keeps_failing_ends_the_run_and_it_can_be_resumed():
    task, lab = Broken(), Lab()
    task.good = 4
    spec = spec_of(task, Script({n: [{"depth": d}] for n, d in enumerate((5, 4, 3, 2, 1, 6, 7), 1)}), trials=7)
    with pytest.raises(HarnessError, match=r"5 trials in a row.*resume"):
        Loop(spec, lab).run()
    task.good = 100
    assert len(Loop(spec, lab).run()) == 8


def test_the_margin_decides_on_the_seeds_that_both_were_measured_on():
    class Steps(TinyTask):
        def run(self, candidate, bench):
            base = {2.5: 1.0, 2.0: 0.95, 1.5: 0.5}[candidate.params["shift"]]
            return Run(bench.rung, bench.seed, Status.OK, {"loss": base + 0.1 * bench.seed_index}, Cost(1))

    trials = Script({1: [{"shift": 2.0}], 2: [{"shift": 1.5}]})
    trace = search(spec_of(Steps(), trials, trials=2, keep=Rule("margin")))
    assert trace.noise.sd == pytest.approx(0.1)
    assert trace[1].decision.reason == "better than its parent (trial 0) by 0.05, within the noise margin of 0.413"
    assert not trace[1].decision.keep and trace[2].decision.keep
    assert trace[2].decision.reason.startswith("better than its parent (trial 0) by 0.5")  # 0.6 of the mean scores


def test_maximizing_is_minimizing_the_other_way_round():
    down, up = search(spec_of(TinyTask(), trials=20)), search(spec_of(TinyTask(minimize=False), trials=20))
    assert [t.candidate for t in down] == [t.candidate for t in up]
    assert [t.decision.keep for t in down] == [t.decision.keep for t in up]
    assert down.incumbent.number == up.incumbent.number


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_same_seed_gives_the_same_trace(workers):
    spec = spec_of(TinyTask(noise=0.1), trials=15)
    assert search(spec, workers).fingerprint() == search(spec, workers).fingerprint()
    assert search(spec, workers).fingerprint() != search(replace(spec, seed=1), workers).fingerprint()


def test_with_two_workers_the_order_in_which_runs_end_changes_nothing():
    class Memory(Mechanism):
        def remember(self, memory, trial):
            return (*(memory or ()), trial.number)

        def select(self, view, parent):
            assert view.memory == tuple(range(len(view.trace)))
            assert [pending.number for pending in view.pending] == list(range(len(view.trace), view.number))
            return view.trace.incumbent.candidate

    plain = search(spec_of(TinyTask(), None, Memory(), trials=8), 2)
    turned = search(spec_of(Reordered(), None, Memory(), trials=8), 2)
    assert turned.fingerprint() == plain.fingerprint()
    assert not any(trial.faults for trial in plain)


def test_with_workers_a_budget_of_evaluations_ends_at_the_same_trial_whoever_is_faster():
    budget = Budget(trials=8, evaluations=9)
    lengths = {len(search(spec_of(task(), budget=budget, keep=ONCE), 2)) for task in (TinyTask, Reordered)}
    assert lengths == {7}  # 3 of calibration, 6 trials


def test_with_workers_a_trial_sees_neither_more_nor_less_than_its_number_says():
    for workers in (2, 3):
        store = MemoryStore()
        seen = []

        class Spy(Draws):
            def propose(self, view, parent, briefing):
                seen.append((view.number, len(view.trace)))  # noqa: B023
                return super().propose(view, parent, briefing)

        search(spec_of(researcher=Spy(), trials=7), workers, store)
        assert set(seen) == {(n, max(1, n - workers + 1)) for n in range(1, 8)}


def test_step_by_step_with_workers_gives_the_trace_of_a_run_with_workers():
    class Count(Mechanism):
        def remember(self, memory, trial):
            return (memory or 0) + 1

    spec = spec_of(None, None, Count(), trials=8)
    loop = Loop(spec, Lab(workers=3))
    while not loop.finished:
        loop.step()
    assert loop.trace.fingerprint() == search(spec, 3).fingerprint()


class Busy(Mechanism):
    """Uses every hook, and fails now and then."""

    def remember(self, memory, trial):
        return (memory or 0) + (trial.score is not None)

    def select(self, view, parent):
        return view.trace.incumbent.candidate if view.memory % 2 else parent

    def constrain(self, view, space):
        return space.freeze(["depth"], "busy") if view.number % 3 else space

    def propose(self, view, parent, proposals):
        if view.number == 5:
            raise ValueError("five")
        return [proposal for proposal in proposals if proposal.candidate.params["batch"] != 64]

    def plan(self, view, proposal, partial, steps):
        return (*steps, Step("full", 1)) if len(partial) == 0 and view.number % 2 else steps

    def decide(self, view, trial):
        return replace(trial.decision, keep=trial.score is not None and view.number % 4 == 0, reason="busy")


@pytest.mark.parametrize("workers", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_write_and_resumed_is_the_unbroken_run(workers):
    spec = spec_of(TinyTask(noise=0.2), None, Busy(), trials=7)
    whole = search(spec, workers)
    assert whole.ledger()["Busy"].keys() == {"remember", "select", "constrain", "propose", "plan", "decide"}
    for store in dies_everywhere(spec, workers):
        assert trace_in(store, spec.task.objective).fingerprint() == whole.fingerprint()
        assert store.pendings("root") == []


def test_between_ask_and_tell_a_resume_asks_nobody_again():
    asked = []

    class Spy(Draws):
        def propose(self, view, parent, briefing):
            asked.append(view.number)
            return super().propose(view, parent, briefing)

    task, store = TinyTask(), MemoryStore()
    spec = spec_of(task, Spy(), trials=3)
    loop = Loop(spec, Lab(store))
    loop.step()
    pending = loop.ask()
    loop.measure(pending)
    measured, times = len(task.calls), len(asked)
    again = Loop(spec, Lab(store))
    assert again.ask() == pending and len(asked) == times
    again.tell(pending, *again.measure(pending))
    assert len(task.calls) == measured  # the run itself was stored
    assert again.trace[1].proposal == pending.proposal


def test_a_run_can_be_resumed_with_another_number_of_workers():
    spec, store = spec_of(trials=5), MemoryStore()
    search(spec, 1, store)
    trace = search(replace(spec, budget=Budget(trials=12)), 3, store)
    assert len(trace) == 13
    assert len({trial.candidate.id for trial in trace if trial.runs}) == len([t for t in trace if t.runs])


def test_a_failure_of_the_machine_is_retried_once_and_never_held_against_the_candidate():
    class Shaky(TinyTask):
        def run(self, candidate, bench):
            run = super().run(candidate, bench)
            ill = candidate != START and self.calls.count(candidate.id) <= self.failures
            return Run(bench.rung, bench.seed, Status.INFRASTRUCTURE, cost=Cost(1), log="disk full") if ill else run

    once, twice = Shaky(), Shaky()
    once.failures, twice.failures = 1, 2
    trace = search(spec_of(once, Script({1: [GOOD]}), trials=1, keep=ONCE))
    assert trace[1].status is Status.OK and once.calls.count(trace[1].candidate.id) == 2
    trace = search(spec_of(twice, Script({1: [GOOD], 2: [GOOD]}), trials=2, keep=ONCE))
    assert trace[1].status is Status.INFRASTRUCTURE and trace[1].reason == "disk full" and trace[1].score is None
    assert trace[2].candidate == trace[1].candidate and trace[2].status is Status.OK


def test_a_stop_between_trials_ends_the_run_and_a_resume_goes_on():
    lab = Lab()

    class Stopper(TinyTask):
        def run(self, candidate, bench):
            if len(self.calls) == 5:
                bench.lab.stop.set()
            return super().run(candidate, bench)

    spec = spec_of(Stopper(), trials=8, keep=ONCE)
    assert len(Loop(spec, lab).run()) == 4  # the trial that was running is finished
    assert Loop(spec, Lab(lab.store)).run().fingerprint() == search(spec_of(trials=8, keep=ONCE)).fingerprint()


def test_a_run_that_the_stop_interrupted_is_not_a_trial():
    class Interrupted(TinyTask):
        def run(self, candidate, bench):
            run = super().run(candidate, bench)
            if len(self.calls) == 5:
                bench.lab.stop.set()
                return Run(bench.rung, bench.seed, Status.INFRASTRUCTURE, log="killed")
            return run

    lab = Lab()
    with pytest.raises(Stopped, match="within trial 2"):
        Loop(spec_of(Interrupted(), trials=8, keep=ONCE), lab).run()
    assert len(lab.store.trials("root")) == 2 and len(lab.store.pendings("root")) == 1
    again = Loop(spec_of(trials=8, keep=ONCE), Lab(lab.store)).run()
    assert again.fingerprint() == search(spec_of(trials=8, keep=ONCE)).fingerprint()


@pytest.mark.parametrize(
    "answer",
    [
        None, 3, "text", ["text"], [Proposal(None)], [Proposal(Candidate({"rate": math.nan}))],
        [Proposal(START, why=5)], [Proposal(START, repeats=-1)], [Proposal(START, notes={"a": object()})],
        [Proposal(START.with_params(shape="x" * 2_000_000))], [Proposal(Candidate({1: 2}))],
        [Proposal(Candidate({}, {"a.py": 5}))], [Proposal(START)] * 100,
    ],
)  # fmt: skip
def test_a_researcher_that_answers_nonsense_is_a_fault_and_a_refused_trial(answer):
    class Odd(Script):
        def propose(self, view, parent, briefing):
            return answer if view.number == 1 else super().propose(view, parent, briefing)

    trace = search(spec_of(None, Odd({2: [GOOD]}), trials=2))
    assert trace[1].status is Status.REFUSED and trace[1].faults[0].guest == "researcher script"
    assert trace[2].status is Status.OK


def test_a_researcher_that_raises_is_a_fault_and_our_own_errors_are_not():
    class Raises(Script):
        def propose(self, view, parent, briefing):
            raise self.lists[view.number]

    trace = search(spec_of(None, Raises({1: ZeroDivisionError("oops")}), trials=1))
    assert trace[1].faults[0].message == "ZeroDivisionError: oops"
    for error in (HarnessError("no network"), InputError("no key"), Stopped("now")):
        with pytest.raises(type(error)):
            search(spec_of(None, Raises({1: error}), trials=1))


def test_a_repeat_measures_on_further_seeds_and_is_charged():
    class Again(Script):
        def propose(self, view, parent, briefing):
            return [Proposal(START, repeats=2)] if view.number == 1 else []

    lab = Lab()
    trace = Loop(spec_of(TinyTask(noise=0.1), Again({}), trials=1), lab).run()
    assert [run.seed for run in trace[1].runs] == [3, 4] and trace[1].status is Status.OK
    assert lab.meter.spent.evaluations == 5
    assert [t.number for t in trace.measured(START.id)] == [0, 1]


def test_a_measurement_that_is_known_is_not_made_again_but_charged():
    task, store = TinyTask(), MemoryStore()
    spec = spec_of(task, trials=5)
    search(spec, store=store)
    made = len(task.calls)
    lab = Lab(store)
    Loop(spec, lab, Branch("second", "inner")).run()
    assert len(task.calls) == made and lab.meter.spent.evaluations == made


def test_scores_come_from_the_top_rung_only():
    class Quick(Mechanism):
        def plan(self, view, proposal, partial, steps):
            if not partial:
                return (Step("quick"), *steps)
            return () if partial[-1].metrics["loss"] > 1.0 else steps

    class Rungs(TinyTask):
        def run(self, candidate, bench):
            run = super().run(candidate, bench)
            return replace(run, metrics={"loss": run.metrics["loss"] * (0.9 if bench.rung == "quick" else 1)})

    task = Rungs(rungs=(Rung("quick"), Rung("full")))
    trace = search(
        spec_of(
            task,
            Script({1: [{"depth": 9}], 2: [{"bias": True, "shift": -0.5, "shape": "round", "depth": 4}]}),
            Quick(),
            trials=2,
            keep=ONCE,
        )
    )
    assert trace[1].status is Status.PRUNED and trace[1].score is None and trace.of(trace[1].candidate.id) is None
    assert [run.rung for run in trace[2].runs] == ["quick", "full"]
    assert trace[2].score == trace[2].runs[1].metrics["loss"]


def test_guests_see_the_rungs_up_to_the_one_that_scores():
    task = TinyTask(rungs=(Rung("least"), Rung("quick"), Rung("full")))
    for rung, seen in (("", ("least", "quick", "full")), ("quick", ("least", "quick")), ("least", ("least",))):
        loop = Loop(spec_of(task, rung=rung), Lab())
        assert loop.view(1, loop.trace).rungs == seen


def test_an_unknown_rung_is_the_users_error():
    with pytest.raises(InputError, match="has no rung 'nonsense'"):
        Loop(spec_of(rung="nonsense"), Lab())


def test_a_fresh_start_every_few_trials_leaves_the_search_where_it_was():
    class Fresh(Mechanism):
        def select(self, view, parent):
            return view.trace.baseline.candidate if view.number % 4 == 0 else parent

    trace = search(spec_of(TinyTask(), None, Fresh(), trials=16))
    assert all(trace[n].parent == START for n in (4, 8, 12, 16))
    assert trace.incumbent.score <= min(t.score for t in trace if t.score is not None)
    assert trace.ledger()["Fresh"]["select"].decisive > 0


def test_two_threads_never_ask_a_mechanism_at_once():
    busy = threading.Lock()

    class Alone(Mechanism):
        def _alone(self, value):
            assert busy.acquire(blocking=False)
            busy.release()
            return value

        def select(self, view, parent):
            return self._alone(parent)

        def plan(self, view, proposal, partial, steps):
            return self._alone(steps)

    assert not any(trial.faults for trial in search(spec_of(None, None, Alone(), trials=20), 4))


def test_a_trial_is_measured_while_the_researcher_thinks_about_the_next_one():
    """Two seeds of trial 1 are run while trial 2 is being drafted."""
    measured = threading.Semaphore(0)
    task = TinyTask()
    run = task.run

    def told(candidate, bench):
        measured.release()
        return run(candidate, bench)

    task.run = told

    class Waits(Draws):
        def propose(self, view, parent, briefing):
            if view.number == 2:
                assert all(measured.acquire(timeout=10) for _ in range(3 + 2)), "the runs wait for the researcher"
            again = {"repeats": 2} if view.number == 1 else {}
            return [replace(proposal, **again) for proposal in super().propose(view, parent, briefing)]

    trace = search(spec_of(task, Waits(), trials=2), workers=2)
    assert not trace[2].faults and len(trace[1].runs) == 2
