"""Mechanisms in force: what they change is counted, what they break is stored, and nothing they do stops a loop."""

import math
from dataclasses import replace

import pytest
from tiny import START, Draws, Script, TinyTask, count_of, dies_everywhere, guest, made, search, spec_of, trace_in

from bilevel.budget import Budget
from bilevel.errors import GuestError, HarnessError
from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.mechanism import HOOKS, Guest, Mechanism, load, overridden
from bilevel.settings import Settings
from bilevel.space import Candidate, Choice, Float, Int, Space
from bilevel.trial import Count, Decision, Proposal, Status, Step
from bilevel.view import Block, Briefing

LISTS = {n: [{"depth": n}, {"depth": n, "bias": True}] for n in range(1, 8)}
SCRIPT = Script(LISTS)
TOLD = Draws(reads_advice=True)


class Baseline(Mechanism):
    def select(self, view, parent):
        return view.trace.baseline.candidate


class SelectsThenUndone(Mechanism):
    """Placed before Baseline, which answers the same whatever it is asked."""

    def select(self, view, parent):
        return view.trace.incumbent.candidate


class Second(Mechanism):
    def propose(self, view, parent, proposals):
        return proposals[::-1]


class Longer(Mechanism):
    def propose(self, view, parent, proposals):
        return (*proposals, Proposal(parent.with_params(depth=11)))


class Flat(Mechanism):
    def constrain(self, view, space):
        return space.freeze(["bias", "batch", "rate", "shift", "shape"], "flat")


class Weighs(Mechanism):
    def constrain(self, view, space):
        return space.weigh("rate", 2.0)


class SaysRound(Mechanism):
    def advise(self, view, briefing):
        return briefing.with_block("m", "try round")


class SaysHello(Mechanism):
    def advise(self, view, briefing):
        return briefing.with_block("m", "hello")


class OtherSeed(Mechanism):
    def plan(self, view, proposal, partial, steps):
        return (Step("full", 0), Step("full", 1)) if not partial else steps


class OneMore(Mechanism):
    def plan(self, view, proposal, partial, steps):
        return (*steps, Step("full", 1)) if not partial else steps


class AsPlanned(Mechanism):
    def plan(self, view, proposal, partial, steps):
        return (Step("full", 0),) if not partial else steps


class Never(Mechanism):
    def decide(self, view, trial):
        return Decision(False, "never")


class Rewords(Mechanism):
    def decide(self, view, trial):
        return replace(trial.decision, reason="in other words")


@pytest.mark.parametrize(
    ("mechanism", "hook", "researcher"),
    [(Baseline, "select", Draws()), (Second, "propose", SCRIPT), (Flat, "constrain", Draws()),
     (SaysRound, "advise", TOLD), (OtherSeed, "plan", Draws()),
     (OneMore, "plan", Draws()), (Never, "decide", Draws())],
)  # fmt: skip
def test_what_changes_the_outcome_is_decisive(mechanism, hook, researcher):
    count = count_of(search(spec_of(None, researcher, mechanism(), trials=7)), mechanism.__name__, hook)
    assert 0 < count.decisive <= count.touched <= count.calls
    assert count.faults == 0


@pytest.mark.parametrize(
    ("mechanism", "hook", "researcher"),
    [(Longer, "propose", SCRIPT), (Weighs, "constrain", Draws()), (SaysHello, "advise", TOLD),
     (SaysRound, "advise", Draws()), (Rewords, "decide", Draws())],
)  # fmt: skip
def test_what_only_looks_different_is_touched_and_not_decisive(mechanism, hook, researcher):
    count = count_of(search(spec_of(None, researcher, mechanism(), trials=7)), mechanism.__name__, hook)
    assert count.touched > 0 and count.decisive == 0


def test_a_plan_that_another_one_overrides_is_touched_and_not_decisive():
    trace = search(spec_of(None, None, OneMore(), AsPlanned(), trials=5))
    assert count_of(trace, "OneMore", "plan").touched > 0 and count_of(trace, "OneMore", "plan").decisive == 0
    assert count_of(trace, "AsPlanned", "plan").decisive > 0


