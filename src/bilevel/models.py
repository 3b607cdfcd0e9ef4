"""The language models of a recipe: connected before anything runs, and what their calls may cost at most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bilevel.budget import Limits
from bilevel.call import LanguageModel
from bilevel.errors import InputError
from bilevel.levels import levels_of
from bilevel.loop import LoopSpec
from bilevel.recipe import LEVEL_NAMES, Recipe
from bilevel.wiring import uses_models


def connected(recipe: Recipe) -> tuple[dict[str, LanguageModel], Callable[[str], str]]:
    """The models of a recipe by level, and what takes their keys out of a text.

    Raises InputError for a name, key or option that cannot be used, MissingExtra where pydantic-ai is not installed.
    """
    names = names_of(recipe)
    if not names:
        return {}, lambda text: text
    from bilevel.llm import Keys, ModelOptions, Prices, connect

    given = recipe.models
    if (given.price_in is None) != (given.price_out is None):
        raise InputError("models.price_in and models.price_out go together: US dollars per million tokens")
    prices = None if given.price_in is None or given.price_out is None else Prices(given.price_in, given.price_out)
    options = ModelOptions(
        base_url=given.base_url,
        output_mode=given.output_mode,
        timeout=given.timeout,
        patience=given.patience,
        backoff=given.backoff,
        attempts=given.attempts,
        prices=prices,
        thinking=given.thinking,
    )
    keys = Keys.load()
    made = {name: connect(name, options, keys) for name in dict.fromkeys(names.values())}
    return {level: made[name] for level, name in names.items()}, keys.redact


def check_prices(recipe: Recipe, limits: Limits) -> None:
    """Raises InputError where there is a limit on money and a model that can have no known price.

    A model that only its provider's price list may not know is found out by its first reply; see `Calls`.
    """
    if limits.money is None or recipe.models.price_in is not None:
        return
    for chain in names_of(recipe).values():
        from bilevel.llm import priced

        unknown = next((name for name in chain.split(",") if not priced(name)), None)
        if unknown is not None:
            raise InputError(
                f"the limit on money cannot be kept: {unknown!r} has no price list; write models.price_in and "
                "models.price_out into the recipe (US dollars per million tokens, 0 for a server of your own), or give "
                "a limit on tokens"
            )


ROUNDS = 4  # of a mechanism session


@dataclass(frozen=True)
class Estimate:
    """What the calls of a run come to at most, re-asks and repairs not counted; an upper bound, not a forecast."""

    calls: int
    tokens: int


def estimate(recipe: Recipe, spec: LoopSpec, trials: int | None) -> Estimate | None:
    """The most that a run's models are asked in `trials` measurements; None without models or without an end."""
    if not uses_models(recipe) or trials is None:
        return None
    calls = tokens = 0
    for loop in levels_of(spec):
        each = int(getattr(loop.researcher, "prompt_tokens", 0)) + int(getattr(loop.researcher, "most_tokens", 0))
        rounds = ROUNDS if loop.name == "mechanisms" else 1
        asked = -(-trials // max(loop.task.evaluations, 1)) * rounds if each else 0
        calls, tokens = calls + asked, tokens + asked * each
    return Estimate(calls, tokens)


def names_of(recipe: Recipe) -> Mapping[str, str]:
    """The names of a recipe's models by level."""
    return {level: name for level in LEVEL_NAMES if (name := recipe.models.of(level))}
