"""The rehearsal: a race on models of the task that refuses what harms a search, and measures nothing."""

from dataclasses import replace

import pytest
from tiny import Sources, TinyTask, guest, spec_of

from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.nesting import nest
from bilevel.rehearsal import climb_rehearsal, judged, rehearse
from bilevel.standings import ladder_of
from bilevel.surfaces import MechanismSurface, admit_loadable
from bilevel.surrogate import LEAST, fit
from bilevel.trace import Trace
from bilevel.trial import Status

INNER = spec_of(TinyTask(noise=0.02), trials=20)
FAR_OFF = guest(
    "x",
    "def propose(self, view, parent, proposals):\n"
    "    from dataclasses import replace\n"
    "    rng = view.rng('far')\n"
    "    ends = {n: view.space.domains[n].at(0.999 * rng.randrange(2)) for n in view.space.active}\n"
    "    return [replace(p, candidate=parent.with_params(**ends)) for p in proposals]",
).source
IDLE = guest("x", "def decide(self, view, trial):\n    return trial.decision").source
BROKEN = guest("x", "def select(self, view, parent):\n    raise ValueError('broken')").source
ASKS = guest("x", "def select(self, view, parent):\n    view.ask('which?', 'q')\n    return parent").source
REFUSED = ("rehearsal", "refused")
HALVES = guest("x", "def constrain(self, view, space):\n    return space.freeze(['bias'], 'x') if 'bias' in "
               "space.domains else space.freeze(['shape'], 'x')").source  # fmt: skip


@pytest.fixture(scope="module")
def trace():
    return Loop(INNER, Lab(MemoryStore())).run()


def raced(source, trace, spec=INNER):
    one = Guest("m", source)
    return climb_rehearsal(replace(spec, mechanisms=(one,)), trace, one)


def test_the_surrogate_comes_close_to_what_was_measured_and_knows_how_far_off_it_is(trace):
    model = fit(INNER.task.space, trace)
    scored = [trial for trial in trace if trial.score is not None]
    assert all(abs(model(trial.candidate) - trial.score) < model.spread for trial in scored)
    assert 0 < model.error < 2 * model.spread
    assert fit(INNER.task.space, trace.upto(LEAST - 1)) is None


def test_what_harms_a_search_is_refused_with_its_gain_over_the_placebo(trace):
    climb = raced(FAR_OFF, trace)
    assert (climb.rung, climb.outcome) == ("rehearsal", "refused") and "worse than a placebo" in climb.reason
    assert all(sum(gains["placebo"]) <= 0 and set(gains) == {"placebo", "restart"} for gains in climb.evidence.values())


def test_what_does_nothing_passes_after_few_seeds_and_ties_with_the_placebo(trace):
    climb = raced(IDLE, trace)
    assert climb.outcome == "passed"
    assert all([*gains["placebo"]] == [0.0] * 3 for gains in climb.evidence.values())


def test_what_raises_is_refused_and_what_asks_a_model_is_not_judged(trace):
    broken = raced(BROKEN, trace)
    assert broken.outcome == "refused" and "ValueError: broken" in broken.reason
    asks = raced(ASKS, trace)
    assert asks.outcome == "passed" and "a rehearsal has not" in asks.reason


def test_it_is_deterministic_measures_nothing_and_without_a_record_runs_on_the_landscape_alone(trace):
    task = TinyTask(noise=0.02)
    spec = replace(INNER, task=task)
    one, other = raced(HALVES, trace, spec), raced(HALVES, trace, spec)
    assert replace(one, seconds=0) == replace(other, seconds=0) and not task.calls
    empty = rehearse(replace(spec, mechanisms=(Guest("m", IDLE),)), Trace(task.objective), Guest("m", IDLE))
    assert [race.where for race in empty] == ["a synthetic landscape"] and judged(empty)[0] == "passed"


def test_a_noisier_task_has_a_noisier_model_of_itself(trace):
    calm = replace(INNER, task=TinyTask())
    quiet = Loop(calm, Lab(MemoryStore())).run()
    assert fit(calm.task.space, quiet).error != fit(INNER.task.space, trace).error


def test_on_the_ladder_it_turns_back_the_harmful_before_anything_is_measured_and_its_hits_are_counted():
    spec = nest(
        INNER, MechanismSurface(admit_loadable), Sources((FAR_OFF, HALVES)), name="mechanisms", trials=8, cycles=3,
        ladder=("door", "replay", "rehearsal"),
    )  # fmt: skip
    lab = Lab(MemoryStore())
    trace = Loop(spec, lab).run()
    refused = [climb for trial in trace for climb in trial.climbs if (climb.rung, climb.outcome) == REFUSED]
    assert refused and next(t for t in trace if refused[0] in t.climbs).status is Status.REFUSED
    rehearsed = ladder_of(lab.store, spec).rehearsed
    assert rehearsed.refused == len(refused) and rehearsed.races > rehearsed.refused
    assert 0 <= rehearsed.hits <= rehearsed.told <= rehearsed.races - rehearsed.refused
    assert any("rehearsals in " in note for note in ladder_of(lab.store, spec).notes)