def test_a_selection_that_another_one_overrides_is_touched_and_not_decisive():
    class Old(Mechanism):
        def select(self, view, parent):
            return view.trace.baseline.candidate

    trace = search(spec_of(None, SCRIPT, SelectsThenUndone(), Old(), trials=7))
    first, second = count_of(trace, "SelectsThenUndone", "select"), count_of(trace, "Old", "select")
    assert first.decisive == 0 and second.decisive > 0
    never = search(spec_of(None, SCRIPT, Never(), SelectsThenUndone(), Old(), trials=7))
    count = count_of(never, "SelectsThenUndone", "select")
    assert count.touched > 0 and count.decisive == 0


def test_of_two_that_do_the_same_both_are_touched_and_neither_is_decisive():
    class Never2(Never):
        pass

    class Drop(Mechanism):
        def propose(self, view, parent, proposals):
            return [Proposal(parent.with_params(shape="long", depth=view.number))]

    class Drop2(Drop):
        pass

    trace = search(
        spec_of(None, Script({n: [{"bias": True, "depth": n}] for n in range(1, 5)}), Drop(), Drop2(), trials=4)
    )
    assert count_of(trace, "Drop", "propose") == Count(4, 4, 0, 0)
    assert count_of(trace, "Drop2", "propose").decisive == 0
    both = search(spec_of(None, SCRIPT, Never(), Never2(), trials=5))
    kept = sum(t.score is not None and t.score < both.baseline.score for t in both)
    assert kept > 0
    assert count_of(both, "Never", "decide").touched > 0 and count_of(both, "Never", "decide").decisive == 0


def test_a_placebo_touches_nothing():
    class Placebo(Mechanism):
        def remember(self, memory, trial):
            return memory

        def select(self, view, parent):
            return parent

        def advise(self, view, briefing):
            return briefing

        def constrain(self, view, space):
            return space

        def propose(self, view, parent, proposals):
            return list(proposals)

        def plan(self, view, proposal, partial, steps):
            return list(steps)

        def decide(self, view, trial):
            return trial.decision

    assert overridden(Placebo()) == HOOKS
    for researcher in (Draws(), SCRIPT, TOLD, Draws(free=False)):
        trace = search(spec_of(None, researcher, Placebo(), trials=7))
        ledger = trace.ledger()["Placebo"]
        assert set(ledger) == set(HOOKS)
        assert all(
            count.calls > 0 and count.touched == count.decisive == count.faults == 0 for count in ledger.values()
        )
        plain = search(spec_of(None, researcher, trials=7))
        assert [t.candidate.id for t in trace] == [t.candidate.id for t in plain]
        assert [t.decision for t in trace] == [t.decision for t in plain]


def test_a_constraint_counts_with_a_researcher_that_is_not_free_where_it_bound_a_draft():
    asked = []

    class Dear(Script):
        def propose(self, view, parent, briefing):
            asked.append(view.number)
            return super().propose(view, parent, briefing)

    class NoBias(Mechanism):
        def constrain(self, view, space):
            return space.freeze(["bias"], "no bias")

    lists = {1: [{"bias": True}, {"depth": 3}], 2: [{"depth": 4}]}
    trace = search(spec_of(None, Dear(lists, free=False), NoBias(), trials=2))
    assert trace[1].changes.keys() == {"depth"}
    assert trace[1].turned_back[0].reason == "bias is frozen by no bias"
    assert trace[1].ledger["NoBias"]["constrain"].decisive == 1
    assert trace[2].ledger["NoBias"]["constrain"] == Count(1, 1, 0, 0)
    assert asked == [1, 2]


