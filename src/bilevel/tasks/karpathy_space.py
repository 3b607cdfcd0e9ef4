"""What the constants of an autoresearch `train.py` may become: domains for the known names, guesses for others."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter

from bilevel.execution import constants
from bilevel.space import Value
from bilevel.tasks.tables import Parameter

_PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter)
_FIXED = ("FLOPS", "SEED", "EVAL", "LOG", "PEAK", "VERSION", "DEBUG", "BUDGET", "PATH", "DIR")  # decides no result


def _log(low: float, high: float) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, "log": True}


def _share(high: float) -> dict[str, Any]:
    return {"type": "float", "low": 0.0, "high": high}


def _powers(low: int, high: int) -> dict[str, Any]:
    return {"type": "int", "low": low, "high": high, "power_of_two": True}


KNOWN: Mapping[str, dict[str, Any]] = {
    "ASPECT_RATIO": {"type": "int", "low": 16, "high": 256, "log": True},
    "HEAD_DIM": _powers(32, 256),
    "WINDOW_PATTERN": {"type": "choice", "options": ("L", "SL", "SSL", "SSSL", "SSSSSL", "SLLL", "SSLL", "S")},
    "TOTAL_BATCH_SIZE": _powers(2**14, 2**21),
    "EMBEDDING_LR": _log(0.02, 6.0),
    "UNEMBEDDING_LR": _log(0.0002, 0.1),
    "MATRIX_LR": _log(0.002, 0.4),
    "SCALAR_LR": _log(0.01, 5.0),
    "WEIGHT_DECAY": _share(1.0),
    "ADAM_BETAS": {
        "type": "choice",
        "options": ((0.8, 0.95), (0.9, 0.95), (0.7, 0.95), (0.8, 0.99), (0.9, 0.99), (0.8, 0.9), (0.65, 0.95)),
    },
    "WARMUP_RATIO": _share(0.5),
    "WARMDOWN_RATIO": _share(1.0),
    "FINAL_LR_FRAC": _share(0.5),
    "DEPTH": {"type": "int", "low": 2, "high": 24},
    "DEVICE_BATCH_SIZE": _powers(1, 512),
}
"""DEVICE_BATCH_SIZE times the length of a sequence must divide TOTAL_BATCH_SIZE: where not, the script says so."""


def parameters(found: Mapping[str, constants.Value]) -> dict[str, dict[str, Any]]:
    """The tables `[space.parameters.NAME]` of a script's constants; those that are left out stay as they are."""
    tables = {name: _table(name, cast(Value, value)) for name, value in found.items()}
    return {name: table for name, table in tables.items() if table}


def _table(name: str, value: Value) -> dict[str, Any]:
    known = KNOWN.get(name)
    if known is not None:
        if known["type"] == "choice" and isinstance(value, str | tuple) and value not in known["options"]:
            known = {**known, "options": (*known["options"], value)}
        if _fits(known, value):
            return known
    return _guess(name, value)


def _fits(table: Mapping[str, Any], value: Value) -> bool:
    return not _PARAMETER.validate_python(table).domain().check(value)


def _guess(name: str, value: Value) -> dict[str, Any]:
    """A domain by type and size, about a factor of ten around the value; none for what decides nothing."""
    if any(word.startswith(_FIXED) for word in name.split("_")):
        return {}
    if isinstance(value, bool):
        return {"type": "bool"}
    if isinstance(value, int) and value > 0:
        if value >= 8 and value & (value - 1) == 0:
            return _powers(max(1, value // 8), value * 8)
        high = {"high": value * 8, "log": True} if value > 10 else {"high": max(4, 3 * value)}
        return {"type": "int", "low": max(1, value // 8), **high}
    if isinstance(value, float) and value >= 0:
        return _log(value / 10, value * 10) if value else _share(1.0)
    return {}
