"""How a model is asked: address, output mode, patience, price."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bilevel.errors import InputError

OUTPUT_MODES = ("auto", "native", "prompted", "tool")
THINKING = ("", "off", "minimal", "low", "medium", "high", "xhigh")


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in US dollars."""

    input_per_million: float
    output_per_million: float


@dataclass(frozen=True)
class ModelOptions:
    """How a model is asked.

    `base_url`: the server's address, empty for the provider's own. `output_mode`: how a schema is enforced ("auto":
    the server's JSON schema mode where the model has one, else the schema in the prompt). `timeout`: seconds for one
    attempt. A failed attempt that may succeed later is made again after `backoff` seconds, doubled each time (or what
    the server asks for, if longer), at most `attempts` in all and `patience` seconds from the first one on; one second
    attempt is made however long the first one took. `thinking`: how hard a reasoning model thinks, where the provider
    can be told; empty leaves its default.
    """

    base_url: str = ""
    output_mode: str = "auto"
    timeout: float = 600.0
    patience: float = 600.0
    backoff: float = 2.0
    attempts: int = 8
    prices: Prices | None = None
    thinking: str = ""


def options_from(values: Mapping[str, Any]) -> ModelOptions:
    """Options as a recipe writes them; `prices` is a table. Raises InputError for what is not an option or no value."""
    names = {item.name for item in dataclasses.fields(ModelOptions)}
    odd = sorted(set(values) - names)
    if odd:
        raise InputError(f"no such option of a model: {odd[0]!r}; there are: {', '.join(sorted(names))}")
    given = dict(values)
    if isinstance(given.get("prices"), Mapping):
        given["prices"] = _prices(given["prices"])
    return checked(ModelOptions(**given))


def checked(options: ModelOptions) -> ModelOptions:
    """The same options. Raises InputError for the first one that has a value it cannot have."""
    for name in ("timeout", "patience", "backoff"):
        _number(name, getattr(options, name), 0.0)
    if options.timeout == 0:
        raise InputError("option 'timeout' of a model must be more than 0 seconds")
    if not isinstance(options.attempts, int) or isinstance(options.attempts, bool) or options.attempts < 1:
        raise InputError(f"option 'attempts' of a model must be a whole number from 1 on, not {options.attempts!r}")
    _one_of("output_mode", options.output_mode, OUTPUT_MODES)
    _one_of("thinking", options.thinking, THINKING)
    if not isinstance(options.base_url, str):
        raise InputError(f"option 'base_url' of a model must be text, not {options.base_url!r}")
    if options.prices is not None and not isinstance(options.prices, Prices):
        raise InputError(f"option 'prices' of a model must be a table, not {options.prices!r}")
    return options


def _prices(table: Mapping[str, Any]) -> Prices:
    names = {"input_per_million", "output_per_million"}
    if set(table) != names:
        raise InputError(f"'prices' of a model needs {' and '.join(sorted(names))} (US dollars), not {sorted(table)}")
    return Prices(*(_number(f"prices.{name}", table[name], 0.0) for name in sorted(names)))


def _number(name: str, value: Any, low: float) -> float:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= low
    if not fine:
        raise InputError(f"option {name!r} of a model must be a number from {low:g} on, not {value!r}")
    return float(value)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        shown = ", ".join(repr(item) for item in allowed)
        raise InputError(f"option {name!r} of a model must be one of {shown}, not {value!r}")
