"""A warm start: what earlier runs on tasks of the same family left in the library, for level 2 to choose by."""

from collections.abc import Mapping, Sequence

from bilevel.errors import InputError
from bilevel.evidence import Fork, verdict
from bilevel.recipe import Recipe
from bilevel.researchers.library import Known
from bilevel.shelf.record import Measurement

DECIDED = 0.95  # the probability that stands for a verdict over whole loops
READERS = ("library", "library:diagnose")  # researchers whose choices the evidence orders


def warm_for(recipe: Recipe) -> Mapping[str, Known]:
    """The evidence on mechanisms by the names that they will have in force; nothing where the recipe starts cold.

    Only what was measured here, on tasks of the same family, on the text as it is now. Where two places have a
    mechanism of one name, the one with more forks speaks. Raises InputError where no level's researcher would read it.
    """
    if not recipe.warm:
        return {}
    if not any(level.researcher in READERS for level in recipe.outer):
        raise InputError(
            f"recipe {recipe.name!r} starts warm, and no level's researcher is 'library', which alone chooses by the "
            "library's evidence; leave --warm out, or take a recipe with it (default, c, d, recursive)"
        )
    from bilevel.shelf import every, plain
    from bilevel.shelf.measuring import family

    wanted, known = family(recipe.task), dict[str, tuple[int, Known]]()
    for name, found in every().items():
        told = [measurement for measurement in found.evidence if measurement.family == wanted and not found.foreign]
        forks = sum(measurement.told for measurement in told)
        if told and not found.problem and forks >= known.get(plain(name), (0,))[0]:
            known[plain(name)] = (forks, _known(found.source, told))
    return {name: one for name, (_, one) in known.items()}


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
