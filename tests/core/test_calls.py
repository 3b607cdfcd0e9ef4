"""Questions to a model: asked once, charged once, within the limits, in the name of who asks, and never a secret."""

import threading
from dataclasses import dataclass, field, replace

import pytest
from tiny import Draws, TinyTask, spec_of

from bilevel.budget import Limits
from bilevel.call import Finish, Message, Reply, Request
from bilevel.errors import ContextOverflow, GuestError, InputError, LimitReached, ModelUnavailable, Stopped
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Guest, Mechanism
from bilevel.trial import Lesson, Proposal


@dataclass
class Echo:
    """A model that answers with the question's last word and counts how often it was asked; or fails as it is told."""

    name: str = "test:echo"
    failure: Exception | None = None
    tokens: int = 10
    asked: list = field(default_factory=list)

    def complete(self, request, seed, watch):
        self.asked.append((request, seed))
        watch.note("note", "a sign of life")
        if self.failure is not None:
            raise self.failure
        return Reply(request.messages[-1].text.split()[-1], self.name, tokens_in=self.tokens, money=0.25)


@dataclass(frozen=True)
class Asks:
    """A researcher that asks its level's model in each trial, and learns what the model says."""

    lessons: tuple[Lesson, ...] = ()
    name: str = "asks"
    reads_advice: bool = True
    free: bool = False

    def propose(self, view, parent, briefing):
        reply = view.call(question(f"trial {view.number}: {len(view.lessons)} {view.told}"), "propose")
        told = "|".join(block.text for block in briefing.blocks)
        value = view.space.draw(view.rng(f"{told} {briefing.attempt}"), "shift", parent.params["shift"])
        return [Proposal(parent.with_params(shift=value), reply.text)]

    def learn(self, view):
        view.call(question("what was learned"), "lessons")
        return self.lessons


def question(text):
    return Request((Message("user", text),))


def lab_with(model, **options):
    return Lab(models={"inner": model}, **options)


def ask(lab, text="how now", level="inner", seed=1, repeat=0):
    return lab.calls.ask(level, "root", 3, question(text), "propose", seed, repeat)


def test_the_same_question_is_asked_once_and_charged_once():
    model = Echo()
    lab = lab_with(model)
    assert ask(lab) == ask(lab) and len(model.asked) == 1 and lab.meter.spent.tokens == 10
    ask(lab, seed=2)
    ask(lab, repeat=1)
    assert len(model.asked) == 3 and [call.number for call in lab.store.calls()] == [1, 2, 3]


