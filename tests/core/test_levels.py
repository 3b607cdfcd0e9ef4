"""Loops of loops: lenses, forks, controls, lifts, resumes."""

import contextlib
import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import Draws, Killed, Mortal, Sources, TinyTask, dies_everywhere, guest, search, spec_of, trace_in

from bilevel.budget import Budget
from bilevel.errors import InputError, Stopped
from bilevel.lab import Lab, MemoryStore
from bilevel.levels import Inside, LoopTask, leaf, leaf_branch, level_named, levels_of
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.nesting import lift, nest
from bilevel.rules import Rule
from bilevel.settings import PICKERS, STRATEGIES, Settings
from bilevel.surfaces import MechanismSurface, SettingsSurface, admit_loadable, guests_of, mechanism_set
from bilevel.trial import Proposal, Status

INNER = spec_of(TinyTask(noise=0.02))
PLACEBO = guest(
    "x", "def select(self, view, parent):\n    return parent\ndef decide(self, view, trial):\n    return trial.decision"
).source
BASELINE = guest("x", "def select(self, view, parent):\n    return view.trace.baseline.candidate").source
LATE = guest(
    "x", "def select(self, view, parent):\n    return view.trace.baseline.candidate if view.number % 4 == 0 else parent"
).source
BROKEN = guest("x", "def select(self, view, parent):\n    raise ValueError('broken')").source
STEPS = guest(
    "x", "domain = 'steps'\ndef constrain(self, view, space):\n    return space.freeze(['bias', 'shape'], 'steps')"
).source
POOL = (BASELINE, PLACEBO, STEPS, LATE)

# ---- lenses ----

settings_made = st.builds(
    Settings,
    frozen=st.dictionaries(st.sampled_from(INNER.task.space.unlocked), st.just("level 1.5"), max_size=4),
    strategy=st.sampled_from(STRATEGIES), guidance=st.text(max_size=9), drafts=st.integers(1, 8),
    picker=st.sampled_from(PICKERS), redrafts=st.integers(0, 3), repairs=st.integers(0, 3),
    history_window=st.integers(0, 9),
)  # fmt: skip
names = st.text("abcxyz_", min_size=1, max_size=5)
sets = st.lists(st.tuples(names, st.sampled_from(POOL)), max_size=4, unique_by=lambda item: item[0]).map(
    lambda items: tuple(Guest(*item) for item in items)
)


def deeper(spec):
    return nest(spec, MechanismSurface(admit_loadable), Sources(POOL), name="outer", trials=2, cycles=2)


def lens_laws(surface, spec, other):
    seen = surface.read(spec)
    assert surface.write(spec, seen) == spec
    wish = surface.read(other)
    assert surface.read(surface.write(spec, wish)) == wish
    assert surface.write(surface.write(spec, seen), wish) == surface.write(spec, wish)
    assert surface.space(spec).problems(seen) == []
    assert leaf(surface.write(spec, wish)).task == leaf(spec).task


@given(settings_made, settings_made)
def test_settings_are_a_lens(one, other):
    one, other = replace(INNER, settings=one), replace(INNER, settings=other)
    lens_laws(SettingsSurface(), one, other)
    lens_laws(Inside(SettingsSurface()), deeper(one), deeper(other))
    lens_laws(Inside(Inside(SettingsSurface())), deeper2(one), deeper2(other))


def deeper2(spec):
    surface, sources = MechanismSurface(admit_loadable), Sources(POOL)
    middle = nest(spec, surface, sources, name="middle", trials=2, cycles=2, start="continue")
    return nest(middle, surface, sources, name="outer", trials=2, cycles=2)


@given(sets, sets)
def test_mechanisms_are_a_lens(one, other):
    one, other = replace(INNER, mechanisms=one), replace(INNER, mechanisms=other)
    lens_laws(MechanismSurface(admit_loadable), one, other)
    lens_laws(Inside(MechanismSurface(admit_loadable)), deeper(one), deeper(other))


@given(sets)
def test_a_set_of_mechanisms_is_a_candidate_and_back(guests):
    assert guests_of(mechanism_set(guests)) == guests


