"""Pieces of JSON schemas, so bounded that an answer of a given number of tokens comes to its end.

A server may enforce less, so every answer is checked when it is read; a reader may also take more.
"""

from collections.abc import Sequence
from typing import Any


def closed(**properties: Any) -> dict[str, Any]:
    """An object with exactly these properties: small models leave out whatever they may."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def string(most: int) -> dict[str, Any]:
    """A text of at most so many characters."""
    return {"type": "string", "maxLength": most}


def text(most_tokens: int, most: int = 1000) -> dict[str, Any]:
    """A text that leaves room for some others in an answer of `most_tokens`."""
    return string(fitting(most_tokens, 6, most))


def integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def listed(item: dict[str, Any], most: int, least: int = 0) -> dict[str, Any]:
    """A list of `least` to `most` of these."""
    return {"type": "array", "items": item, "minItems": least, "maxItems": most}


def one_of(options: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(options)}


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def fitting(most_tokens: int, each: int, most: int) -> int:
    """How many things of `each` tokens an answer has room for: one at least, `most` at most."""
    return max(1, min(most_tokens // each, most))
