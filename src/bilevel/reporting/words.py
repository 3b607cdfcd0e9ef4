"""How a report says numbers, intervals and counts."""

from collections.abc import Sequence
from typing import Any

from bilevel.claim import Said
from bilevel.statements import Statement

NOTHING = "–"


def number(value: float | None, unit: str = "") -> str:
    """Six digits and the unit, or a dash."""
    return NOTHING if value is None else f"{value:.6g}{unit}"


def gain(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A signed difference with its interval, where anything bounds it."""
    if value is None:
        return NOTHING
    shown = f"{value:+.4g}"
    if low is None and high is None:
        return shown
    return f"{shown} [{'-inf' if low is None else f'{low:+.4g}'}, {'+inf' if high is None else f'{high:+.4g}'}]"


def gain_of(said: Said | Statement) -> str:
    return gain(said.effect, said.low, said.high)


def count(many: int, what: str) -> str:
    """So many of a thing, in words."""
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def money(value: float | None) -> str:
    return "price unknown" if value is None else f"{value:.4f} US dollars"


def value(said: Any) -> str:
    """A parameter's value as people write it."""
    return repr(said)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a line, no more than so many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
