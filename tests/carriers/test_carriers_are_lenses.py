"""The surfaces of carriers are lenses with the laws of all others, and never hold the evaluator."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TinyTask, spec_of

from bilevel.acts import Act
from bilevel.carrying import CARRIERS, carrier_of, no_place_for, with_texts
from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.lab import Lab, Nobody
from bilevel.levels import leaf
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.nesting import lift
from bilevel.port_suites import check_surface
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.surfaces import (
    MechanismSurface,
    MemorySurface,
    PromptSurface,
    SkillSurface,
    StepSurface,
    WorkflowSurface,
    guests_of,
    mechanism_set,
)
from bilevel.trial import Proposal

SPEC = replace(spec_of(TinyTask()), researcher=ModelResearcher())
SURFACES = [
    kind(lambda guest: None)
    for kind in (MechanismSurface, PromptSurface, SkillSurface, MemorySurface, WorkflowSurface, StepSurface)
]
names = st.tuples(st.sampled_from(CARRIERS), st.text("abcxyz_", min_size=2, max_size=5)).map(
    lambda parts: parts[1] if parts[0] == "code" else ":".join(parts)
)
sets = st.lists(st.tuples(names, st.text(max_size=9)), max_size=5, unique_by=lambda item: item[0]).map(
    lambda items: tuple(Guest(*item) for item in items)
)


@settings(max_examples=40, deadline=None)
@given(sets, sets, st.sampled_from(SURFACES))
def test_every_surface_of_a_carrier_keeps_the_laws_whatever_is_in_force(one, other, surface):
    spec = replace(SPEC, mechanisms=one)
    assert check_surface(surface, spec, [mechanism_set(other), mechanism_set(())]) == []
    assert leaf(surface.write(spec, mechanism_set(other))).task == spec.task
    assert guests_of(surface.read(spec)) == one


@settings(max_examples=40, deadline=None)
@given(sets)
def test_a_researcher_works_with_the_texts_that_it_has_a_place_for_and_no_others(guests):
    researcher = with_texts(SPEC.researcher, guests)
    wanted = [guest for guest in guests if carrier_of(guest.name) in ("prompt", "skill", "memory")]
    assert list(researcher.texts) == wanted
    assert replace(researcher, texts=()) == SPEC.researcher


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.carriers[0])
def test_a_surface_changes_its_own_carrier_and_leaves_the_others_in_force(surface):
    none, found = mechanism_set(()), {}
    for carrier in CARRIERS:
        guest = Guest("mine" if carrier == "code" else f"{carrier}:mine", "text")
        found[carrier] = surface.problems(SPEC, mechanism_set((guest,)), none)
        assert mechanism_set((guest,)).params["carrier"] == carrier
    own = surface.carriers[0]
    assert found.pop(own) == [] if own not in ("workflow", "step") else "has no place" in found.pop(own)[0]
    assert all("this level changes" in problems[0] for problems in found.values())


def test_a_text_without_a_place_is_an_error_above_and_a_fault_below():
    skill = Guest("skill:mine", "---\nwhen: always\n---\nLook.")
    assert "has no place for 'skill:mine'" in no_place_for(spec_of(TinyTask()).researcher, skill.name)
    with pytest.raises(InputError, match="has no place"):
        lift(skill, spec_of(TinyTask()))
    with pytest.raises(InputError, match="cannot be put in force: a skill has a line"):
        lift(Guest("skill:mine", "Look."), SPEC)
    loop = Loop(replace(spec_of(TinyTask()), mechanisms=(skill,)), Lab())
    loop.step()
    assert [fault.guest for fault in loop.step().faults] == ["skill:mine"]


def test_names_of_texts_are_plain():
    surface = SURFACES[2]
    (problem,) = surface.problems(SPEC, mechanism_set((Guest("skill:Not This", "x"),)), mechanism_set(()))
    assert "snake_case" in problem


@dataclass(frozen=True)
class Hears:
    """A free researcher with a place for skills: it steps as the last one says."""

    texts: tuple[Guest, ...] = ()
    carries: tuple[str, ...] = ("skill",)
    name: str = "hears"
    reads_advice: bool = True
    free: bool = True

    def carrying(self, texts):
        return replace(self, texts=tuple(texts))

    def used(self, view, parent, briefing):
        return frozenset(text.name for text in self.texts if text.source != "say nothing")

    def refusal(self, text, space):
        return None

    def propose(self, view, parent, briefing):
        said = [text.source for text in self.texts if text.source in ("up", "down")]
        step = {"up": 0.01, "down": -0.01}[said[-1]] if said else 0.001
        return [Proposal(parent.with_params(shift=round(parent.params["shift"] + step * view.number, 6)))]


SKILLS = tuple(Guest(f"skill:{name}", text) for name, text in (("a", "up"), ("b", "down"), ("c", "say nothing")))


def test_where_asking_is_free_a_text_counts_exactly_where_the_draft_is_another_without_it():
    spec = replace(spec_of(TinyTask()), researcher=Hears(), mechanisms=(*SKILLS, Guest("skill:d", "down")))
    loop = Loop(spec, Lab())
    for _ in range(4):
        loop.step()
    counts = {name: hooks["advise"] for name, hooks in loop.trace.ledger().items()}
    assert {name: (one.calls, one.touched, one.decisive) for name, one in counts.items()} == {
        "skill:a": (3, 3, 0), "skill:b": (3, 3, 0), "skill:c": (3, 0, 0), "skill:d": (3, 3, 0)
    }  # fmt: skip
    alone = Loop(replace(spec, mechanisms=SKILLS[:2]), Lab())
    for _ in range(4):
        alone.step()
    assert [alone.trace.ledger()[name]["advise"].decisive for name in ("skill:a", "skill:b")] == [0, 3]


def test_a_text_that_a_person_retired_is_out_from_the_next_trial_on():
    class Persons(Nobody):
        def due(self, level, branch, number, known):
            act = Act(1, "retire", "skill:b", source=content_hash("down"), levels=(level,))
            return (act,) if number == 2 else ()

    lab = Lab()
    lab.persons = Persons()
    loop = Loop(replace(spec_of(TinyTask()), researcher=Hears(), mechanisms=SKILLS), lab)
    for _ in range(4):
        loop.step()
    steps = [trial.candidate.params["shift"] - trial.parent.params["shift"] for trial in loop.trace[1:]]
    assert [step > 0 for step in steps] == [False, True, True]
    assert "skill:b" not in loop.trace[3].ledger
