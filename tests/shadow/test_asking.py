"""A researcher that costs something is asked on the side: when, what, and with no effect on the search."""

import json
from dataclasses import replace

import pytest
from asides import Gated, Hello, Learns, Listen, Reads, Sampler, Silence, Undone, kinds, purposes, searched
from tiny import Draws, search, spec_of

from bilevel.budget import Limits
from bilevel.errors import LimitReached, Stopped
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Mechanism
from bilevel.shadow import advice_of, aside_of
from bilevel.store.records import dump_record, load_pending, load_trial
from bilevel.trial import Pending, Shadow

WITHOUT_LISTEN, AGAIN = ("Listen", "without"), ("", "again")


def shadows_of(trace):
    return [trial.shadows for trial in trace]


def without_asides(trace):
    """All that the trials are, but for what was asked on the side."""
    return [replace(trial, shadows=(), ledger={}) for trial in trace]


class Nothing(Mechanism):
    def advise(self, view, briefing):
        return briefing.with_block("nothing", "listen: nothing")


# ---- what it shows ----


def test_advice_that_a_model_follows_makes_other_drafts_and_asking_again_does_not():
    trace, _ = searched(Sampler(), Listen(), shadow=1.0)
    assert all(kinds(trial) == [WITHOUT_LISTEN, AGAIN] for trial in trace if trial.number)
    found = advice_of("Listen", shadows_of(trace))
    assert (found.without.asks, found.without.differed, found.again.differed) == (6, 6, 0) and found.live
    assert set(found.without.how) == {"other parameters"}
    assert trace.ledger()["Listen"]["advise"].decisive == 6


def test_advice_that_says_nothing_changes_nothing_and_is_not_decisive():
    trace, _ = searched(Sampler(), Hello(), shadow=1.0)
    found = advice_of("Hello", shadows_of(trace))
    assert (found.without.asks, found.without.differed) == (6, 0) and not found.live
    assert trace.ledger()["Hello"]["advise"].decisive == 0 < trace.ledger()["Hello"]["advise"].touched


def test_with_a_noisy_model_empty_advice_makes_other_drafts_and_still_does_not_count_as_shown():
    trace, _ = searched(Sampler(sampled=True), Hello(), trials=10, shadow=1.0)
    found = advice_of("Hello", shadows_of(trace))
    assert found.without.differed >= 8 and found.again.differed >= 8 and not found.live
    assert trace.ledger()["Hello"]["advise"].decisive >= 8


def test_a_researcher_that_proposes_nothing_without_the_advice_or_with_it():
    trace, _ = searched(Sampler(), Nothing(), trials=3, shadow=1.0)
    for trial in trace[1:]:
        assert [shadow.how for shadow in trial.shadows] == ["nothing proposed", "same"]


# ---- when ----


def test_never_where_nobody_wants_to_know():
    trace, lab = searched(Sampler(), Listen())
    assert not any(shadows_of(trace)) and purposes(lab) == ["propose"] * 6


def test_in_a_share_of_the_trials_the_same_ones_each_time():
    one, lab = searched(Sampler(), Listen(), trials=40, shadow=0.4)
    other, _ = searched(Sampler(), Listen(), trials=40, shadow=0.4)
    asked = [trial.number for trial in one if trial.shadows]
    assert 5 < len(asked) < 30 and one.fingerprint() == other.fingerprint()
    assert purposes(lab).count("propose/again") == len(asked)


def test_in_every_trial_for_a_mechanism_that_is_watched_and_for_no_other():
    trace, lab = searched(Sampler(), Listen(), Hello(), watched=frozenset(["Listen"]))
    assert all(kinds(trial) == [WITHOUT_LISTEN, AGAIN] for trial in trace if trial.number)
    assert "propose/without Hello" not in purposes(lab)