def test_where_mechanisms_leave_nothing_the_first_valid_draft_runs_and_that_is_recorded():
    class Picky(Mechanism):
        def propose(self, view, parent, proposals):
            return [proposal.drop("I have seen better") for proposal in proposals]

    trace = search(spec_of(None, Script({1: [{"depth": 99}, {"depth": 5}]}), Picky(), trials=1))
    assert trace[1].overruled and trace[1].candidate.params["depth"] == 5
    assert trace[1].turned_back[0].reason == "Picky: I have seen better"
    assert trace[1].ledger["Picky"]["propose"].calls == 3


def test_what_a_mechanism_proposes_bears_its_name():
    trace = search(spec_of(None, Script({}), Longer(), trials=1))
    assert trace[1].proposal.author == "Longer"
    assert search(spec_of(trials=1))[1].proposal.author == "draws"


class Raises(Mechanism):
    def __init__(self, hook, error=None):
        self.hook, self.error = hook, error or ValueError("oops")

    def _fail(self, hook, value):
        if hook == self.hook:
            raise self.error
        return value

    def remember(self, memory, trial):
        return self._fail("remember", memory)

    def select(self, view, parent):
        return self._fail("select", parent)

    def advise(self, view, briefing):
        return self._fail("advise", briefing)

    def constrain(self, view, space):
        return self._fail("constrain", space)

    def propose(self, view, parent, proposals):
        return self._fail("propose", proposals)

    def plan(self, view, proposal, partial, steps):
        return self._fail("plan", steps)

    def decide(self, view, trial):
        return self._fail("decide", trial.decision)


@pytest.mark.parametrize("error", [ValueError("oops"), GuestError("oops"), SystemExit("oops"), RecursionError("oops")])
@pytest.mark.parametrize("hook", HOOKS)
def test_one_that_raises_is_skipped_stored_and_retired(hook, error):
    plain = search(spec_of(trials=6))
    trace = search(spec_of(None, None, Raises(hook, error), trials=6))
    assert [t.candidate.id for t in trace] == [t.candidate.id for t in plain]
    faults = [(trial.number, fault) for trial in trace for fault in trial.faults]
    assert 3 <= len(faults) <= 4 and faults[-1][0] <= 3  # a plan is asked twice per trial
    assert all((fault.guest, fault.hook) == ("Raises", hook) and "oops" in fault.message for _, fault in faults)
    assert count_of(trace, "Raises", hook).faults == len(faults)
    assert "Raises" not in trace[6].ledger
    patient = search(spec_of(None, None, Raises(hook, error), trials=6, settings=Settings(max_faults=99)))
    assert patient[6].faults


def test_our_own_errors_are_not_a_guests_fault():
    with pytest.raises(HarnessError):
        search(spec_of(None, None, Raises("select", HarnessError("the disk is gone")), trials=1))


def spaces():
    domains = TinyTask().space.domains
    yield "wider", Space({**domains, "depth": Int(1, 99)})
    yield "no power of two", Space({**domains, "batch": Int(16, 1024)})
    yield "unlocked", Space({**domains, "edition": Int(1, 3)})
    yield "another kind", Space({**domains, "depth": Float(1, 2)})
    yield "fewer", Space({"depth": Int(1, 12)})
    yield "nothing active", Space(domains, dict.fromkeys(domains, "me"))
    yield "not a number", Space(domains, caps={"rate": math.nan})
    yield "negative", Space(domains, weights={"rate": -1.0})
    yield "a list", Space({**domains, "shape": Choice(["flat"])})
    yield "strange", Space(domains, frozen={"rate": object()})


