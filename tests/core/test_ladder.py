"""The ladder: the door, the replay of the search so far, the fork, and probation."""

from dataclasses import dataclass, replace

import pytest
from tiny import Sources, TinyTask, guest, spec_of

from bilevel.arms import Control
from bilevel.codec import content_hash
from bilevel.evidence import Fork, forks_of, verdict
from bilevel.lab import Lab, MemoryStore
from bilevel.levels import Inside
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.nesting import nest
from bilevel.probation import OnProbation
from bilevel.rules import Rule
from bilevel.standings import ladder_of
from bilevel.surfaces import MechanismSurface, SettingsSurface, admit_loadable, guests_of, mechanism_set
from bilevel.trial import LADDER, OUTCOMES, Proposal, Status

INNER = spec_of(TinyTask(noise=0.02), keep=Rule("margin"))
PLACEBO = guest("x", "def decide(self, view, trial):\n    return trial.decision").source
SLEEPER = guest(
    "x", "def select(self, view, parent):\n    return view.trace.baseline.candidate if view.number > 900 else parent"
).source
STEPS = guest("x", "def constrain(self, view, space):\n    return space.freeze(['bias', 'shape'], 'steps')").source
HARMFUL = guest(
    "x",
    "def propose(self, view, parent, proposals):\n"
    "    from dataclasses import replace\n"
    "    return [replace(p, candidate=parent.with_params(depth=1 + (view.number * 5) % 11), why='far off')"
    " for p in proposals]",
).source
BROKEN = guest("x", "def select(self, view, parent):\n    raise ValueError('broken')").source
ADVISER = guest("x", "def advise(self, view, briefing):\n    return briefing.with_block('x', 'be bold')").source
ALL = ("door", "replay")


@dataclass(frozen=True)
class Mender:
    """Proposes a placebo, and when that is turned back a mechanism that does something."""

    name: str = "mender"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        return [Proposal(mechanism_set((Guest("mended", STEPS if briefing.turned_back else PLACEBO),)))]


@dataclass(frozen=True)
class Freezes:
    """Sets the inner loop's settings: freezes what the replayed mechanism would bind."""

    name: str = "freezes"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        return [Proposal(parent.with_params(**{"freeze.bias": True, "freeze.shape": True}))]


def outer(sources, *, cycles=4, trials=3, inner=INNER, ladder=ALL, surface=None, start="fork", share=0.0):
    researcher = Sources(sources)
    return nest(
        inner, surface or MechanismSurface(admit_loadable), OnProbation(researcher, share) if share else researcher,
        name="mechanisms", trials=trials, cycles=cycles, start=start, ladder=ladder,
    )  # fmt: skip


def ran(spec, store=None):
    lab = Lab(store or MemoryStore())
    return Loop(spec, lab).run(), lab


def rungs(trial):
    return [(climb.rung, climb.outcome) for climb in trial.climbs]


def test_a_mechanism_that_changes_decisions_climbs_to_its_fork_and_every_rung_is_on_record():
    trace, _ = ran(outer((STEPS,), cycles=2))
    trial = trace[1]
    assert [rung for rung, _ in rungs(trial)] == ["door", "replay", "rehearsal", "trial"]
    assert [outcome for _, outcome in rungs(trial)][:3] == ["passed", "passed", "off"]
    assert trial.climbs[3].outcome in ("helped", "hurt", "undecided", "inert")
    assert {climb.mechanism for climb in trial.climbs} == {"m1"}
    assert {climb.source for climb in trial.climbs} == {content_hash(STEPS)}
    assert trial.climbs[3].evaluations == trial.cost.evaluations > 0
    assert "decisive" in trial.climbs[1].reason and trial.climbs[1].evidence["this run"]["constrain"][2] > 0
    assert all(climb.rung in LADDER and climb.outcome in OUTCOMES for climb in trial.climbs)


@dataclass
class Said:
    """A store in which the forks of each mechanism say what they are given here."""

    store: MemoryStore
    e_values: dict

    def __getattr__(self, name):
        return getattr(self.store, name)

    def trials(self, branch_id):
        return [replace(trial, climbs=tuple(map(self._told, trial.climbs))) for trial in self.store.trials(branch_id)]

    def _told(self, climb):
        if climb.rung != "trial":
            return climb
        said = {"forks": 9, "word": "helped", "e_value": self.e_values[climb.mechanism]}
        return replace(climb, outcome="confirmed", evidence={**climb.evidence, **said})


@pytest.mark.parametrize(("weak", "outcome"), [(1.5, "helped"), (30.0, "confirmed")])
def test_at_the_end_a_mechanism_is_confirmed_beside_all_that_were_tested(weak, outcome):
    spec = outer((STEPS, HARMFUL), cycles=3)
    _, lab = ran(spec)
    found = ladder_of(Said(lab.store, {"m1": 30.0, "m2": weak}), spec).standings
    assert [one.outcome for one in found] == [outcome] * 2
    assert all(one.said.startswith(outcome) for one in found)


