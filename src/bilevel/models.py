"""The language models of a recipe: connected before anything runs, and what their calls may come to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.budget import Limits
from bilevel.call import LanguageModel
from bilevel.carrying import with_texts
from bilevel.errors import InputError
from bilevel.levels import LoopTask, leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.recipe import LEVEL_NAMES, Recipe
from bilevel.space import Candidate
from bilevel.task import Judged
from bilevel.tasks.folder import FolderTask
from bilevel.wiring import uses_models

AGENT = "agent:"  # what a coding agent's name as a model begins with


def connected(recipe: Recipe, spec: LoopSpec) -> tuple[dict[str, LanguageModel], Callable[[str], str]]:
    """The models of a recipe by level, a coding agent among them, and what takes their keys out of a text.

    Raises InputError for a name, key or option that cannot be used, MissingExtra where pydantic-ai is not installed.
    """
    names = names_of(recipe)
    if not names:
        return {}, lambda text: text
    from bilevel.llm import Keys, ModelOptions, Prices, connect

    given = recipe.models
    if (given.price_in is None) != (given.price_out is None):
        raise InputError("models.price_in and models.price_out go together: US dollars per million tokens")
    _check_address(given.base_url, tuple(names.values()))
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
    _check_stored(recipe, spec, keys.redact)

    def value(name: str) -> str | None:
        found = keys.get(name)
        return found.value if found else None

    made: dict[str, LanguageModel] = {}
    for name in dict.fromkeys(names.values()):
        made[name] = _agent(recipe, spec, value) if name.startswith(AGENT) else connect(name, options, keys)
    return {level: made[name] for level, name in names.items()}, keys.redact


def _check_address(base_url: str, names: tuple[str, ...]) -> None:
    """Raises InputError for an address that may not be stored, or that would get the keys of several providers."""
    asked = {part.partition(":")[0] for name in names if not name.startswith(AGENT) for part in name.split(",")}
    if base_url and len(asked) > 1:
        raise InputError(
            f"models.base_url would send the keys of several providers to one address ({', '.join(sorted(asked))}): "
            "give each provider its own address with its *_BASE_URL variable (`.env.example` has the names)"
        )
    if "@" in base_url.partition("://")[2].partition("/")[0]:
        raise InputError(
            "models.base_url holds a user or password, and a run folder keeps the recipe: write the address into a "
            "*_BASE_URL variable, in the environment or in .env (`.env.example` has the names)"
        )


def _check_stored(recipe: Recipe, spec: LoopSpec, redact: Callable[[str], str]) -> None:
    """Raises InputError where what a run folder keeps word for word holds a key that is set here."""
    task = leaf(spec).task
    start = task.baseline()
    texts = {"inner.settings.guidance": recipe.inner.settings.guidance}
    texts |= {f"events.{name}": command for name, command in recipe.events.commands.items()}
    texts |= {f"parameter {name}": value for name, value in start.params.items() if isinstance(value, str)}
    texts |= {f"file {path}": text for path, text in start.files.items()}
    texts |= task.editable_texts if isinstance(task, FolderTask) else {}
    texts |= {f"mechanism {guest.name}": guest.source for loop in levels_of(spec) for guest in loop.mechanisms}
    holder = next((name for name, text in texts.items() if redact(text) != text), None)
    if holder is not None:
        raise InputError(
            f"{holder} holds a key, or a long piece of one, that is set in the environment or in .env; it would be "
            "stored and shown to models: take it out, and let the program read it from elsewhere"
        )


def _agent(recipe: Recipe, spec: LoopSpec, value: Callable[[str], str | None]) -> LanguageModel:
    """The coding agent of a recipe, which works on copies of the task's files."""
    from bilevel.agents import AgentLimits, AgentModel, Rules, agent, variables

    task, given, chosen = leaf(spec).task, recipe.agent, agent(recipe.agent.command)
    assert isinstance(task, FolderTask)

    def export(params: Mapping[str, Any], files: Mapping[str, str], folder: Path) -> None:
        task.write_out(Candidate(params, files), folder)

    candidate = task.model.candidate
    model = AgentModel(
        chosen,
        export,
        Rules((*candidate.editable, *task.model.space.constants), candidate.protected),
        AgentLimits(given.seconds, given.memory_bytes),
        variables(chosen, given.env_pass, value),  # keys of `.env` too
    )
    model.check()
    return model


