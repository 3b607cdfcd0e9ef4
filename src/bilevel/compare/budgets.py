"""The same budget for every arm: in trials, tokens, seconds or money, through the recipe's own limits."""

from typing import Literal

from bilevel.errors import InputError
from bilevel.levels import LoopTask
from bilevel.loop import LoopSpec
from bilevel.recipe import Recipe, override
from bilevel.wiring import build, uses_models

Equal = Literal["trials", "tokens", "seconds", "money"]
MOST_TRIALS = 1000  # of a run that only time bounds


def at_budget(recipe: Recipe, equal: Equal, budget: float, most_trials: int) -> Recipe:
    """The recipe with a budget and no other end.

    Trials: a nested arm gets as many whole cycles as the budget pays for, both arms of its forks counted, so it may
    leave a rest unspent. Raises InputError where not even the first cycle fits, and where a budget in tokens or money
    would never end an arm that asks no model.
    """
    if equal == "trials":
        return _in_trials(recipe, int(budget))
    if equal != "seconds" and not most_trials and not uses_models(recipe):
        raise InputError(
            f"arm {recipe.name!r} asks no model, so equal {equal} would never end it; say with --most-trials how many "
            "trials it may take"
        )
    limited = override(recipe, limits={equal: budget})
    return _in_trials(limited, most_trials or MOST_TRIALS)


def _in_trials(recipe: Recipe, trials: int) -> Recipe:
    if not recipe.nested:
        return override(recipe, trials=trials).model_copy(update={"evaluations": trials})
    first, each = cycles_of(build(recipe.model_copy(update={"evaluations": None})))
    if trials < first:
        raise InputError(
            f"arm {recipe.name!r} takes {first} trials for its first cycle, and the budget is {trials}; give a larger "
            "--budget, or a smaller --inner-budget"
        )
    return override(recipe, trials=trials, outer_cycles=1 + (trials - first) // each)


def cycles_of(spec: LoopSpec) -> tuple[int, int]:
    """How many innermost trials the first cycle of the outermost level takes, and each later one."""
    assert isinstance(spec.task, LoopTask)
    return spec.task.trials * spec.task.inner.task.evaluations, spec.task.evaluations


def in_trials(spec: LoopSpec) -> int | None:
    """How many innermost trials a run takes at most, its baseline not counted."""
    if spec.budget.trials is None:
        return None
    if not isinstance(spec.task, LoopTask):
        return spec.budget.trials
    first, each = cycles_of(spec)
    return first + spec.budget.trials * each