def test_all_mechanisms_of_a_trial_share_one_ask_for_the_noise():
    trace, lab = searched(Sampler(), Listen(), Hello(), trials=2, shadow=1.0)
    assert kinds(trace[1]) == [WITHOUT_LISTEN, ("Hello", "without"), AGAIN]
    assert purposes(lab) == ["propose", "propose/without Listen", "propose/without Hello", "propose/again"] * 2


def test_not_where_another_mechanism_takes_the_advice_away():
    trace, lab = searched(Sampler(), Undone(), Silence(), watched=frozenset(["Undone"]))
    assert trace.ledger()["Undone"]["advise"].touched == 6 and not any(shadows_of(trace))
    assert purposes(lab) == ["propose"] * 6


def test_not_where_the_researcher_is_free_or_deaf():
    class SaysRound(Mechanism):
        def advise(self, view, briefing):
            return briefing.with_block("m", "try round")

    exact = search(spec_of(None, Draws(reads_advice=True), SaysRound(), shadow=1.0))
    assert exact.ledger()["SaysRound"]["advise"].decisive > 0 and not any(shadows_of(exact))
    trace, lab = searched(Sampler(), Listen(), researcher=Reads(reads_advice=False), shadow=1.0)
    assert not any(shadows_of(trace)) and purposes(lab) == ["propose"] * 6


# ---- what is asked ----


def test_the_seed_is_the_same_without_the_advice_and_a_fresh_one_for_the_noise():
    model = Sampler()
    _, lab = searched(model, Listen(), trials=1, shadow=1.0)
    (earnest, seed), (without, same), (again, fresh) = model.asked
    assert (again, same) == (earnest, seed) and fresh != seed and without != earnest
    repeats = [lab.store.call(number).key.repeat for number in (1, 2, 3)]
    assert repeats[:2] == [0, 0] and repeats[2] > 8


def test_what_is_asked_on_the_side_changes_no_question_and_no_trial():
    alone, asked = Sampler(seeded=True), Sampler(seeded=True)
    plain, _ = searched(alone, Listen(), Hello(), trials=8)
    beside, lab = searched(asked, Listen(), Hello(), trials=8, shadow=1.0)
    assert without_asides(plain) == without_asides(beside) and plain.fingerprint() != beside.fingerprint()
    earnest = [lab.store.call(call.number) for call in lab.store.calls() if not aside_of(call.purpose)]
    assert [(call.request, call.key.seed) for call in earnest] == alone.asked


class AsksFirst(Mechanism):
    """Asks the model before each proposal what it is to be called."""

    def propose(self, view, parent, proposals):
        name = view.ask('{"trial": 0, "attempt": 0, "advice": []}', "name")
        return [replace(proposals[0], notes={"name": name})]


def test_what_a_mechanism_asks_is_not_asked_again_on_the_side():
    _, lab = searched(Sampler(), Listen(), AsksFirst(), trials=2, shadow=1.0)
    assert [purpose for purpose in purposes(lab) if purpose.startswith("mechanism")] == ["mechanism AsksFirst/name"] * 2


# ---- when it fails ----


def test_an_ask_on_the_side_that_cannot_be_used_is_no_difference_and_changes_nothing():
    fragile, sound = Reads(fails_without="listen"), Reads()
    trace, _ = searched(Sampler(), Listen(), researcher=fragile, shadow=1.0)
    plain, _ = searched(Sampler(), Listen(), researcher=sound)
    assert without_asides(trace) == without_asides(plain) and not any(trial.faults for trial in trace)
    assert trace[1].shadows == (Shadow("Listen", "without", False, "no answer"), Shadow("", "again", False, "same"))
    assert trace.ledger()["Listen"]["advise"].decisive == 0
    found = advice_of("Listen", shadows_of(trace))
    assert (found.without.asks, found.without.failed, found.live) == (0, 6, False)


def test_a_trial_whose_own_ask_failed_is_compared_with_nothing():
    trace, _ = searched(Sampler(), Hello(), researcher=Reads(fails_without="listen"), trials=2, shadow=1.0)
    assert all(trial.faults for trial in trace[1:])
    assert {shadow.how for trial in trace for shadow in trial.shadows} == {"no answer"}


