"""Processes that die, memories that are made again, hosts that are lied to: a run goes on."""

from dataclasses import replace

import pytest
from proxied import TABU, Channels, guest

from bilevel.budget import Budget
from bilevel.errors import GuestError
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import load
from bilevel.sandbox.cell import CellFault, CellLimits
from bilevel.sandbox.home import MEMORIES
from bilevel.sandbox.proxy import Sandbox
from bilevel.situations import BASELINE, Bowl, Case, Walk, mixed_trace, view_of
from bilevel.space import Candidate
from bilevel.trial import Decision

COUNTING = """
def remember(self, memory, trial):
    if trial.status == "exit":
        raise ValueError("not this one")
    return memory if trial.number % 3 == 0 else (*(memory or ()), trial.number)
def constrain(self, view, space):
    return space.cap("momentum", min(1.0, 0.01 + len(view.memory or ()) / 100))
def decide(self, view, trial):
    return replace(trial.decision, reason=repr(view.memory)[-2000:])
"""
SILENT = CellLimits(call_cpu_seconds=0.5, call_wall_seconds=5.0)


@pytest.fixture
def near():
    """A sandbox whose guests are in this process; `near.channels` has them."""
    channels = Channels()
    with Sandbox(start=channels) as sandbox:
        sandbox.channels = channels
        yield sandbox


def run(loader, *guests, trials=14, **options):
    return Loop(LoopSpec("inner", Bowl(), Walk(), guests, budget=Budget(trials=trials), load=loader, **options), Lab())


def view_after(trace, memory=None):
    return view_of(Case("made", trace, Bowl().space, BASELINE, ()), memory)


def remembered(mechanism, trials, memory=None):
    """The memory after some trials and what was touched or raised on the way."""
    said = []
    for trial in trials:
        try:
            after = mechanism.remember(memory, trial)
        except (ValueError, GuestError) as error:
            said.append(str(error).split(" (")[0].removeprefix("ValueError: "))
            continue
        said.append(after is not memory and after != memory)
        memory = after
    return memory, said


def seen(mechanism, trace, memory):
    """What the mechanism itself sees in view.memory."""
    trial = replace(trace[-1], number=len(trace))
    return mechanism.decide(view_after(trace, memory), trial).reason


# ---- memories ----


def test_what_is_touched_is_what_would_be_in_process(near):
    rule, trace = guest("counting", COUNTING), mixed_trace(Bowl().space, 60)
    here, there = load(rule), near.load(rule)
    mine, said = remembered(here, trace)
    its, also = remembered(there, trace)
    assert said == also and "not this one" in said and True in said and False in said
    assert seen(there, trace, its) == seen(here, trace, mine)


def test_equal_memories_are_one_handle_and_handles_are_cheap(near):
    rule, trace = guest("counting", COUNTING), mixed_trace(Bowl().space, 30)
    first, second = near.load(rule), near.load(rule)
    one, _ = remembered(first, trace)
    other, _ = remembered(second, trace)
    shorter, _ = remembered(first, trace[:20])
    assert one == other and hash(one) == hash(other) and one != shorter and one != 3
    assert first.remember(one, replace(trace[3], number=30)) is one
    assert seen(second, trace, one) == seen(first, trace, one)
    assert len(repr(one)) < 100


def test_a_batch_remembers_what_one_by_one_remembers(near):
    rule, trace = guest("counting", COUNTING), mixed_trace(Bowl().space, 450)
    one, all_at_once = near.load(rule), near.load(rule)
    memory, said = remembered(one, trace)
    calls = len(near.channels[0].texts)
    answers = all_at_once.remember_all(None, trace[:])
    assert len(near.channels[0].texts) - calls < 10
    before, told = None, []
    for answer in answers:
        if isinstance(answer, GuestError):
            told.append(str(answer).split(" (")[0].removeprefix("ValueError: "))
        else:
            told.append(answer is not before)
            before = answer
    assert told == said and before == memory
    assert seen(all_at_once, trace, before) == seen(one, trace, memory)


def test_old_memories_are_dropped_and_made_again_when_they_are_asked_for(near):
    made, trace = near.load(guest("counting", COUNTING)), mixed_trace(Bowl().space, 200)
    memories, memory = [], None
    for trial in trace:
        memory, _ = remembered(made, [trial], memory)
        memories.append(memory)
    side = near.channels[0].side
    assert len(side.memories) <= MEMORIES + 1
    old, expected = memories[20], remembered(load(guest("counting", COUNTING)), trace[:21])[0]
    assert seen(made, trace, old) == repr(expected)
    assert len(side.memories) <= MEMORIES + 2


