"""The JSON schema of an answer that changes the parameters of a space, so that a server can hold a model to it."""

from collections.abc import Mapping
from typing import Any

from bilevel.researchers.schemas import closed, listed, or_null, text
from bilevel.space import Bool, Choice, Domain, Float, Int, Space

MOST_PARAMETERS = 24  # with more, servers refuse the schema or take long over it; then names and values are free
MOST_LISTED = 32  # powers of two that are listed one by one


def drafts_schema(space: Space, most: int, most_tokens: int) -> dict[str, Any] | None:
    """The schema of `{"drafts": [...]}` with at most `most` drafts, each changing active parameters within bounds.

    None where the space is too large for one. A server may enforce less; the answer is checked in any case.
    """
    active = {name: space.domains[name] for name in space.active}
    if not 0 < len(active) <= MOST_PARAMETERS:
        return None
    changes = {
        "type": "object",
        "properties": {name: _value(domain) for name, domain in active.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }
    why = text(most_tokens // max(most, 1), 400)
    draft = closed(why=why, predicted_gain=or_null({"type": "number"}), changes=changes)
    return closed(drafts=listed(draft, most, least=1))


def _value(domain: Domain) -> Mapping[str, Any]:
    if isinstance(domain, Bool):
        return {"type": "boolean"}
    if isinstance(domain, Choice):
        return {"enum": [list(value) if isinstance(value, tuple) else value for value in domain.options]}
    if isinstance(domain, Int):
        powers = [2**n for n in range(64) if domain.low <= 2**n <= domain.high] if domain.power_of_two else []
        if 0 < len(powers) <= MOST_LISTED:
            return {"enum": powers}
        return {"type": "integer", "minimum": domain.low, "maximum": domain.high}
    if isinstance(domain, Float):
        return {"type": "number", "minimum": domain.low, "maximum": domain.high}
    return {}
