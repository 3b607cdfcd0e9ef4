"""From a parameter's name and value to what it may become: a domain, or the reason why it stays as it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bilevel.init.words import several, split
from bilevel.space import Value

SMALL = several(
    "lr rate weight decay eps epsilon reg l1 l2 lambda penalty temperature tol tolerance noise sigma std lambd wd"
)
SHARE = several("dropout drop prob probability ratio fraction frac share momentum beta beta1 beta2 gamma rho ema")
DEEP = several("depth layer layers blocks stages")
NEAR_ONE = several("momentum beta beta1 beta2 gamma ema rho")
SEED = several("seed seeds random_state")
WORK = several("steps step epochs epoch iters iter iterations rounds episodes trials repeats repeat reps updates")
CLOCK = several("seconds secs minutes hours timeout budget deadline")
HOUSE = several(
    "log logging print verbose verbosity debug save checkpoint report plot port workers threads jobs cores device "
    "gpu gpus version year path dir folder file interval every wandb quiet progress dry resume flops peak"
)
MEASURE = several(
    "eval evaluation val valid validation test metric benchmark bench holdout heldout target dataset data"
)


@dataclass(frozen=True)
class Guess:
    """What a parameter may become. `table` is its table in task.toml; without one, `why` says why it stays."""

    name: str
    value: Value
    table: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def free(self) -> bool:
        return bool(self.table)


def guess(name: str, value: Value, options: Sequence[Value] = ()) -> Guess:
    """A domain that holds the value, about a factor of ten around it; `options` are all values that it may take."""
    words = set(split(name))
    fixed = _fixed(name, words, value)
    if fixed:
        return Guess(name, value, why=fixed)
    if len(options) > 1 and value in options:
        return Guess(name, value, {"type": "choice", "options": list(options)}, f"one of its {len(options)} choices")
    if isinstance(value, bool):
        return Guess(name, value, {"type": "bool"}, "true or false")
    if isinstance(value, int):
        return _whole(name, words, value)
    if isinstance(value, float):
        return _real(name, words, value)
    return Guess(name, value, why="a text whose other values are not known" if isinstance(value, str) else "a list")


def _fixed(name: str, words: set[str], value: Value) -> str:
    """Why a parameter should not be searched, by its name; empty where it may be."""
    if words & SEED or name.lower() == "random_state":
        return "a seed: the noise is measured, not searched"
    if words & HOUSE and "batch" not in words:
        return "housekeeping: it does not decide the result"
    if words & MEASURE:
        return "part of what is measured"
    if words & CLOCK:
        return "a budget of time: more of it is more cost, not a better idea"
    if words & WORK and not words & {"size", "warmup", "lr", "rate"}:
        return "the amount of work: more of it is more cost, not a better idea"
    if words <= {"n", "num", "samples", "sample", "rows", "points", "examples", "count"}:
        return "the amount of data: part of what is measured"
    return ""


def _whole(name: str, words: set[str], value: int) -> Guess:
    if value < 0:
        return Guess(name, value, why="a negative whole number often means something of its own")
    if value >= 8 and value & (value - 1) == 0 and not words & DEEP:
        table = {"type": "int", "low": max(1, value // 8), "high": value * 8, "power_of_two": True}
        return Guess(name, value, table, "powers of two, an eighth to eight times")
    if value > 10:
        table = {"type": "int", "low": max(1, value // 8), "high": value * 8, "log": True}
        return Guess(name, value, table, "an eighth to eight times, logarithmic")
    if value == 0:
        return Guess(name, value, why="0 often means off; its scale is not known")
    return Guess(name, value, {"type": "int", "low": 1, "high": max(4, 3 * value)}, "1 to three times")


def _real(name: str, words: set[str], value: float) -> Guess:
    if words & SHARE and 0 <= value <= 1 and not words & {"lr"}:
        high = 0.999 if words & NEAR_ONE else 0.9 if words & {"dropout", "drop"} else 1.0
        return Guess(name, value, {"type": "float", "low": 0.0, "high": max(high, value)}, "a share")
    if value > 0:
        wide = 30 if words & SMALL or value < 0.02 else 10
        table = {"type": "float", "low": _round(value / wide), "high": _round(value * wide), "log": True}
        return Guess(name, value, table, f"a factor of {wide} either way, logarithmic")
    if value == 0:
        return Guess(name, value, {"type": "float", "low": 0.0, "high": 1.0}, "0 to 1, a guess: nothing says its scale")
    table = {"type": "float", "low": _round(3 * value), "high": _round(-value)}
    return Guess(name, value, table, "around the value, linear")


def _round(number: float) -> float:
    return float(f"{number:.3g}")


def slug(text: str) -> str:
    """A text as the name of a task, a metric or a parameter: small letters, digits, `-` and `_`."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_") or "task"
