"""Laws of the constructing mechanisms: nothing locked, frozen, out of bounds or measured, whatever the trace."""

import functools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilevel.budget import Budget
from bilevel.codec import derive_seed
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, load
from bilevel.mechanisms import source
from bilevel.researchers import make
from bilevel.rules import Rule
from bilevel.settings import Settings
from bilevel.situations import BASELINE, NUMERIC, OBJECTIVE, Bowl, made_trial
from bilevel.space import Space
from bilevel.trace import Trace
from bilevel.trial import Pending, Proposal, Run, Status, Step
from bilevel.view import Briefing, View

EAGER = {
    "surrogate": {"patience": 0, "least": 2, "pool": 20},
    "crossover": {"every": 1, "patience": 0},
    "knock_out": {"every": 1, "patience": 0},
}
NAMES = tuple(name for name in NUMERIC if name != "edition")
MADE = {name: load(Guest(name, source(name, **parameters))) for name, parameters in EAGER.items()}


FROZEN = st.sets(st.sampled_from(NAMES), max_size=6) | st.just(
    {*NAMES} - {"bias", "shape"}
)  # or hardly anything is left


@st.composite
def traces(draw):
    """A short trace of single and joint changes, with scores, failures and kept trials in any order."""
    space = Space(NUMERIC)
    trace = Trace(OBJECTIVE) + made_trial(0, BASELINE, BASELINE, space, loss=1.0, keep=True)
    for number in range(1, draw(st.integers(1, 14))):
        parent = trace.current or BASELINE
        names = draw(st.lists(st.sampled_from((*NAMES, "bias", "shape")), min_size=1, max_size=3, unique=True))
        candidate = parent.with_params(**{n: NUMERIC[n].at(draw(st.floats(0.0, 1.0, allow_nan=False))) for n in names})
        status = draw(st.sampled_from((Status.OK, Status.OK, Status.OK, Status.EXIT, Status.PRUNED)))
        loss = draw(st.floats(-2.0, 2.0, allow_nan=False)) if status is Status.OK else None
        keep = loss is not None and draw(st.booleans())
        trace = trace + made_trial(number, parent, candidate, space, status, loss, keep)
    return trace


def view_of(trace, mechanism, space, pending=()):
    memory = None
    for trial in trace:
        memory = mechanism.remember(memory, trial)
    return View(len(trace), 1, "", OBJECTIVE, space, Settings(), trace, pending, 9, memory)


@pytest.mark.parametrize("name", EAGER)
@given(trace=traces(), frozen=FROZEN, cap=st.floats(0.02, 0.5))
@settings(max_examples=40, deadline=None)
def test_what_is_constructed_is_admitted_new_and_keeps_what_is_frozen(name, trace, frozen, cap):
    mechanism, parent = MADE[name], trace.current or BASELINE
    space = Space(NUMERIC).freeze(frozen, "a test").cap("momentum", cap).cap("layers", cap)
    flying = space.sample(view_of(trace, mechanism, space).rng("flying"), parent)
    pending = (Pending(len(trace), len(trace), parent, Proposal(flying), (), flying.changes_from(parent)),)
    draft = Proposal(parent.with_params(momentum=0.123), "a draft", "fixture")
    answer = mechanism.propose(view_of(trace, mechanism, space, pending), parent, (draft,))
    own = [proposal.candidate for proposal in answer if proposal.candidate.id != draft.candidate.id]
    assert draft in answer
    for candidate in own:
        assert space.problems(candidate, parent) == []
        assert not candidate.changes_from(parent).keys() & (frozen | {"edition"})
        assert trace.of(candidate.id) is None and candidate.id not in (parent.id, flying.id)
    assert len({candidate.id for candidate in own}) == len(own)


@pytest.mark.parametrize("name", EAGER)
def test_where_all_is_frozen_but_a_flag_only_the_flag_moves(name):
    mechanism, trace = MADE[name], Trace(OBJECTIVE) + made_trial(0, BASELINE, BASELINE, Space(NUMERIC), loss=1.0)
    for number in range(1, 6):
        candidate = BASELINE.with_params(momentum=0.1 * number, bias=True)
        trace = trace + made_trial(number, BASELINE, candidate, Space(NUMERIC), loss=1.0 - 0.1 * number, keep=True)
    space = Space(NUMERIC).freeze([n for n in NAMES if n != "bias"], "a test")
    answer = mechanism.propose(view_of(trace, mechanism, space), candidate, ())
    assert all(proposal.candidate.changes_from(candidate).keys() == {"bias"} for proposal in answer)


