"""Level 3: a loop over the loop that searches mechanisms, and what is lifted onto level 2."""

from dataclasses import dataclass, replace

import pytest
from tiny import Sources, TinyTask, guest, spec_of

from bilevel.call import Reply
from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.evidence import forks_of
from bilevel.lab import Lab, MemoryStore
from bilevel.levels import aimed_at
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.nesting import lift, nest
from bilevel.researchers.lifting import LiftResearcher
from bilevel.surfaces import MechanismSurface, admit_loadable, guests_of, mechanism_set
from bilevel.trial import Proposal
from bilevel.yields import yields_of

INNER = spec_of(TinyTask(noise=0.02))
STEPS = guest("x", "def constrain(self, view, space):\n    return space.freeze(space.active[:1], 'steps')").source
OTHER = guest("x", "def constrain(self, view, space):\n    return space.freeze(space.active[1:2], 'other')").source
KIND = "    kind = lambda candidate: candidate.files.get('m', '').partition('#')[0]\n"  # the source without its number
TABU = guest(
    "x",
    f"def propose(self, view, parent, proposals):\n{KIND}"
    "    tried = {kind(t.candidate) for t in view.trace[-1:]}\n"
    "    return [p for p in proposals if kind(p.candidate) not in tried] or proposals",
).source
MEMORY = guest(
    "x",
    f"def remember(self, memory, trial):\n{KIND}"
    "    return [*(memory or []), kind(trial.candidate)]\n"
    f"def propose(self, view, parent, proposals):\n{KIND}"
    "    return sorted(proposals, key=lambda p: (view.memory or []).count(kind(p.candidate)))",
).source
DEBATE = guest(
    "x",
    "def propose(self, view, parent, proposals):\n"
    "    if len(proposals) < 2:\n"
    "        return proposals\n"
    "    what = '; '.join(p.why for p in proposals)\n"
    "    said = [view.ask(f'As a critic of {c}: which of these is weakest? {what}', f'critic {c}')\n"
    "            for c in ('novelty', 'risk', 'cost')]\n"
    "    word = view.ask(f'Sum up: {said}. Answer last or first.', 'synthesis')\n"
    "    return list(proposals)[::-1] if 'last' in word else proposals",
).source


@dataclass(frozen=True)
class Pair:
    """Level 2's researcher: the same two drafts in every trial, a freeze of one parameter or of another."""

    name: str = "pair"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        turned_back = {back.candidate for back in briefing.turned_back}
        found = [
            Proposal(mechanism_set((Guest("m", f"{source}# {view.number}"),)), why)
            for source, why in ((STEPS, "freeze the first"), (OTHER, "freeze the second"))
        ]
        return [p for p in found if p.candidate.id not in turned_back and p.candidate.id != parent.id]


@dataclass(frozen=True)
class Says:
    text: str = "last"
    name: str = "says:last"

    def complete(self, request, seed, watch):
        return Reply(self.text, self.name, tokens_in=7, tokens_out=1)


def level_2(researcher=None, trials=3):
    return nest(
        INNER, MechanismSurface(admit_loadable), researcher or Pair(), name="mechanisms", trials=trials, cycles=2,
        start="continue",
    )  # fmt: skip


def level_3(researcher, inner=None, cycles=3, trials=4):
    surface = MechanismSurface(admit_loadable, name="mechanisms-3")
    return nest(inner or level_2(), surface, researcher, name="mechanisms-3", trials=trials, cycles=cycles)


def ran(spec):
    store = MemoryStore()
    lab = Lab(store, models={"mechanisms": Says(), "mechanisms-3": Says()})
    return Loop(spec, lab).run(), store


def test_a_level_right_above_the_one_that_searches_mechanisms_changes_that_loop_and_sees_its_record():
    seen = []

    @dataclass(frozen=True)
    class Looks(Sources):
        def propose(self, view, parent, briefing):
            seen.append(view.below)
            return super().propose(view, parent, briefing)

    spec = level_3(Looks((TABU,)))
    assert aimed_at(spec.task).name == "mechanisms" and spec.task.objective.unit == INNER.task.objective.unit
    trace, _ = ran(spec)
    assert len(trace) == 3 and seen[0].trials == 4
    assert seen[0].objective.relative and all(trial.climbs for trial in seen[0].trace[1:])