def test_inside_the_innermost_loop_there_is_nothing():
    with pytest.raises(InputError, match="innermost"):
        Inside(SettingsSurface()).read(INNER)


def test_the_surfaces_say_what_they_refuse():
    surface, none = MechanismSurface(admit_loadable, most=1), mechanism_set(())
    one, two = mechanism_set((Guest("a", STEPS),)), mechanism_set((Guest("a", STEPS), Guest("b", LATE)))
    assert surface.problems(INNER, one, none) == []
    assert one.params["hooks"] == ("constrain",) and one.params["domain"] == "steps" and one.params["newest"] == "a"
    assert "at most 1" in surface.problems(INNER, two, none)[0]
    assert "one mechanism" in MechanismSurface(admit_loadable).problems(INNER, two, none)[0]
    assert "changes nothing" in surface.problems(INNER, one, one)[0]
    assert "derived" in surface.problems(INNER, one.with_params(domain="better"), none)[0]
    assert "each mechanism once" in surface.problems(INNER, one.with_params(order=("a", "b")), none)[0]
    assert "cannot be loaded" in surface.door(Guest("a", "x ="))
    settings_, start = SettingsSurface(), SettingsSurface().read(INNER)
    frozen = {f"freeze.{name}": True for name in INNER.task.space.unlocked}
    assert len(settings_.problems(INNER, start.with_params(**frozen), start)) == 2


# ---- forks ----


def outer(sources=POOL, *, trials=3, cycles=4, start="fork", inner=INNER, surface=None, stuck_after=0, stuck_share=0.0):
    return nest(
        inner,
        surface or MechanismSurface(admit_loadable),
        Sources(sources),
        name="mechanisms",
        trials=trials,
        cycles=cycles,
        start=start,
        stuck_after=stuck_after,
        stuck_share=stuck_share,
    )


def waiting(stuck_after=5, evaluations=80, stuck_share=0.0):
    spec = outer(trials=2, cycles=100, stuck_after=stuck_after, stuck_share=stuck_share)
    return replace(spec, budget=Budget(99, evaluations))


def arms_of(trial):
    return {name: arm["branch"] for name, arm in trial.runs[0].data["arms"].items()}


def ran(spec, workers=1, store=None):
    lab = Lab(store or MemoryStore(), workers=workers)
    return Loop(spec, lab).run(), lab


LOSS = INNER.task.objective


@pytest.mark.parametrize("workers", [1, 2])
def test_challenger_and_control_share_everything_up_to_the_first_difference(workers):
    spec = outer((LATE,))
    trace, lab = ran(spec, workers)
    assert arms_of(trace[0]).keys() == {"only"} and not trace[0].runs[0].data["control"]
    for trial in trace[1:]:
        arms = arms_of(trial)
        one, two = (list(lab.traces.trace(arms[name], LOSS)) for name in ("challenger", "control"))
        start = trial.runs[0].data["arms"]["control"]
        assert len(one) == len(two)
        before = lab.store.branch(arms["challenger"]).at
        assert lab.store.branch(arms["control"]).at == before and before > 0
        assert (
            lab.store.branch(arms["control"]).parent
            == lab.store.branch(arms["challenger"]).parent
            == trace[trial.number - 1].state
        )
        assert one[:before] == two[:before]
        assert start["before"] == trial.runs[0].data["arms"]["challenger"]["before"]
        same = True
        for a, b in zip(one[before:], two[before:], strict=True):
            same = same and a.parent == b.parent
            if same:
                assert (a.candidate, a.score) == (b.candidate, b.score)
            else:
                break


def test_what_both_arms_measure_is_measured_once_and_charged_to_each():
    task = TinyTask(noise=0.02)
    trace, lab = ran(outer((PLACEBO,), inner=spec_of(task, keep=Rule("margin")), cycles=3))
    assert [trial.cost.evaluations for trial in trace] == [3 + 3, 6, 6]
    assert lab.meter.spent.evaluations == 18
    assert len(task.calls) == 6 + 3 + 3


def test_a_placebo_gains_exactly_nothing_and_is_discredited_as_inert():
    trace, _ = ran(outer((PLACEBO,)))
    for trial in trace[1:]:
        assert trial.score == 0.0 and not trial.decision.keep
        assert trial.decision.reason.startswith("inert: m")


