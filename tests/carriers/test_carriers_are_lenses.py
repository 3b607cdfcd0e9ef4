"""The surfaces of carriers are lenses with the laws of all others, and never hold the evaluator."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import TinyTask, spec_of

from bilevel.carrying import CARRIERS, carrier_of, no_place_for, with_texts
from bilevel.errors import InputError
from bilevel.lab import Lab
from bilevel.levels import leaf, lift
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.port_suites import check_surface
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.surfaces import (
    MechanismSurface,
    MemorySurface,
    PromptSurface,
    SkillSurface,
    WorkflowSurface,
    guests_of,
    mechanism_set,
)

SPEC = replace(spec_of(TinyTask()), researcher=ModelResearcher())
SURFACES = [
    kind(lambda guest: None) for kind in (MechanismSurface, PromptSurface, SkillSurface, MemorySurface, WorkflowSurface)
]
names = st.tuples(st.sampled_from(CARRIERS), st.text("abcxyz_", min_size=2, max_size=5)).map(
    lambda parts: parts[1] if parts[0] == "code" else ":".join(parts)
)
sets = st.lists(st.tuples(names, st.text(max_size=9)), max_size=5, unique_by=lambda item: item[0]).map(
    lambda items: tuple(Guest(*item) for item in items)
)


@given(sets, sets, st.sampled_from(SURFACES))
def test_every_surface_of_a_carrier_keeps_the_laws_whatever_is_in_force(one, other, surface):
    spec = replace(SPEC, mechanisms=one)
    assert check_surface(surface, spec, [mechanism_set(other), mechanism_set(())]) == []
    assert leaf(surface.write(spec, mechanism_set(other))).task == spec.task
    assert guests_of(surface.read(spec)) == one


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
    assert found.pop(own) == [] if own != "workflow" else "has no place" in found.pop(own)[0]
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