@pytest.mark.parametrize(("source", "lifted"), [(TABU, "tabu"), (MEMORY, "memory"), (DEBATE, "debate")])
def test_what_is_lifted_has_a_ledger_of_its_own_and_an_unlifted_twin_as_control(source, lifted):
    trace, store = ran(level_3(Sources((source,)), cycles=2))
    trial = trace[1]
    data = trial.runs[-1].data
    assert data["control"] and set(data["arms"]) == {"challenger", "control"}
    hooks = data["ledger"]["m1"]
    assert hooks["propose"][0] == 4 and hooks["propose"][2] > 0, f"{lifted} was called in each cycle of level 2"
    assert trial.climbs[-1].rung == "trial" and len(forks_of([trial], "m1", content_hash(source))) == 1
    challenger, control = (
        [t for b in store.branches() if b.id == f"root/1.{arm}" for t in store.trials(b.id)]
        for arm in ("challenger", "control")
    )
    assert all("m1" in trial.ledger for trial in challenger) and not any("m1" in trial.ledger for trial in control)
    if lifted == "debate":
        purposes = {call.purpose for call in store.calls()}
        assert sum("critic" in purpose for purpose in purposes) == 3 and any("synthesis" in p for p in purposes)


def test_a_mechanism_of_level_1_with_the_same_name_does_not_count_for_the_lifted_one():
    idle = guest("x", "def select(self, view, parent):\n    return parent").source

    @dataclass(frozen=True)
    class SameName(Sources):
        def propose(self, view, parent, briefing):
            return [Proposal(mechanism_set((Guest("m", idle),)))]

    trace, store = ran(level_3(SameName(()), cycles=2))
    below = [trial.ledger["m"] for trial in own(store, "inner") if "m" in trial.ledger]
    assert any(count.decisive for hooks in below for count in hooks.values())
    assert [*trace[1].runs[-1].data["inert"]] == ["m"] and not trace[1].decision.keep


def own(store, level):
    return [trial for branch in store.branches() if branch.level == level for trial in store.trials(branch.id)]


def test_the_lifting_researcher_lifts_what_level_2_kept_and_tells_its_yield():
    lifting = LiftResearcher(mechanism_set, fits=lambda source: "numeric" not in source, library={"tabu": TABU})
    trace, store = ran(level_3(lifting, cycles=5))
    lifted = [str(trial.proposal.notes["lifted"]) for trial in trace[1:]]
    assert all(name.startswith("lifted ") for name in lifted)
    assert any("one level below" in trial.proposal.why for trial in trace[1:]) or "lifted tabu" in lifted
    sources = [trial.candidate.files[name] for trial, name in zip(trace[1:], lifted, strict=True)]
    assert len(set(sources)) > 1, "what was tried least often comes first"
    below, above = yields_of(store, level_3(lifting, cycles=5), store.calls())
    assert below.level == "mechanisms" and above.level == "mechanisms-3"
    assert above.candidates == 4 and above.rungs["trial"].climbed == 4 and set(above.lifted) == set(lifted)
    assert above.control and not below.control and above.evaluations > 0
    assert below.rungs["door"].passed <= below.rungs["door"].climbed == below.candidates
    assert below.gain == pytest.approx(
        sum(t.score for b in store.branches() if b.level == "mechanisms" for t in store.trials(b.id)
            if t.number and t.decision.keep)
    )  # fmt: skip


def test_lifting_needs_a_loop_that_searches_mechanisms_and_one_that_constructs_cannot_go_there():
    lifting = LiftResearcher(mechanism_set, fits=lambda source: True)
    spec = nest(INNER, MechanismSurface(admit_loadable), lifting, name="mechanisms", trials=3, cycles=2)
    with pytest.raises(InputError, match="put it on a second level"):
        ran(spec)
    numeric = "needs = frozenset({'numeric'})\ndef propose(self, view, parent, proposals):\n    return proposals"
    with pytest.raises(InputError, match="cannot be lifted"):
        lift(guest("builder", numeric), level_2())


def test_a_kept_lift_stays_in_force_on_level_2_and_the_run_resumes_as_it_would_have_gone_on():
    spec = level_3(Sources((TABU, MEMORY)), cycles=4)
    whole, _ = ran(spec)
    store = MemoryStore()
    for cycles in (2, 4):
        lab = Lab(store, models={"mechanisms": Says(), "mechanisms-3": Says()})
        part = Loop(replace(spec, budget=replace(spec.budget, trials=cycles - 1)), lab).run()
    assert part.fingerprint() == whole.fingerprint()
    kept = [trial for trial in whole[1:] if trial.decision.keep]
    assert [g.name for g in guests_of(whole.current)] == [f"m{t.number}" for t in kept]
