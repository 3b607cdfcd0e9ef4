"""The same budget for every arm: in trials, tokens, seconds or money, through the recipe's own limits."""

from typing import Literal

from bilevel.errors import InputError
from bilevel.levels import LoopTask, leaf
from bilevel.loop import LoopSpec
from bilevel.overriding import override
from bilevel.recipe import Recipe
from bilevel.wiring import build, uses_models

Equal = Literal["trials", "tokens", "seconds", "money"]
MOST_TRIALS = 1000  # measurements of a run that only time bounds
PATIENCE = 4  # trials per measurement, after which a search that is refused again and again ends


def at_budget(recipe: Recipe, equal: Equal, budget: float, most_trials: int) -> Recipe:
    """The recipe with a budget and no other end.

    In trials, measurements count: those of all arms of forks. What is refused before it is measured costs nothing, at
    the innermost level and above, up to PATIENCE; else a fork whose mechanism is turned back at the door would cost a
    whole cycle. A nested arm begins only cycles that the budget pays for in full, so it may leave a rest unspent.
    Raises InputError where not even the first cycle fits, and where a budget in tokens or money would never end an arm
    that asks no model.
    """
    if equal == "trials":
        return _measuring(recipe, int(budget))
    if equal != "seconds" and not most_trials and not uses_models(recipe):
        raise InputError(
            f"arm {recipe.name!r} asks no model, so equal {equal} would never end it; say with --most-trials how many "
            "measurements it may take"
        )
    return _measuring(override(recipe, limits={equal: budget}), most_trials or MOST_TRIALS)


def _measuring(recipe: Recipe, most: int) -> Recipe:
    if not recipe.nested:
        return override(recipe, trials=PATIENCE * most).model_copy(update={"evaluations": most})
    first, each = cycles_of(build(recipe.model_copy(update={"evaluations": None})))
    if most < first:
        raise InputError(
            f"arm {recipe.name!r} takes {first} trials for its first cycle, and the budget is {most}; give a larger "
            "--budget, or a smaller --inner-budget"
        )
    return override(recipe, trials=most, outer_cycles=1 + PATIENCE * ((most - first) // each))


def cycles_of(spec: LoopSpec) -> tuple[int, int]:
    """How many innermost trials the first cycle of the outermost level takes, and each later one."""
    assert isinstance(spec.task, LoopTask)
    return spec.task.trials * spec.task.inner.task.evaluations, spec.task.evaluations


def measured(recipe: Recipe, spec: LoopSpec) -> int | None:
    """How much a run at a budget measures at most without its baseline.

    Whole cycles, where nothing is repeated; repeats of a keep rule may come on top, as far as the budget goes.
    """
    most, rule = recipe.evaluations, leaf(spec).rule
    if most is None or not isinstance(spec.task, LoopTask) or (rule is not None and rule.repeats):
        return most
    if spec.task.stuck_share:  # a search that is never stuck spends it to the last
        return most
    first, each = cycles_of(spec)
    return first + (most - first) // each * each