def test_a_restart_gives_the_memory_back_exactly(near):
    made, trace = near.load(guest("counting", COUNTING)), mixed_trace(Bowl().space, 230)
    memory, _ = remembered(made, trace)
    before = seen(made, trace, memory)
    near.channels[0].close()  # it forgets everything, and says nothing
    assert seen(made, trace, memory) == before
    near.close()
    assert seen(made, trace, memory) == before and len(near.channels) == 2


def test_a_memory_of_another_mechanism_is_refused(near):
    made, other = near.load(guest("counting", COUNTING)), near.load(TABU)
    trace = mixed_trace(Bowl().space, 5)
    memory, _ = remembered(made, trace)
    for wrong in (memory, {"a": 1}):
        with pytest.raises(GuestError, match="that this mechanism did not remember"):
            other.constrain(view_after(trace, wrong), Bowl().space)
    with pytest.raises(GuestError, match="is no memory"):
        other.remember(7, trace[1])


def test_what_is_not_needed_any_more_is_let_go(near):
    rule, trace = guest("counting", COUNTING), mixed_trace(Bowl().space, 3)
    kept = near.load(rule)
    for _ in range(5):
        near.load(rule)
    kept.constrain(view_after(trace), Bowl().space)
    assert len(near.channels[0].side.mechanisms) == 1


def test_candidates_of_searches_that_ended_do_not_pile_up(near, monkeypatch):
    monkeypatch.setattr("bilevel.sandbox.mirror.MOST_FORGOTTEN", 50)
    made = near.load(guest("echo", "\ndef select(self, view, parent):\n    return parent"))
    view = view_after(mixed_trace(Bowl().space, 3))
    for number in range(300):
        parent = BASELINE.with_params(width=number)
        assert made.select(view, parent) is parent
    assert len(near.channels[0].side.known.candidates) < 100


# ---- real processes ----

FIFTH = """
def propose(self, view, parent, proposals):
    if view.number == 5:
        LEAVE(7)
    return proposals
"""


def test_a_guest_that_ends_its_process_is_a_fault_and_the_run_goes_on_with_its_memory():
    head = (
        "LEAVE = [c for c in object.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__['_exit']"
    )
    dying, calm = guest("dying", COUNTING + FIFTH, head), guest("dying", COUNTING)
    expected = run(load, calm).run()
    with Sandbox("limits") as sandbox:
        trace = run(sandbox.load, dying).run()
    faults = [(trial.number, fault.hook) for trial in trace for fault in trial.faults if fault.hook == "propose"]
    assert faults == [(5, "propose")] and "exit code 7" in trace[5].faults[-1].message
    assert [trial.candidate for trial in trace] == [trial.candidate for trial in expected]
    assert [trial.decision for trial in trace] == [trial.decision for trial in expected]


@pytest.mark.slow
def test_a_guest_that_never_answers_is_ended_and_retired():
    rule = guest("endless", "\ndef select(self, view, parent):\n    while True:\n        pass")
    with Sandbox("limits", SILENT) as sandbox:
        trace = run(sandbox.load, rule, trials=5).run()
    assert len(trace) == 6
    assert [len(trial.faults) for trial in trace] == [0, 1, 1, 1, 0, 0]
    assert "CPU time" in trace[1].faults[0].message


def test_a_cell_that_made_room_is_started_again():
    rules = [guest(f"rule{n}", COUNTING + f"\nnumber = {n}") for n in range(3)]
    trace = mixed_trace(Bowl().space, 12)
    expected, _ = remembered(load(rules[0]), trace)
    with Sandbox("limits", most_cells=2) as sandbox:
        mechanisms = [sandbox.load(rule) for rule in rules]
        assert sandbox.cells == 2
        for _ in range(2):
            for made in mechanisms:
                memory, _ = remembered(made, trace)
                assert seen(made, trace, memory) == repr(expected)
        assert sandbox.cells == 2
    assert sandbox.cells == 0