def test_the_score_is_the_gain_over_the_control_and_the_search_goes_on_from_the_better_end():
    trace, lab = ran(outer(cycles=6, trials=4))
    assert any(trial.score != 0 for trial in trace[1:])

    def scores(arm):
        ends = lab.traces.trace(arm["branch"], LOSS)
        found = ends.scores(ends.incumbent.candidate.id)
        assert arm["best"] == pytest.approx(sum(found.values()) / len(found))
        return found

    for trial in trace[1:]:
        arms = trial.runs[0].data["arms"]
        control, challenger = scores(arms["control"]), scores(arms["challenger"])
        shared = control.keys() & challenger.keys()
        assert shared and trial.score == pytest.approx(sum(control[n] - challenger[n] for n in shared) / len(shared))
        assert trial.state == arms["challenger" if trial.score > 0 else "control"]["branch"]


def test_a_mechanism_that_never_decided_anything_earns_no_credit_and_a_broken_one_is_recorded():
    trace, lab = ran(outer((BROKEN,), cycles=2))
    assert trace[1].decision.reason.startswith("inert")
    faults = [fault for trial in lab.store.trials(arms_of(trace[1])["challenger"]) for fault in trial.faults]
    assert len(faults) == 3 and "broken" in faults[0].message


def test_a_mechanism_that_cannot_be_loaded_does_not_stop_the_outer_loop():
    spec = outer(("x = (",), cycles=2, surface=MechanismSurface(door=lambda guest: None))
    trace, lab = ran(spec)
    assert trace[1].status is Status.OK and trace[1].decision.reason.startswith("inert")
    assert lab.store.trials(arms_of(trace[1])["challenger"])[0].faults[0].hook == "load"


def test_a_repaired_mechanism_is_not_retired_for_its_predecessor():
    class Repairs(Sources):
        def propose(self, view, parent, briefing):
            source = (BROKEN, BASELINE)[(view.number - 1) % 2]
            return [Proposal(mechanism_set((Guest("same", source),)))]

    spec = nest(
        INNER, MechanismSurface(admit_loadable), Repairs(()), name="mechanisms", trials=4, cycles=3, start="continue"
    )
    trace, lab = ran(spec)
    last = lab.store.trials(trace[2].state)
    assert [sorted(trial.ledger) for trial in last] == [["same"]] * 4


def test_continue_has_no_control_and_scores_the_gain_since_the_start():
    trace, lab = ran(outer(start="continue"))
    for before, trial in itertools.pairwise(trace):
        arms = trial.runs[0].data["arms"]
        assert arms.keys() == {"only"} and trial.score >= 0
        assert trial.score == pytest.approx(arms["only"]["before"] - arms["only"]["best"])
        assert lab.store.branch(trial.state).parent == before.state
    assert len(lab.traces.trace(trace.state, LOSS)) == 1 + 3 * 4


def test_a_continued_placebo_is_the_plain_search():
    trace, lab = ran(outer((PLACEBO,), start="continue", cycles=3))
    plain = search(spec_of(TinyTask(noise=0.02), trials=9))
    long = lab.traces.trace(trace.state, LOSS)
    assert [t.candidate for t in long] == [t.candidate for t in plain]


def test_two_forks_are_refused_at_any_depth():
    with pytest.raises(InputError, match="only the outermost"):
        outer(inner=outer())
    with pytest.raises(InputError, match="only the outermost"):
        outer(inner=outer(inner=outer(), start="continue"))
    assert outer(inner=outer(start="continue")).task.start == "fork"


def test_seeds_do_not_depend_on_the_path():
    trace, lab = ran(outer((PLACEBO,), cycles=2))
    arms = arms_of(trace[1])
    one, two = (lab.traces.trace(arms[name], LOSS) for name in ("challenger", "control"))
    plain = search(spec_of(TinyTask(noise=0.02), trials=6))
    assert [t.candidate for t in one] == [t.candidate for t in two] == [t.candidate for t in plain]
    assert [t.score for t in one] == [t.score for t in plain]


# ---- lifts ----


