"""In a fork the advice of the mechanism on trial is measured in each trial of its arm, and credited where it shows."""

from dataclasses import dataclass

import pytest
from asides import NOISE, Gated, Reads, Sampler, kinds, purposes
from tiny import Draws, Sources, guest, spec_of, trace_in

from bilevel.codec import content_hash
from bilevel.evidence import forks_of
from bilevel.lab import Lab, MemoryStore
from bilevel.levels import Inside
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.nesting import nest
from bilevel.shadow import aside_of
from bilevel.surfaces import MechanismSurface, SettingsSurface, admit_loadable
from bilevel.trial import Proposal

LISTEN = guest(
    "x", "def advise(self, view, briefing):\n    return briefing.with_block('x', 'listen: try another rate')"
).source
HELLO = guest("x", "def advise(self, view, briefing):\n    return briefing.with_block('x', 'hello')").source
BOTH = guest(
    "x",
    "def advise(self, view, briefing):\n    return briefing.with_block('x', 'hello')\n"
    "def decide(self, view, trial):\n    return Decision(not trial.decision.keep, 'the other way')",
).source


@dataclass(frozen=True)
class Turns:
    """Level 1.5: another strategy in each cycle."""

    name: str = "turns"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        return [Proposal(parent.with_params(strategy="explore" if view.number % 2 else "exploit"))]


def forked(source, model, *guests, trials=5, cycles=2, start="fork", researcher=None, store=None, between=False):
    """A run of level 2 that tries one mechanism, its lab, and the trial that tried it."""
    inner, surface = spec_of(NOISE, researcher or Reads(), mechanisms=guests), MechanismSurface(admit_loadable)
    if between:
        inner = nest(inner, SettingsSurface(), Turns(), name="settings", trials=2, cycles=2, start="continue")
        surface = Inside(surface)
    spec = nest(inner, surface, Sources((source,)), name="mechanisms", trials=trials, cycles=cycles, start=start)
    lab = Lab(store or MemoryStore(), models={"inner": model})
    trace = Loop(spec, lab).run()
    return trace, lab, trace[1]


def arm(lab, trial, name):
    branch = trial.runs[0].data["arms"][name]["branch"]
    return [t for t in lab.store.trials(branch) if t.number]


def test_each_trial_of_the_challenger_is_measured_and_none_of_the_control():
    _, lab, trial = forked(LISTEN, Sampler())
    assert [kinds(t) for t in arm(lab, trial, "challenger")] == [[("m1", "without"), ("", "again")]] * 5
    assert not any(t.shadows for t in arm(lab, trial, "control"))


def test_the_control_takes_over_what_was_asked_without_the_advice_where_it_stands_at_the_same_place():
    _, lab, _ = forked(LISTEN, Sampler())
    by_arm = [call.branch.rpartition(".")[2] for call in lab.store.calls() if call.branch.startswith("root/1.")]
    assert by_arm.count("challenger") == 15 and by_arm.count("control") == 4


def test_advice_that_shows_beyond_the_noise_is_credited():
    _, _, trial = forked(LISTEN, Sampler())
    assert "discredit" not in trial.runs[0].data
    assert trial.runs[0].data["ledger"]["m1"]["advise"] == [5, 5, 5, 0]


def test_advice_that_shows_no_more_than_the_noise_is_not_shown_yet_rather_than_inert():
    _, _, trial = forked(HELLO, Sampler(sampled=True))
    assert trial.runs[0].data["ledger"]["m1"]["advise"][2] == 5
    assert not trial.decision.keep and trial.decision.reason.startswith("not shown yet")
    assert "the advice of m1: drafts differed in 5 of 5 asks without it, and in 5 of 5" in trial.decision.reason


def test_few_asks_show_nothing_yet():
    _, _, trial = forked(LISTEN, Sampler(), trials=2)
    assert trial.decision.reason.startswith("not shown yet") and "p = 0.17" in trial.decision.reason