@pytest.mark.parametrize("source", [PLACEBO, SLEEPER])
def test_one_that_would_have_changed_nothing_goes_back_to_its_author_and_costs_no_measurement(source):
    spec = outer((source,), cycles=2)
    trace, lab = ran(spec)
    trial = trace[1]
    assert trial.status is Status.REFUSED and trial.cost.evaluations == 0
    assert rungs(trial)[:2] == [("door", "passed"), ("replay", "inert")]
    assert "no decision would have been another" in trial.turned_back[0].reason
    assert (
        "this run (3 trials)" in trial.climbs[1].reason and "synthetic landscape (40 trials)" in trial.climbs[1].reason
    )
    assert not [branch for branch in lab.store.branches() if "challenger" in branch.id]


def test_one_that_fails_in_the_replay_is_refused_with_what_it_raised():
    trial = ran(outer((BROKEN,), cycles=2))[0][1]
    assert rungs(trial)[1] == ("replay", "refused")
    assert "ValueError: broken" in trial.climbs[1].reason and trial.cost.evaluations == 0


def test_the_author_may_mend_it_within_the_same_trial_and_both_climbs_are_kept():
    trial = ran(replace(outer((), cycles=2), researcher=Mender()))[0][1]
    assert trial.status is Status.OK
    assert [(climb.rung, climb.outcome) for climb in trial.climbs[:2]] == [("door", "passed"), ("replay", "inert")]
    assert content_hash(STEPS) in {climb.source for climb in trial.climbs if climb.rung == "trial"}


def test_advice_that_nobody_reads_is_inert_and_advice_that_is_read_is_left_to_the_live_trial():
    deaf = ran(outer((ADVISER,), cycles=2))[0][1]
    assert rungs(deaf)[1] == ("replay", "inert") and "reads none" in deaf.climbs[1].reason
    inner = replace(INNER, researcher=replace(INNER.researcher, reads_advice=True))
    heard = ran(outer((ADVISER,), cycles=2, inner=inner))[0][1]
    assert ("replay", "passed") in rungs(heard) or "measured live" in heard.climbs[1].reason


def test_rungs_that_are_left_out_are_recorded_as_off():
    trial = ran(outer((PLACEBO,), cycles=2, ladder=()))[0][1]
    assert rungs(trial) == [("door", "off"), ("replay", "off"), ("rehearsal", "off"), ("trial", "inert")]
    assert "leaves this rung out" in trial.climbs[0].reason


def test_without_a_control_there_is_no_verdict():
    trial = ran(outer((HARMFUL,), cycles=2, start="continue"))[0][1]
    assert trial.climbs[-1].outcome == "undecided" and "no control" in trial.climbs[-1].reason
    assert forks_of([trial], "m1", content_hash(HARMFUL)) == []


def test_the_replay_runs_with_the_settings_that_the_level_between_has_set():
    """What level 1.5 froze in the meantime binds in the replay too: then the mechanism has nothing left to freeze."""
    settings = nest(INNER, SettingsSurface(), Freezes(), name="settings", trials=3, cycles=2, start="continue")
    spec = outer((STEPS,), inner=settings, surface=Inside(MechanismSurface(admit_loadable)), cycles=3, trials=2)
    trace, _ = ran(spec)
    climb = next(climb for climb in trace[2].climbs if climb.rung == "replay")
    assert climb.evidence["this run"]["constrain"][2] == 0
    loose = outer((STEPS,), inner=INNER, cycles=3, trials=6)
    climb = next(climb for climb in ran(loose)[0][2].climbs if climb.rung == "replay")
    assert climb.evidence["this run"]["constrain"][2] > 0


def test_the_same_seed_climbs_the_same_and_a_resumed_run_keeps_what_was_climbed():
    one, other = (ran(outer((STEPS, PLACEBO), cycles=3))[0] for _ in range(2))
    assert [rungs(trial) for trial in one] == [rungs(trial) for trial in other]
    store = MemoryStore()
    ran(outer((STEPS, PLACEBO), cycles=2), store)
    resumed, _ = ran(outer((STEPS, PLACEBO), cycles=3), store)
    assert [rungs(trial) for trial in resumed] == [rungs(trial) for trial in one]


# ---- probation ----


def in_force(*sources):
    return replace(INNER, mechanisms=tuple(Guest(f"m{n}", source) for n, source in enumerate(sources)))


@pytest.mark.slow
def test_a_mechanism_in_force_is_left_out_now_and_then_within_the_proof_share():
    trace, _ = ran(outer((STEPS, HARMFUL), inner=in_force(HARMFUL), cycles=13, share=0.25))
    ablations = [trial for trial in trace if trial.proposal.author == "probation"]
    assert ablations and len(ablations) <= 0.25 * len(trace)
    assert all(trial.runs[-1].data["tests"][0]["sign"] == -1 for trial in ablations)
    assert all(trial.climbs[-1].rung == "probation" for trial in ablations)
    assert not [trial for trial in ran(outer((STEPS,), inner=in_force(HARMFUL), cycles=9))[0]
                if trial.proposal.author == "probation"]  # fmt: skip