def test_a_mechanism_is_lifted_where_its_needs_are_met():
    numeric = guest("n", "needs = frozenset({'numeric'})")
    advice = guest("a", "needs = frozenset({'advice'})")
    plain = Guest("p", LATE)
    up = outer()
    assert lift(plain, up).mechanisms == (plain,)
    assert lift(numeric, INNER).mechanisms == (numeric,)
    assert lift(numeric, outer(surface=SettingsSurface())).mechanisms == (numeric,)
    with pytest.raises(InputError, match="cannot be lifted"):
        lift(numeric, up)
    with pytest.raises(InputError, match="does not read"):
        lift(advice, up)
    assert lift(advice, replace(up, researcher=Draws(reads_advice=True))).mechanisms == (advice,)
    with pytest.raises(InputError, match="in force"):
        lift(plain, lift(plain, up))


def test_a_lifted_mechanism_works_one_level_up():
    trace, _ = ran(lift(Guest("late", LATE), outer(cycles=6)))
    assert trace.ledger()["late"]["select"].calls == 5
    assert not any(trial.faults for trial in trace)


# ---- three levels ----


def three(cycles=3):
    middle = nest(INNER, SettingsSurface(), Draws(), name="settings", trials=2, cycles=2, start="continue")
    return nest(
        middle, Inside(MechanismSurface(admit_loadable)), Sources(POOL), name="mechanisms", trials=2, cycles=cycles
    )


def above(cycles=3):
    """Mechanisms on the loop that searches mechanisms."""
    middle = nest(
        INNER,
        MechanismSurface(admit_loadable),
        Sources((LATE, STEPS)),
        name="middle",
        trials=2,
        cycles=2,
        start="continue",
    )
    return nest(
        middle, MechanismSurface(admit_loadable), Sources((PLACEBO, LATE)), name="outer", trials=2, cycles=cycles
    )


@pytest.mark.parametrize("make", [three, above])
@pytest.mark.parametrize("workers", [1, 2])
def test_three_levels_run_and_repeat_themselves(make, workers):
    trace, lab = ran(make(), workers)
    assert len(trace) == 3 and all(trial.status is Status.OK for trial in trace)
    assert trace.fingerprint() == ran(make(), workers)[0].fingerprint()
    branch = leaf_branch(lab.traces, make(), "root")
    assert len(lab.traces.trace(branch, LOSS)) > 8
    assert next(loop.name for loop in levels_of(make())) == "inner" and level_named(make(), "inner") == leaf(make())
    with pytest.raises(InputError, match="the levels are"):
        level_named(make(), "nonsense")


def test_the_view_of_an_outer_loop_shows_the_innermost_trace():
    seen = []

    class Looks(Sources):
        def propose(self, view, parent, briefing):
            seen.append((len(view.below.trace), view.below.objective))
            return super().propose(view, parent, briefing)

    ran(nest(INNER, MechanismSurface(admit_loadable), Looks((LATE,)), name="mechanisms", trials=3, cycles=3))
    assert seen == [(4, LOSS), (7, LOSS)]


def test_budgets_of_evaluations_bound_the_whole_tree():
    spec = outer(cycles=100)
    trace, lab = ran(replace(spec, budget=Budget(evaluations=30)))
    spent = sum(trial.cost.evaluations for trial in trace)
    assert lab.meter.spent.evaluations == spent
    assert 30 - 6 < spent <= 30


@pytest.mark.parametrize("left", [1, 2])
def test_a_budget_below_one_cycle_makes_the_first_one_shorter(left):
    trace, lab = ran(replace(outer(trials=4, cycles=9), budget=Budget(evaluations=INNER.calibration + left)))
    assert len(trace) == 1 and trace[0].cost.evaluations == INNER.calibration + left == lab.meter.spent.evaluations


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stuck_after", [2, 5, 9])
def test_the_first_fork_waits_until_the_search_is_stuck(stuck_after, workers):
    trace, lab = ran(waiting(stuck_after), workers)
    alone = lab.traces.trace(trace[0].state, LOSS)
    quiet = [alone.upto(end).since_improvement() for end in range(3, len(alone) + 1, 2)]
    assert quiet[-1] >= stuck_after and all(length < stuck_after for length in quiet[:-1])
    assert len(trace) > 1 and trace[1].runs[0].data["control"]
    assert trace[0].cost.evaluations + sum(trial.cost.evaluations for trial in trace[1:]) <= 80


