"""What each level of a recipe changes: the innermost loop, or, on level 3, the loop that searches mechanisms."""

from functools import partial

from bilevel.errors import InputError
from bilevel.hosting import Hosting
from bilevel.levels import Inside, LoopTask, levels_of, unfit
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.recipe import Outer, Recipe
from bilevel.researcher import Researcher
from bilevel.surfaces import MechanismSurface, SettingsSurface, Surface, mechanism_set

FIRST = ("restart", "revert", "semantic_duplicate", "tabu")  # they move the search or turn drafts back on any level
UNLIFTED = ("control", "several objectives")  # domains that mean nothing on a loop of loops


def aim(recipe: Recipe, inner: LoopSpec, level: Outer, depth: int, hosting: Hosting) -> tuple[Surface, str]:
    """What a level changes, and its name: the innermost loop; or, where a level below searches mechanisms already, the
    nearest such loop itself: then it is level 3."""
    surface: Surface
    name: str = level.level
    if level.level == "settings":
        surface = SettingsSurface(level.least_active, level.most_changed)
    else:
        kinds = [one.level for one in recipe.outer[:depth]]
        lower = kinds.count(level.level)
        name = f"{level.level}-{lower + 2}" if lower else name
        door = hosting.door.door
        if lower:
            depth = kinds[::-1].index(level.level)
            door = partial(_lifting_door, hosting, levels_of(inner)[-1 - depth])
        surface = MechanismSurface(door, level.most_mechanisms, name)
    for _ in range(depth):
        surface = Inside(surface)
    return surface, name


def _lifting_door(hosting: Hosting, spec: LoopSpec, guest: Guest) -> str | None:
    """The door of level 3: what is sound must also be able to work on the loop `spec`, where parameters are derived."""
    refusal = hosting.door.door(guest)
    return refusal if refusal is not None else unfit(spec, hosting.load(guest).needs, guest.name)


def lifting(inner: LoopSpec, surface: Surface) -> Researcher:
    """The researcher of level 3 that lifts. What a source needs is read from its text: the door has the last word."""
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
    return researchers.make("lift", "2", compose=mechanism_set, fits=fits, library=offers)