def test_two_threads_with_one_question_wait_for_one_answer():
    model, started, go = Echo(), threading.Event(), threading.Event()
    answer = model.complete

    def slow(request, seed, watch):
        started.set()
        assert go.wait(10)
        return answer(request, seed, watch)

    model.complete = slow
    lab, replies = lab_with(model), []
    threads = [threading.Thread(target=lambda: replies.append(ask(lab))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert len(model.asked) == 1 and len(replies) == 2 and replies[0] == replies[1]


def test_a_later_session_starts_with_what_was_spent():
    store = MemoryStore()
    ask(Lab(store, models={"inner": Echo()}))
    later = Lab(store, models={"inner": Echo()}, limits=Limits(tokens=10))
    assert later.meter.spent.tokens == 10 and later.meter.spent.money == 0.25
    assert ask(later).text == "now"  # known already: costs nothing
    with pytest.raises(LimitReached, match="10 tokens"):
        ask(later, "another one")


def test_a_level_without_a_model_and_a_failing_model_are_told_apart():
    lab = lab_with(Echo(failure=ModelUnavailable("gone")))
    with pytest.raises(GuestError, match="'settings' has no language model"):
        ask(lab, level="settings")
    with pytest.raises(ModelUnavailable):
        ask(lab)
    assert not lab.store.calls() and [event.kind for _, event in lab.store.events()] == ["asking", "note", "answered"]


def test_a_question_that_was_too_long_is_not_sent_again():
    model = Echo(failure=ContextOverflow("too long by far"))
    lab = lab_with(model)
    for _ in range(2):
        with pytest.raises(ContextOverflow, match="too long by far"):
            ask(lab)
    assert len(model.asked) == 1 and lab.store.calls()[0].finish == Finish.OVERFLOW.value


def test_secrets_leave_neither_questions_nor_answers():
    model = Echo()
    lab = lab_with(model, redact=lambda text: text.replace("hunter2", "[secret]"))
    reply = ask(lab, "my word is hunter2")
    call = lab.store.call(1)
    assert reply.text == "[secret]" and "hunter2" not in repr((call, model.asked, lab.store.events()))


def test_limits_warn_at_half_and_at_four_fifths_and_end_a_loop_without_losing_a_trial():
    lab = lab_with(Echo(), limits=Limits(tokens=100))
    loop = Loop(spec_of(None, Asks(), trials=30), lab)
    with pytest.raises(LimitReached, match="--max-tokens"):
        loop.run()
    warnings = [event.text for _, event in lab.store.events() if event.kind == "limit"]
    assert [text.split(" of ")[0] for text in warnings] == ["50%", "80%", "100%"]
    assert len(lab.store.trials("root")) == 11 and lab.meter.spent.tokens == 100


def test_a_limit_met_with_workers_still_tells_what_is_in_flight():
    lab = lab_with(Echo(), limits=Limits(tokens=60), workers=3)
    with pytest.raises(LimitReached):
        Loop(spec_of(None, Asks(), trials=30), lab).run()
    assert not lab.store.pendings("root") and len(lab.store.trials("root")) == 7


def test_a_resumed_search_asks_nothing_again():
    first, second = Echo(), Echo()
    store = MemoryStore()
    Loop(spec_of(None, Asks(), trials=4), Lab(store, models={"inner": first})).run()
    whole = Loop(spec_of(None, Asks(), trials=8), Lab(store, models={"inner": second}))
    whole.run()
    alone = Loop(spec_of(None, Asks(), trials=8), Lab(models={"inner": Echo()}))
    assert len(first.asked) == len(second.asked) == 4
    assert whole.trace.fingerprint() == alone.run().fingerprint()


# ---- lessons ----

GOOD = Lesson("works", "a larger shift", "try it first", 0.9, (1, 2))


def test_lessons_come_after_each_cycle_and_stay():
    model = Echo()
    lab = lab_with(model)
    trace = Loop(replace(spec_of(None, Asks((GOOD,)), trials=7), lessons_every=3), lab).run()
    assert [trial.number for trial in trace if trial.learned] == [4, 7]
    assert trace.lessons == (GOOD, GOOD)
    shown = [request.messages[-1].text for request, _ in model.asked if "trial" in request.messages[-1].text]
    assert [text.split()[2] for text in shown] == ["0", "0", "0", "1", "1", "1", "2"]


def test_without_lessons_no_call_is_made_for_them():
    model = Echo()
    Loop(spec_of(None, Asks((GOOD,)), trials=7), lab_with(model)).run()
    assert all("learned" not in request.messages[-1].text for request, _ in model.asked)


@pytest.mark.parametrize(
    ("lesson", "problem"),
    [
        (replace(GOOD, trials=(1, 99)), "trials that do not exist: [99]"),
        (replace(GOOD, kind="gossip"), "kind 'gossip'"),
        (replace(GOOD, confidence=1.5), "confidence 1.5"),
        (replace(GOOD, summary=" "), "summary and rule"),
        (replace(GOOD, rule="x" * 2000), "at most 1,000"),
    ],
)
def test_a_lesson_that_does_not_hold_is_dropped_and_recorded(lesson, problem):
    trace = Loop(replace(spec_of(None, Asks((lesson, GOOD)), trials=4), lessons_every=3), lab_with(Echo())).run()
    assert trace.lessons == (GOOD,) and problem in trace[4].faults[0].message


# ---- what a person says ----


def test_what_a_person_writes_is_told_once_and_stays():
    task, model = TinyTask(), Echo()
    loop = Loop(spec_of(task, Asks(), trials=4), lab_with(model))
    loop.run(until=3)
    task.guidance, task.brief = "hurry", "Make it tiny."
    loop.run()
    told = [dict(trial.told) for trial in loop.trace]
    assert told == [{"brief": "Make it small."}, {}, {}, {"brief": "Make it tiny.", "guidance": "hurry"}, {}]
    assert [request.messages[-1].text.split()[-1] for request, _ in model.asked] == ["0", "0", "hurry", "hurry"]


# ---- mechanisms that ask ----


class AsksToo(Mechanism):
    def propose(self, view, parent, proposals):
        answer = view.ask("up or down", "direction")
        return [replace(proposals[0], notes={"answer": answer}), *proposals[1:]] if proposals else proposals


class AsksForEver(Mechanism):
    def propose(self, view, parent, proposals):
        for number in range(1000):
            view.ask(f"number {number}", "again")
        return proposals


def with_mechanism(kind, researcher=None, **options):
    guest = Guest("asker", "")
    spec = spec_of(None, researcher or Draws(), trials=3)
    return replace(spec, mechanisms=(guest,), load=lambda guest: kind(), **options)


def test_a_mechanism_asks_in_its_own_name_and_only_once_per_trial():
    lab = lab_with(Echo())
    trace = Loop(with_mechanism(AsksToo), lab).run()
    assert [call.purpose for call in lab.store.calls()] == ["mechanism asker/direction"] * 3
    assert all(trial.proposal.notes["answer"] == "down" for trial in trace if trial.number)


def test_a_mechanism_that_asks_without_end_is_stopped_and_recorded():
    lab = lab_with(Echo())
    trace = Loop(with_mechanism(AsksForEver), lab).run()
    assert "at most 8 times" in trace[1].faults[0].message and trace[3].runs


def test_without_a_model_a_mechanism_that_asks_is_a_fault():
    trace = Loop(with_mechanism(AsksToo), Lab()).run()
    assert "no language model" in trace[1].faults[0].message


# ---- shadow asks ----


class Advises(Mechanism):
    def advise(self, view, briefing):
        return briefing.with_block("me", f"advice {view.number}")


@pytest.mark.parametrize(("shadow", "calls", "decisive"), [(0.0, 3, 0), (1.0, 6, 3)])
def test_advice_to_a_model_counts_where_shadow_asks_come_out_differently(shadow, calls, decisive):
    lab = lab_with(Echo())
    trace = Loop(with_mechanism(Advises, Asks(), shadow=shadow), lab).run()
    count = trace.ledger()["asker"]["advise"]
    assert (count.calls, count.touched, count.decisive) == (3, 3, decisive) and len(lab.store.calls()) == calls


# ---- failures that are no guest's ----


class AsksOnce(Mechanism):
    """Asks a model before each proposal, and hides what comes of it."""

    def propose(self, view, parent, proposals):
        try:
            view.ask("well?", "well")
        except Exception:
            return proposals[:1]
        return proposals


@pytest.mark.parametrize(
    "failure", [InputError("the key was refused"), ModelUnavailable("gone"), Stopped("stopped")], ids=type
)
def test_a_model_that_fails_a_mechanism_ends_the_run_even_where_the_mechanism_hides_it(failure):
    loop = Loop(spec_of(None, Draws(), AsksOnce(), trials=3), lab_with(Echo(failure=failure)))
    with pytest.raises(type(failure)):
        loop.run()
    assert len(loop.trace) == 1 and not loop.trace.ledger()


def test_a_mechanism_that_asks_too_much_is_at_fault_itself():
    class AsksOn(Mechanism):
        def propose(self, view, parent, proposals):
            return [proposals[0] for n in range(20) if view.ask(f"{n}?", f"q{n}")][:1]

    trace = Loop(spec_of(None, Draws(), AsksOn(), trials=1), lab_with(Echo())).run()
    assert "at most 8 times" in trace[1].faults[0].message


# ---- stopping ----


def test_after_a_stop_nothing_new_is_asked_except_by_a_judge():
    lab = Lab(models={"inner": Echo(), "judge": Echo()})
    known = ask(lab)
    lab.stop.set()
    assert ask(lab) == known
    with pytest.raises(Stopped, match="`bilevel resume` asks it"):
        ask(lab, "another one")
    assert ask(lab, "how good", level="judge").text == "good"


def test_a_long_limit_is_told_in_figures_that_can_be_read():
    lab = lab_with(Echo(tokens=2_000_000), limits=Limits(tokens=2_000_000))
    ask(lab)
    with pytest.raises(LimitReached, match="the limit of 2,000,000 tokens is reached"):
        ask(lab, "another one")