NAN = Candidate({"a": math.nan})
BAD = [
    *[("select", answer) for answer in (None, "x", Candidate(), START.with_params(depth=3), NAN)],
    *[("constrain", answer) for answer in (None, {}, *[space for _, space in spaces()])],
    *[("advise", answer) for answer in (
        None, "be good", Briefing(blocks=(Block("me", "x" * 20_001),)), Briefing(blocks=(Block("me", None),)),
        Briefing(blocks=[Block("me", "x")]), Briefing(guidance=None), Briefing(history_window="all"),
        Briefing(blocks=(Block("me", "x" * 20_000),) * 99), Briefing(blocks=("x",)))],
    *[("propose", answer) for answer in (
        None, "x", [START], [Proposal(None)], [Proposal(START)] * 65, [Proposal(Candidate({"rate": math.inf}))],
        [Proposal(START, why=None)], [Proposal(START, dropped=3)], [Proposal(START, repeats=True)],
        [Proposal(Candidate({"rate": object()}))], [Proposal(Candidate({}, {"a": "x" * 1_000_001}))])],
    *[("plan", answer) for answer in (
        None, "full", [("full", 0)], [Step("tiny")], [Step("full", -1)], [Step("full", 0.5)], [Step("full", True)],
        [Step("full", 99)], [Step("full", n) for n in range(17)], [Step("full", 0), Step("full", 0)])],
    *[("decide", answer) for answer in (None, True, Decision(1, ""), Decision(True, None), Decision(True, "x" * 3000))],
]  # fmt: skip


class Answers(Raises):
    """Answers a hook with one fixed value."""

    def __init__(self, hook, answer):
        self.hook, self.answer = hook, answer

    def _fail(self, hook, value):
        return self.answer if hook == self.hook else value


@pytest.mark.parametrize(("hook", "answer"), BAD, ids=[f"{hook}-{n}" for n, (hook, _) in enumerate(BAD)])
def test_one_that_answers_nonsense_is_skipped_and_stored(hook, answer):
    plain = search(spec_of(None, TOLD, trials=3))
    trace = search(spec_of(None, TOLD, Answers(hook, answer), trials=3))
    assert trace[1].faults and {(fault.guest, fault.hook) for fault in trace[1].faults} == {("Answers", hook)}
    assert [t.candidate.id for t in trace] == [t.candidate.id for t in plain]


def test_a_cap_cannot_be_loosened_by_the_next_mechanism():
    class Caps(Mechanism):
        def constrain(self, view, space):
            return space.cap("rate", 0.1)

    class Loosens(Mechanism):
        def constrain(self, view, space):
            return Space(space.domains, space.frozen)

    assert "capped" in search(spec_of(None, None, Caps(), Loosens(), trials=1))[1].faults[0].message


def test_what_a_mechanism_proposes_is_checked_like_everything_else():
    class Wild(Mechanism):
        def propose(self, view, parent, proposals):
            wild = ({"edition": 2}, {"batch": 17}, {"depth": True}, {}, {"rate": "fast"})
            files = Proposal(Candidate(parent.params, {"score.py": "cheat"}))
            return [*(Proposal(parent.with_params(**item)) for item in wild), files, *proposals]

    trace = search(spec_of(None, Script({1: [{"depth": 5}]}), Wild(), trials=1))
    assert trace[1].candidate.params["depth"] == 5
    assert [back.reason for back in trace[1].turned_back] == [
        "edition is locked by the task",
        "batch: 17 is not a power of two",
        "depth: needs a whole number, not True",
        f"already measured as trial 0 (score {trace[0].score:.6g})",
        "rate: needs a finite number, not 'fast'",
        "files are not allowed",
    ]


def test_memory_is_the_fold_of_the_trials_that_the_view_holds():
    seen = []

    class Counts(Mechanism):
        def remember(self, memory, trial):
            return (*(memory or ()), trial.number)

        def decide(self, view, trial):
            seen.append((view.memory, len(view.trace)))
            return trial.decision

    trace = search(spec_of(None, None, Counts(), trials=150))
    assert all(memory == tuple(range(length)) for memory, length in seen)
    assert count_of(trace, "Counts", "remember") == Count(150, 150, 0, 0)


def test_a_guest_that_asks_a_model_where_there_is_none_is_told_so():
    class Asks(Mechanism):
        def select(self, view, parent):
            view.ask("what now?", "key")
            return parent

    assert "no language model" in search(spec_of(None, None, Asks(), trials=1))[1].faults[0].message