def test_a_search_that_is_never_stuck_spends_the_budget_without_a_fork():
    trace, lab = ran(waiting(stuck_after=1000))
    assert len(trace) == 1 and 80 - 2 <= lab.meter.spent.evaluations <= 80
    begun_at_once, _ = ran(waiting(stuck_after=0))
    assert len(begun_at_once[0].runs[0].data["arms"]["only"]["trials"]) == 0 and len(begun_at_once) > 3


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("share", [0.2, 0.35])
def test_the_longer_a_search_has_gone_on_the_longer_it_may_find_nothing(share, workers):
    trace, lab = ran(waiting(3, stuck_share=share), workers)
    alone = lab.traces.trace(trace[0].state, LOSS)
    looks = [alone.upto(end) for end in range(3, len(alone) + 1)]  # the first round has two trials beside the baseline
    stuck = [one.since_improvement() >= max(3, share * len(one)) for one in looks]
    assert stuck == [False] * (len(looks) - 1) + [True]
    assert len(trace) > 1 and lab.meter.spent.evaluations <= 80


def test_a_search_that_is_never_stuck_for_its_share_spends_the_budget_to_the_last():
    trace, lab = ran(waiting(1, evaluations=77, stuck_share=0.99))
    assert len(trace) == 1 and lab.meter.spent.evaluations == 77


def test_a_share_without_a_number_is_refused():
    with pytest.raises(InputError, match="stuck_share: nothing reads it without stuck_after"):
        outer(stuck_share=0.5)


def test_only_a_fork_right_above_the_innermost_loop_waits():
    for spec in (dict(start="continue"), dict(inner=outer(start="continue"))):
        with pytest.raises(InputError, match="stuck_after: only a level"):
            outer(stuck_after=3, **spec)


# ---- stops and resumes ----


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda: outer(cycles=3, trials=2), lambda: three(2), lambda: waiting(2, 24)], ids=["two", "three", "waits"]
)
def test_a_fork_killed_at_any_write_and_resumed_is_the_unbroken_one(make):
    spec = make()
    whole, lab = ran(spec)
    end = lab.traces.trace(leaf_branch(lab.traces, spec, "root"), LOSS).fingerprint()
    for store in dies_everywhere(spec):
        again = Lab(store)
        assert trace_in(store, spec.task.objective).fingerprint() == whole.fingerprint()
        branch = leaf_branch(again.traces, spec, "root")
        assert again.traces.trace(branch, LOSS).fingerprint() == end


def test_a_fork_with_workers_survives_being_killed():
    spec = outer(cycles=3, trials=3)
    whole, _ = ran(spec, 2)
    for die_at in range(1, 40, 3):
        store = Mortal()
        store.revive(die_at)
        with contextlib.suppress(Killed):
            ran(spec, 2, store)
        store.revive(None)
        assert ran(spec, 2, store)[0].fingerprint() == whole.fingerprint()


def test_a_stop_within_a_cycle_is_no_trial_and_a_resume_finishes_it():
    class Stopper(TinyTask):
        def run(self, candidate, bench):
            if len(self.calls) == 8:
                bench.lab.stop.set()
            return super().run(candidate, bench)

    store = MemoryStore()
    with pytest.raises(Stopped, match="resume"):
        ran(outer(inner=spec_of(Stopper(noise=0.02), keep=Rule("greedy"))), store=store)
    assert len(store.trials("root")) == 1
    whole = outer(inner=spec_of(TinyTask(noise=0.02), keep=Rule("greedy")))
    assert ran(whole, store=store)[0].fingerprint() == ran(whole)[0].fingerprint()


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_any_seed_gives_one_story_at_all_levels(seed, workers):
    spec = outer(cycles=3, inner=replace(INNER, seed=seed))
    assert spec.seed == seed and isinstance(spec.task, LoopTask)
    assert ran(spec, workers)[0].fingerprint() == ran(spec, workers)[0].fingerprint()