@pytest.mark.slow
def test_the_best_level_of_this_machine_can_run_numerical_guests():
    pytest.importorskip("sklearn")
    body = """
def propose(self, view, parent, proposals):
    trials = [t for t in view.trace if t.score is not None]
    x = np.array([[view.space.domains["rate"].unit(t.candidate.params["rate"])] for t in trials])
    y = np.array([t.score for t in trials])
    if len(y) < 3:
        return proposals
    model = GaussianProcessRegressor(kernel=Matern(nu=2.5), alpha=1e-3, normalize_y=True, optimizer=None).fit(x, y)
    mean, sd = model.predict(np.linspace(0, 1, 11)[:, None], return_std=True)
    score = norm.cdf((y.min() - mean) / np.maximum(sd, 1e-9))
    rate = view.space.domains["rate"].at(float(np.argmax(score)) / 10)
    return (*proposals, Proposal(parent.with_params(rate=rate), "gp"))
"""
    head = """
import numpy as np
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
"""
    rule = guest("sklearn_gp", body, head)
    expected = run(load, rule).run()
    with Sandbox() as sandbox:
        trace = run(sandbox.load, rule).run()
        assert sandbox.in_force in ("limits", "sealed", "contained")
    assert [fault.message for trial in trace for fault in trial.faults] == []
    assert trace.fingerprint() == expected.fingerprint()


# ---- a process that lies ----


class Liar:
    """A channel that answers what it is told to."""

    def __init__(self, answer, questions=()):
        self.answer, self.questions, self.heard = answer, questions, []

    def call(self, request, ask=None):
        question = request[4]
        if question is not None and question[0] == "load":
            return ["is", [["propose", "select", "remember", "decide"], [], ""]]
        self.heard = [ask(question) for question in self.questions]
        return self.answer

    def close(self):
        pass


@pytest.mark.parametrize(
    "answer",
    [
        None, 3, [], ["is"], ["is", None], ["is", 0], ["is", [0.5]], ["is", [True]], ["is", [-1]], ["is", [9]],
        ["is", "unknown"], ["raised", 3], ["lost"], ["is", [[[{}, {}], "w", "a", {}, 0]]], ["is", {"a": 1}],
        ["is", [[{}, "unknown"]]], ["is", [{}, {"a": ["unknown"]}]], ["is", [{}, {"a": 3}]], ["is", [{}, 7]],
        ["is", [1, 2, 3]], ["same", 1], ["broken"],
    ],
)  # fmt: skip
def test_a_lie_is_a_guests_error_and_nothing_else(answer):
    sandbox = Sandbox(start=lambda modules: Liar(answer))
    made, trace = sandbox.load(TABU), mixed_trace(Bowl().space, 4)
    view = view_after(trace)
    for ask in (
        lambda: made.propose(view, BASELINE, (trace[2].proposal,)),
        lambda: made.select(view, BASELINE),
        lambda: made.remember(None, trace[0]),
        lambda: made.decide(view, trace[3]),
    ):
        try:
            given = ask()
        except GuestError:
            continue
        assert given is None or isinstance(given, Candidate | Decision | tuple), f"no hook may give {given!r}"


@pytest.mark.parametrize(
    "question",
    [
        None, [], ["file"], ["file", 3], ["file", "0" * 64], ["file", ["a"]], ["id", "unknown"], ["id", [{}, {"a": 1}]],
        ["id", [{"x": {"{}": {"()": 1}}}, {}]], ["call", [], "p", 0], ["call", None, 3, 0], ["call", []],
        {"file": 1},
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_answered_with_a_refusal(question):
    liar = Liar(["same"], [question])
    made = Sandbox(start=lambda modules: liar).load(TABU)
    assert made.select(view_after(mixed_trace(Bowl().space, 3)), BASELINE) is BASELINE
    assert liar.heard[0][0] == "raise"


@pytest.mark.parametrize(
    "declared", [None, [], [["select"], []], [["no_hook"], [], ""], [["select"], [3], ""], [[3], [], ""]]
)
def test_a_mechanism_that_is_not_declared_as_it_must_be_is_not_loaded(declared):
    class Declares(Liar):
        def call(self, request, ask=None):
            return ["is", declared]

    with pytest.raises(GuestError, match="does not say what it made"):
        Sandbox(start=lambda modules: Declares(None)).load(TABU)


def test_a_process_that_dies_in_the_middle_of_the_news_is_told_everything_again():
    class Mortal(Channels):
        died = False

        def __call__(self, modules):
            channel = super().__call__(modules)
            real = channel.call

            def call(request, ask=None):
                if not self.died and len(channel.texts) == 2:
                    self.died = True
                    channel.close()
                    raise CellFault("died", "gone")
                return real(request, ask)

            channel.call = call
            channel.close = channel.side._forget
            return channel

    channels = Mortal()
    made = Sandbox(start=channels).load(TABU)
    trace = mixed_trace(Bowl().space, 300)
    with pytest.raises(GuestError, match="gone"):
        made.constrain(view_after(trace), Bowl().space)
    assert made.constrain(view_after(trace), Bowl().space) is not None