def test_one_that_hurts_is_rolled_back_on_the_evidence_of_its_forks():
    inner = replace(in_force(HARMFUL), noise=None)
    trace, _ = ran(outer((), inner=inner, cycles=20, trials=6, share=1.0))
    kept = [trial for trial in trace if trial.decision.keep and trial.number]
    assert kept and "rolled back on evidence" in kept[0].decision.reason
    assert kept[0].climbs[-1].outcome == "removed"
    assert guests_of(trace.current) == ()
    forks = forks_of(trace, "m0", content_hash(HARMFUL))
    assert verdict(forks).word == "hurt"


def test_one_ablation_that_comes_out_better_is_not_enough_to_remove_a_mechanism():
    trace, _ = ran(outer((), inner=in_force(STEPS), cycles=3, trials=3, share=1.0))
    first = trace[1]
    assert first.proposal.author == "probation" and not first.decision.keep
    assert "stays on probation" in first.decision.reason
    assert guests_of(trace.current) == guests_of(mechanism_set(in_force(STEPS).mechanisms))


def test_an_ablation_counts_with_the_sign_turned_round():
    trace, _ = ran(outer((), inner=in_force(HARMFUL), cycles=3, trials=4, share=1.0))
    trial = trace[1]
    (fork,) = forks_of([trial], "m0", content_hash(HARMFUL))
    assert fork == Fork(-trial.score, trial.runs[-1].data["spread"])


# ---- further controls ----

RESTART = guest("x", "def select(self, view, parent):\n    return view.trace.baseline.candidate").source


def with_controls(*names, cycles=4, sources=(STEPS,)):
    guests = {"restart": Guest("restart", RESTART), "placebo": Guest("placebo", PLACEBO)}
    spec = outer(sources, cycles=cycles)
    return replace(spec, task=replace(spec.task, controls=tuple(Control(name, guests.get(name)) for name in names)))


def test_each_further_control_is_an_arm_from_the_same_state_and_is_paid_for():
    spec = with_controls("restart", "placebo", "again")
    trace, lab = ran(spec)
    for trial in trace[1:]:
        arms = trial.runs[-1].data["arms"]
        assert set(arms) == {"challenger", "control", "restart", "placebo", "again"}
        assert len({lab.store.branch(arm["branch"]).parent for arm in arms.values()}) == 1
        assert trial.cost.evaluations == sum(arm["evaluations"] for arm in arms.values()) <= spec.task.evaluations == 15


def test_the_gain_is_over_the_best_of_the_controls_that_have_a_guest():
    trace, _ = ran(with_controls("restart", "placebo", "again", cycles=6))
    for trial in trace[1:]:
        data = trial.runs[-1].data
        bests = {name: arm["best"] for name, arm in data["arms"].items()}
        rivals = [bests[name] for name in ("control", "restart", "placebo")]
        assert trial.score == pytest.approx(min(rivals) - bests["challenger"])
        assert data["gains"]["placebo"] == data["gains"]["control"]  # a placebo is the control by another name
    assert any(
        trial.runs[-1].data["gains"]["restart"] != trial.runs[-1].data["gains"]["control"] for trial in trace[1:]
    )


def test_the_same_loop_again_with_other_random_numbers_shows_what_chance_does_and_widens_the_spread():
    plain, _ = ran(with_controls(cycles=6))
    again, _ = ran(with_controls("again", cycles=6))
    assert any(trial.runs[-1].data["again"][0] != 0.0 for trial in again[1:])
    first = again[1].runs[-1].data
    assert first["spread"] == max(plain[1].runs[-1].data["spread"], abs(first["again"][0]))
    assert first["arms"]["challenger"]["best"] == plain[1].runs[-1].data["arms"]["challenger"]["best"]


def test_the_search_goes_on_from_the_best_end_of_all_arms():
    trace, _ = ran(with_controls("restart", "again", cycles=6))
    for trial in trace[1:]:
        arms = trial.runs[-1].data["arms"]
        best = min(arm["best"] for arm in arms.values())
        end = next(arm for arm in arms.values() if arm["branch"] == trial.state)
        assert end["best"] == best
        if arms["control"]["best"] == best:
            assert trial.state == arms["control"]["branch"]


def test_an_ablation_is_set_against_the_loop_with_the_mechanism_and_not_against_a_restart():
    guests = {"restart": Guest("restart", RESTART)}
    spec = outer((), inner=in_force(HARMFUL), cycles=4, trials=4, share=1.0)
    spec = replace(spec, task=replace(spec.task, controls=(Control("restart", guests["restart"]),)))
    for trial in ran(spec)[0][1:]:
        data = trial.runs[-1].data
        assert trial.proposal.author == "probation" and trial.score == data["gains"]["control"]
        assert "restart" in data["gains"]


def test_one_that_never_tells_the_arms_apart_is_retired_in_the_end():
    same = guest("x", "def select(self, view, parent):\n    return parent").source
    trace, _ = ran(outer((), inner=in_force(same), cycles=9, trials=2, share=1.0))
    kept = [trial for trial in trace if trial.number and trial.decision.keep]
    assert kept and kept[0].number == 6 and "retired: no sign" in kept[0].decision.reason
