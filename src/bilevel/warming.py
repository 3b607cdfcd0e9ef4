"""A warm start: what earlier runs on tasks of the same family left in the library, for level 2 to choose by."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bilevel.errors import InputError
from bilevel.evidence import Fork, verdict
from bilevel.recipe import Recipe
from bilevel.researchers.library import Known
from bilevel.shelf.record import Measurement

DECIDED = 0.95  # the probability that stands for a verdict over whole loops
READERS = ("library", "library:diagnose")  # researchers whose choices the evidence orders


class Gathered(NamedTuple):
    """The evidence on mechanisms by the names that they will have in force; and by the same names, why there is
    evidence that does not count for this task."""

    known: Mapping[str, Known]
    unfit: Mapping[str, str]


def gathered(recipe: Recipe) -> Gathered:
    """What the library says of mechanisms for a recipe's task; nothing where the recipe starts cold.

    Only what was measured here, on tasks of the same family, on the text as it is now, where every kind of parameter
    that this task lets be searched was among those it was measured on. Where two places have a mechanism of one name,
    the one with more forks speaks. Raises InputError where no level's researcher would read it.
    """
    if not recipe.warm:
        return Gathered({}, {})
    if not any(level.researcher in READERS for level in recipe.outer):
        raise InputError(
            f"recipe {recipe.name!r} starts warm, and no level's researcher is 'library', which alone chooses by the "
            "library's evidence; leave --warm out, or take a recipe with it (default, c, d, recursive)"
        )
    from bilevel.shelf import every, plain
    from bilevel.shelf.measuring import family
    from bilevel.tasks.catalog import find_seeded

    @functools.cache
    def searched() -> frozenset[str]:
        space = find_seeded(recipe.task, recipe.seed).space
        return frozenset(type(space.domains[name]).__name__ for name in space.unlocked)

    wanted, known, unfit = family(recipe.task), dict[str, tuple[int, Known]](), dict[str, str]()
    for name, found in every().items():
        told = [one for one in found.evidence if one.family == wanted and not one.on and not found.foreign]
        if found.problem or not told:
            continue
        untried = {
            kinds: missing for one in told if (kinds := found.kinds_of(one)) and (missing := searched() - {*kinds})
        }
        for kinds, missing in untried.items():
            measured = ", ".join(kinds)
            unfit[plain(name)] = (
                f"measured on parameters of kind {measured}; this task has {', '.join(sorted(missing))} too"
            )
        told = [one for one in told if found.kinds_of(one) not in untried]
        forks = sum(measurement.told for measurement in told)
        if told and forks >= known.get(plain(name), (0,))[0]:
            known[plain(name)] = (forks, _known(found.source, told))
    return Gathered({name: one for name, (_, one) in known.items()}, unfit)


def _known(source: str, told: Sequence[Measurement]) -> Known:
    """All forks of a source together. Each counts in units of its own spread: tasks of a family differ in scale."""
    loops = [one for one in told if one.trials is not None and one.verdict != "undecided"]
    forks = [
        Fork(gain / spread, 1.0)
        for one in told
        if one.trials is None
        for gain, spread in zip(one.gains, one.spreads, strict=False)
        if spread > 0
    ]
    found = verdict(forks)
    probability = found.probability
    if loops:  # whole loops say more than forks
        probability = DECIDED if loops[-1].verdict == "helped" else 1 - DECIDED
    rest = f"whole loops: {loops[-1].sentence}" if loops else f"{len(forks)} forks in {len(told)} runs"
    return Known(source, probability, f"{probability:.0%} likely to help ({rest})")