@pytest.mark.parametrize(
    ("source", "reason"),
    [("x = (", "SyntaxError"), ("raise SystemExit(3)", "SystemExit"), ("1 / 0", "ZeroDivisionError"),
     ("", "exactly one"),
     ("from bilevel.mechanism import Mechanism\nclass A(Mechanism): pass\nclass B(Mechanism): pass", "exactly one"),
     ("from bilevel.mechanism import Mechanism\nclass A(Mechanism):\n    def __init__(self): 1 / 0", "ZeroDiv")],
)  # fmt: skip
def test_one_that_cannot_be_loaded_is_a_stored_fault_and_the_loop_goes_on(source, reason):
    with pytest.raises(GuestError, match=reason):
        load(Guest("odd", source))
    spec = spec_of(
        trials=2, mechanisms=(Guest("odd", source), guest("fine", "def select(self, view, parent): return parent"))
    )
    trace = search(spec)
    assert [(fault.guest, fault.hook) for fault in trace[1].faults] == [("odd", "load")]
    assert reason in trace[1].faults[0].message and not trace[2].faults
    assert trace[1].ledger["fine"]["select"].calls == 1
    for store in dies_everywhere(spec):
        assert trace_in(store, spec.task.objective).fingerprint() == trace.fingerprint()


def test_one_class_under_two_names_is_one_class():
    assert load(Guest("a", "from bilevel.mechanism import Mechanism\nclass A(Mechanism): pass\nB = A"))


# ---- every setting has an effect ----


def whys(trace):
    return [trial.proposal.why.split("|") for trial in trace[1:]]


def test_frozen_parameters_keep_their_value():
    settings = Settings(frozen={name: "test" for name in ("rate", "shift", "batch", "depth", "bias")})
    trace = search(spec_of(None, None, trials=2, settings=settings))
    assert trace[1].changes.keys() == {"shape"}
    trace = search(spec_of(None, Script({1: [{"depth": 3}]}), trials=1, settings=settings))
    assert trace[1].reason == "depth is frozen by settings (test)"


def test_strategy_guidance_and_history_window_reach_the_researcher():
    settings = Settings(strategy="explore", guidance="be bold", history_window=7)
    trace = search(spec_of(trials=3, settings=settings))
    assert all(why[:3] == ["explore", "be bold", "7"] for why in whys(trace))
    assert max(len(trial.changes) for trial in trace) > 1


def test_drafts_are_how_many_proposals_are_asked_for():
    numbers = []

    class Counts(Mechanism):
        def propose(self, view, parent, proposals):
            numbers.append(len(proposals))
            return proposals

    search(spec_of(None, None, Counts(), trials=1, settings=Settings(drafts=4)))
    assert numbers[0] == 4


@pytest.mark.parametrize("redrafts", [0, 1, 5])
def test_redrafts_are_how_often_it_is_asked_again(redrafts):
    trace = search(spec_of(None, Script({1: [{}]}), trials=1, settings=Settings(redrafts=redrafts)))
    assert len(trace[1].turned_back) == redrafts + 1 and trace[1].status is Status.REFUSED


def test_max_faults_is_when_a_mechanism_is_retired():
    for most in (1, 2, 5):
        trace = search(spec_of(None, None, Raises("select"), trials=8, settings=Settings(max_faults=most)))
        assert sum(len(trial.faults) for trial in trace) == most


def test_many_workers_see_their_own_memories():
    class Counts(Mechanism):
        def remember(self, memory, trial):
            return (memory or 0) + 1

        def plan(self, view, proposal, partial, steps):
            assert view.memory == len(view.trace)
            return steps

    spec = replace(spec_of(None, None, Counts(), trials=200), budget=Budget(trials=200))
    trace = Loop(spec, Lab(workers=64)).run()
    assert not any(trial.faults for trial in trace)
    assert made(Counts())["mechanisms"][0].name == "Counts"