def test_advice_that_ends_each_pass_is_evidence_and_not_inert():
    trace, _, trial = forked(HELLO, Sampler(), researcher=Gated())
    assert "inert" not in trial.runs[0].data and "discredit" not in trial.runs[0].data
    assert trial.runs[0].data["ledger"]["m1"]["advise"] == [5, 5, 5, 0]
    assert not trial.decision.keep and "its control" in trial.decision.reason
    assert len(forks_of(trace, "m1", content_hash(HELLO))) == 1


def test_advice_of_which_no_ask_could_be_compared_is_not_called_inert():
    _, _, trial = forked(HELLO, Sampler(), researcher=Gated(silent=True))
    assert not trial.decision.keep and "inert" not in trial.runs[0].data
    assert trial.decision.reason.startswith("not shown yet to matter")
    assert "none of 5 asks without it could be compared" in trial.decision.reason


def test_advice_without_which_nothing_differs_is_inert():
    _, _, trial = forked(HELLO, Sampler())
    assert trial.decision.reason == "inert: m1 changed no decision, so no gain is credited"


def test_a_mechanism_that_changes_decisions_otherwise_need_not_show_that_its_advice_matters():
    _, lab, trial = forked(BOTH, Sampler(sampled=True))
    assert any(t.shadows for t in arm(lab, trial, "challenger")) and "discredit" not in trial.runs[0].data


def test_a_mechanism_that_is_not_on_trial_is_left_alone():
    _, lab, trial = forked(HELLO, Sampler(), Guest("polite", HELLO))
    assert {name for t in arm(lab, trial, "challenger") for name, _ in kinds(t)} == {"m1", ""}


def test_a_trial_without_a_control_is_measured_too():
    _, lab, trial = forked(LISTEN, Sampler(), start="continue")
    assert all(t.shadows for t in arm(lab, trial, "only")) and "discredit" not in trial.runs[0].data


def test_it_is_measured_below_the_level_between():
    _, lab, trial = forked(LISTEN, Sampler(), between=True)
    below = [t for b in lab.store.branches() if b.level == "inner" and b.id.startswith("root/1.challenger")
             for t in lab.store.trials(b.id)]  # fmt: skip
    assert len(below) == 10 and all(t.shadows for t in below)
    assert trial.runs[0].data["ledger"]["m1"]["advise"][2] == 10 and "discredit" not in trial.runs[0].data


def test_for_a_free_researcher_one_difference_is_proof():
    class Heeds(Draws):
        def propose(self, view, parent, briefing):
            return super().propose(view, parent, briefing) if briefing.blocks else []

    source = guest("x", "def advise(self, view, briefing):\n    return briefing.with_block('x', 'round')").source
    _, lab, trial = forked(source, Sampler(), trials=1, researcher=Heeds(reads_advice=True))
    assert "discredit" not in trial.runs[0].data and purposes(lab) == []


@pytest.mark.parametrize("between", [False, True])
def test_a_fork_that_is_killed_within_any_ask_asks_nothing_twice(between):
    whole, lab, _ = forked(LISTEN, Sampler(), trials=2, between=between)
    asked = len(lab.store.calls())

    class Gone(BaseException):
        pass

    for number in range(1, asked + 1):
        store, first, second = MemoryStore(), Sampler(fails_at=number, failure=Gone()), Sampler()
        with pytest.raises(Gone):
            forked(LISTEN, first, trials=2, store=store, between=between)
        trace, _, _ = forked(LISTEN, second, trials=2, store=store, between=between)
        assert trace.fingerprint() == whole.fingerprint()
        assert len(first.asked) - 1 + len(second.asked) == asked


def test_what_was_asked_on_the_side_is_marked_in_the_record():
    _, lab, _ = forked(LISTEN, Sampler())
    assert {aside_of(purpose) for purpose in purposes(lab)} == {"", "without m1", "again"}
    assert trace_in(lab.store, NOISE.objective, "root/1.challenger")[-1].shadows