@pytest.mark.parametrize("name", ["surrogate", "crossover"])
def test_relative_scores_are_never_compared(name):
    mechanism, objective = MADE[name], replace(OBJECTIVE, relative=True)
    trace = Trace(objective) + made_trial(0, BASELINE, BASELINE, Space(NUMERIC), loss=0.0, keep=True)
    for number in range(1, 6):
        candidate = BASELINE.with_params(layers=number + 5)
        trace = trace + made_trial(number, BASELINE, candidate, Space(NUMERIC), loss=0.01 * number)
    view = replace(view_of(trace, mechanism, Space(NUMERIC)), objective=objective)
    assert mechanism.propose(view, BASELINE, ()) == ()


PARAMETERS = {"remeasure": {"every": 3}} | EAGER
DECISIVE = {
    "surrogate": "propose", "crossover": "propose", "knock_out": "propose", "semantic_duplicate": "propose",
    "remeasure": "propose", "elite": "select", "annealing": "decide", "noise_aware": "plan", "smoke_run": "plan",
    "halving": "plan", "plateau": "constrain",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("researcher", ["random", "coordinate"])
def test_each_decides_something_in_a_real_search_and_none_fails(researcher):
    decisive = dict.fromkeys(DECISIVE, 0)
    for name in DECISIVE:
        for seed in range(2):
            guests = (Guest(name, source(name, **PARAMETERS.get(name, {}))),)
            rule = Rule("margin")  # a race repeats by itself what some of these repeat
            spec = LoopSpec("inner", Bowl(), make(researcher), guests, budget=Budget(trials=40), seed=seed, keep=rule)
            trace = Loop(spec, Lab(workers=1 + seed)).run()
            assert [fault for trial in trace for fault in trial.faults] == []
            assert not any(trial.overruled for trial in trace)
            decisive[name] += trace.ledger()[name].get(DECISIVE[name]).decisive
    silent = {name for name, number in decisive.items() if not number}
    assert (
        silent <= {"plateau", "semantic_duplicate", "noise_aware"} if researcher == "random" else silent <= {"plateau"}
    )


@pytest.mark.parametrize("name", [*DECISIVE, "momentum"])
def test_the_cost_of_a_call_does_not_grow_with_the_trace(name, monkeypatch):
    """Counted in trials that are looked at, not in seconds."""
    looked, item, every = [0], Trace.__getitem__, Trace.__iter__

    def counted_item(self, index):
        found = item(self, index)
        looked[0] += len(found) if isinstance(found, list) else 1
        return found

    def counted_iter(self):
        for trial in every(self):
            looked[0] += 1
            yield trial

    def looked_at(length):
        mechanism = load(Guest(name, source(name, **PARAMETERS.get(name, {}))))
        view = view_of(_random_trace(length), mechanism, Space(NUMERIC))
        looked[0] = 0
        with monkeypatch.context() as patch:
            patch.setattr(Trace, "__getitem__", counted_item)
            patch.setattr(Trace, "__iter__", counted_iter)
            mechanism.select(view, view.trace.current)
            mechanism.advise(view, Briefing())
            mechanism.constrain(view, view.space)
            mechanism.propose(view, view.trace.current, ())
            mechanism.plan(view, Proposal(BASELINE), (Run("quick", 0, Status.OK, {"loss": 0.1}),), (Step("full"),))
            mechanism.decide(view, made_trial(length, BASELINE, BASELINE, view.space, loss=2.0))
        return looked[0]

    assert looked_at(600) <= looked_at(300) + 5 <= 400


@functools.cache
def _random_trace(length):
    trace, space = Trace(OBJECTIVE), Space(NUMERIC)
    for number in range(length):
        parent = BASELINE if number < 1 else trace.current
        rng = random.Random(derive_seed("drawn", number))
        candidate = BASELINE if number == 0 else space.sample(rng, parent)
        keep = number % 10 == 0
        trace = trace + made_trial(number, parent, candidate, space, loss=0.5 + rng.random(), keep=keep)
    return trace
