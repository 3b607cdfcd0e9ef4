"""What each level of a recipe changes: the innermost loop, or, on level 3, the loop that searches mechanisms."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bilevel.carrying import CODE, STEP, Carrying, carrier_of, no_place_for, with_texts
from bilevel.errors import InputError
from bilevel.hosting import Hosting
from bilevel.levels import Inside, LoopTask, leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.nesting import unfit
from bilevel.offering import offered_one
from bilevel.recipe import Outer, Recipe
from bilevel.researcher import Researcher
from bilevel.researchers.library import OUTER
from bilevel.surfaces import MechanismSurface, SettingsSurface, Surface, mechanism_set

FIRST = ("restart", "revert", "semantic_duplicate", "tabu")  # they move the search or turn drafts back on any level
UNLIFTED = ("control", "several objectives", OUTER)  # domains that mean nothing there, or are lifted where offered
ASKS = re.compile(r"\bview\.(ask|call)\(")  # in the text of a mechanism that needs a model


def aim(recipe: Recipe, inner: LoopSpec, level: Outer, depth: int, hosting: Hosting) -> tuple[Surface, str]:
    """What a level changes, and its name: the innermost loop; or, where a level below searches mechanisms already, the
    nearest such loop itself: then it is level 3."""
    surface: Surface
    name: str = level.level
    if level.level == "settings":
        researcher = with_texts(leaf(inner).researcher, leaf(inner).mechanisms)
        steps = tuple(getattr(researcher, "addressed", ())) if level.start == "fork" else ()
        surface = SettingsSurface(level.least_active, level.most_changed, steps)
    else:
        kinds = [one.level for one in recipe.outer[:depth]]
        lower = kinds.count(level.level)
        name = f"{level.level}-{lower + 2}" if lower else name
        door = hosting.door.door
        if level.carriers != (CODE,):
            door = partial(_door_of_texts, door, leaf(inner))
            _check_places(recipe, leaf(inner), level.carriers, lower)
        if lower:
            depth = kinds[::-1].index(level.level)
            door = partial(_lifting_door, hosting, levels_of(inner)[-1 - depth])
        surface = MechanismSurface(door, level.most_mechanisms, name, level.carriers)
    for _ in range(depth):
        surface = Inside(surface)
    return surface, name


def _check_places(recipe: Recipe, inner: LoopSpec, carriers: Sequence[str], lower: int) -> None:
    """Raises InputError where the loop that a level changes has no place for one of its carriers."""
    for carrier in carriers:
        problem = no_place_for(inner.researcher, f"{carrier}:any") if carrier != CODE else None
        if lower and carrier != CODE:
            problem = "level 3 changes the loop that searches mechanisms, whose researcher works with no text"
        if problem:
            raise InputError(f"recipe {recipe.name!r}, carriers: {problem}")


def _door_of_texts(door: Callable[[Guest], str | None], inner: LoopSpec, guest: Guest) -> str | None:
    """The door of mechanisms of every carrier: a text is read by the researcher that is to work with it,
    and what is code is tried behind the walls."""
    if carrier_of(guest.name) == CODE:
        return door(guest)
    problem = no_place_for(inner.researcher, guest.name)
    if problem is None and isinstance(inner.researcher, Carrying):
        problem = inner.researcher.refusal(guest, inner.task.space)
    return door(guest) if problem is None and carrier_of(guest.name) == STEP else problem


def _lifting_door(hosting: Hosting, spec: LoopSpec, guest: Guest) -> str | None:
    """The door of level 3: what is sound must also be able to work on the loop `spec`, where parameters are derived."""
    refusal = hosting.door.door(guest)
    return refusal if refusal is not None else unfit(spec, hosting.load(guest).needs, guest.name)


def lifting(recipe: Recipe, inner: LoopSpec, level: Outer, surface: Surface, stored: Mapping[str, str]) -> Researcher:
    """The researcher of level 3 that lifts. What a source needs is read from its text: the door has the last word.

    Raises InputError where there is nothing to lift onto, or the recipe offers what cannot work there.
    """
    from bilevel import mechanisms, researchers, shelf

    onto = levels_of(inner)[-1 - surface.depth]
    if not isinstance(onto.task, LoopTask):
        raise InputError(
            "researcher 'lift' lifts mechanisms onto a loop that searches them; put it on a second level "
            "'mechanisms', above the first"
        )

    def fits(source: str) -> bool:
        return unfit(onto, shelf.read(source).needs, "it") is None

    offers = {
        name: mechanisms.source(name) for name, entry in mechanisms.library().items() if entry.domain not in UNLIFTED
    }
    ordered = sorted(offers, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    offers = {name: offers[name] for name in ordered}
    offered = {one.name: one.source for one in (offered_one(wanted, level, stored) for wanted in level.offers)}
    for name, source in offered.items():
        problem = unfit(onto, shelf.read(source).needs, name)
        if problem is None and ASKS.search(source) and not recipe.models.of(onto.name):
            problem = f"mechanism {name!r} asks a language model, and level {onto.name!r} has none: give one by --model"
        if problem is not None:
            raise InputError(f"recipe {recipe.name!r}, offers: {problem}")
    return researchers.make("lift", "2", compose=mechanism_set, fits=fits, library=offers, offered=offered)