def test_lessons_that_could_not_be_drawn_hide_no_difference():
    trace, _ = searched(Sampler(), Listen(), researcher=Learns(), shadow=1.0, lessons_every=1)
    assert all(trial.faults[0].hook == "learn" for trial in trace[2:])
    assert trace.ledger()["Listen"]["advise"].decisive == 6 and advice_of("Listen", shadows_of(trace)).live


def test_a_pass_that_a_gate_ended_is_an_answer_and_differs_from_one_that_was_not():
    trace, _ = searched(Sampler(), Hello(), researcher=Gated(), shadow=1.0)
    assert all(trial.proposal.notes and trial.status.value == "refused" for trial in trace[1:])
    found = advice_of("Hello", shadows_of(trace))
    assert dict(found.without.how) == {"nothing proposed": 6} and not found.again.differed and found.live
    assert trace.ledger()["Hello"]["advise"].decisive == 6


def test_a_limit_that_is_reached_on_the_side_ends_the_run_and_a_resume_asks_nothing_twice():
    whole, _ = searched(Sampler(), Listen(), shadow=1.0)
    for tokens in range(15, 260, 15):
        store, first, second = MemoryStore(), Sampler(), Sampler()
        with pytest.raises(LimitReached):
            searched(first, Listen(), store=store, limits=Limits(tokens=tokens), shadow=1.0)
        trace, _ = searched(second, Listen(), store=store, shadow=1.0)
        assert trace.fingerprint() == whole.fingerprint()
        assert len(first.asked) + len(second.asked) == 18 and len(first.asked) == tokens // 15


class Gone(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("failure", [Gone(), Stopped("stopped")], ids=["killed", "stopped"])
def test_a_run_that_ends_within_any_ask_goes_on_as_if_it_had_not(failure):
    whole, _ = searched(Sampler(), Listen(), Hello(), trials=3, shadow=1.0)
    for number in range(1, 13):
        store, first, second = MemoryStore(), Sampler(fails_at=number, failure=failure), Sampler()
        with pytest.raises(type(failure)):
            searched(first, Listen(), Hello(), trials=3, store=store, shadow=1.0)
        trace, _ = searched(second, Listen(), Hello(), trials=3, store=store, shadow=1.0)
        assert trace.fingerprint() == whole.fingerprint()
        assert len(first.asked) - 1 + len(second.asked) == 12


@pytest.mark.parametrize("workers", [2, 3])
def test_with_workers_the_shadows_are_the_same_each_time(workers):
    def once():
        lab = Lab(models={"inner": Sampler()}, workers=workers)
        return Loop(spec_of(None, Reads(), Listen(), shadow=0.5), lab).run()

    assert once().fingerprint() == once().fingerprint()


# ---- what is stored ----


def test_a_trial_gives_back_its_shadows_and_an_old_one_has_none():
    trace, _ = searched(Sampler(), Listen(), trials=1, shadow=1.0)
    trial = trace[1]
    candidates = {candidate.id: candidate for candidate in (trial.parent, trial.candidate)}
    text = dump_record(trial)
    assert load_trial(text, candidates.__getitem__) == trial and trial.shadows
    old = _without(text, "shadows")
    assert load_trial(old, candidates.__getitem__) == replace(trial, shadows=())


def test_an_old_pending_record_has_none_either():
    store = MemoryStore()
    searched(Sampler(), Listen(), trials=1, store=store, shadow=1.0)
    trial = store.trials("root")[1]
    pending = Pending(1, 1, trial.parent, trial.proposal, (), shadows=trial.shadows)
    candidates = {candidate.id: candidate for candidate in (trial.parent, trial.candidate)}
    text = dump_record(pending)
    assert load_pending(text, candidates.__getitem__).shadows == trial.shadows
    assert load_pending(_without(text, "shadows"), candidates.__getitem__).shadows == ()


def _without(text, name):
    data = json.loads(text)
    del data[name]
    return json.dumps(data)