def check_prices(recipe: Recipe, limits: Limits) -> None:
    """Raises InputError where there is a limit on money and a model that can have no known price.

    A model that only its provider's price list may not know is found out by its first reply; see `Calls`.
    """
    if limits.money is None or recipe.models.price_in is not None:
        return
    for chain in names_of(recipe).values():
        if chain.startswith(AGENT):  # says itself what it cost, or not
            continue
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
    """What the questions of a run come to where each trial is drafted once, and compared where its task does so.

    Re-asks, redrafts, repairs, shadow asks, mechanisms that ask and the claim stage come on top. `tokens` and `money`:
    with each prompt and answer at its bound; `money`, in US dollars, is None where a price is not known.
    """

    calls: int
    tokens: int
    money: float | None


def estimate(recipe: Recipe, spec: LoopSpec, trials: int | None, fresh: int = 0) -> Estimate | None:
    """What a run's models are asked in `trials` measurements, the baseline's among them, and `fresh` further ones on
    seeds of their own.

    None without models or without an end.
    """
    judged = isinstance(leaf(spec).task, Judged) and bool(recipe.models.of("judge"))
    if not (uses_models(recipe) or judged) or trials is None or recipe.inner.researcher == "agent":
        return None  # what an agent takes, only the agent knows
    total, later = Estimate(0, 0, 0.0), trials - leaf(spec).calibration
    for loop in levels_of(spec):
        prompt = int(getattr(loop.researcher, "prompt_tokens", 0))
        answer = int(getattr(loop.researcher, "most_tokens", 0))
        calls = _questions(loop, later) if prompt + answer else 0
        total = _added(recipe, total, loop.name, calls, prompt, answer)
    return _added(recipe, total, "judge", *_judging(leaf(spec), later, fresh)) if judged else total


def _added(recipe: Recipe, total: Estimate, level: str, calls: int, prompt: int, answer: int) -> Estimate:
    price = _price(recipe, level, prompt, answer) if calls else 0.0
    money = None if price is None or total.money is None else total.money + calls * price
    return Estimate(total.calls + calls, total.tokens + calls * (prompt + answer), money)


def _judging(inner: LoopSpec, later: int, fresh: int) -> tuple[int, int, int]:
    """How often a judge is asked, with so many measurements after the baseline's; the tokens of a prompt, an answer."""
    from bilevel.researchers.prompt import CHARACTERS_PER_TOKEN

    assert isinstance(inner.task, Judged)
    asks = inner.task.judging
    calls = (inner.calibration + fresh) * asks.first + max(later, 0) * (asks.later + asks.beside)
    return calls, int(asks.characters / CHARACTERS_PER_TOKEN) + 1, asks.tokens


def _questions(loop: LoopSpec, trials: int) -> int:
    """How often a loop's model is asked in so many measurements after the baseline's."""
    task = loop.task
    if isinstance(task, LoopTask):  # its first run, the baseline's, is not asked for
        runs = -(-max(trials - task.trials * task.inner.task.evaluations, 0) // max(task.evaluations, 1))
        return runs * (ROUNDS if loop.name == "mechanisms" else 1)
    lessons = max(trials - 1, 0) // loop.lessons_every if loop.lessons_every else 0
    picks = trials if loop.settings.picker == "model" and loop.settings.drafts > 1 else 0
    researcher = with_texts(loop.researcher, loop.mechanisms)
    return max(trials, 0) * int(getattr(researcher, "questions", 1)) + lessons + picks


def _price(recipe: Recipe, level: str, tokens_in: int, tokens_out: int) -> float | None:
    """What one call of a level's model costs: of a chain, the dearest."""
    from bilevel.llm import Prices, price

    given = recipe.models
    own = None if given.price_in is None or given.price_out is None else Prices(given.price_in, given.price_out)
    prices = [price(name, tokens_in, tokens_out, own) for name in recipe.models.of(level).split(",")]
    known = [each for each in prices if each is not None]
    return max(known) if len(known) == len(prices) else None


def names_of(recipe: Recipe) -> Mapping[str, str]:
    """The names of a recipe's models by level, the coding agent's for the innermost where it researches there."""
    upper = [f"mechanisms-{n}" for n in range(3, 2 + sum(one.level == "mechanisms" for one in recipe.outer))]
    names = {level: name for level in (*LEVEL_NAMES, *upper) if (name := recipe.models.of(level))}
    if recipe.inner.researcher != "agent":
        return names
    from bilevel.agents import name_of

    return {**names, "inner": name_of(recipe.agent.command)}
