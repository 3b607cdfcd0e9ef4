"""What an agent prints of its own cost, where it prints JSON; nothing is guessed where it does not."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 10**12  # more than that is a mistake, or a lie
MOST_MONEY = 1e6


@dataclass(frozen=True)
class Usage:
    """Tokens in and out, US dollars (None where nothing is said), and the agent's last words where they are marked."""

    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = None
    said: str = ""

    def __add__(self, other: "Usage") -> "Usage":
        money = None if self.money is None and other.money is None else (self.money or 0.0) + (other.money or 0.0)
        tokens_in, tokens_out = self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out
        return Usage(tokens_in, tokens_out, money, other.said or self.said)


def usage_in(output: str) -> Usage:
    """The sum of what an agent's output says, in the forms of claude, codex, gemini and opencode.

    Cached tokens count as tokens in. The numbers are the agent's own; those that cannot be are left out.
    """
    found = Usage()
    for data in _objects(output):
        found = found + (_claude(data) or _codex(data) or _gemini(data) or _opencode(data) or Usage())
    return found


def _claude(data: Mapping[str, Any]) -> Usage | None:
    """One object with `type: result`, the whole run's usage and price."""
    if data.get("type") != "result" or not isinstance(data.get("usage"), dict):
        return None
    usage = data["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return Usage(
        sum(_count(usage.get(name)) for name in names),
        _count(usage.get("output_tokens")),
        _dollars(data.get("total_cost_usd")),
        _words(data.get("result")),
    )


def _codex(data: Mapping[str, Any]) -> Usage | None:
    """Events: `turn.completed` with the usage of a turn, cached tokens included; `item.completed` with a message."""
    if data.get("type") == "turn.completed" and isinstance(data.get("usage"), dict):
        usage = data["usage"]
        return Usage(_count(usage.get("input_tokens")), _count(usage.get("output_tokens")))
    item = data.get("item")
    if data.get("type") == "item.completed" and isinstance(item, dict):
        kind = item.get("type", item.get("item_type"))
        return Usage(said=_words(item.get("text")) if kind in ("agent_message", "assistant_message") else "")
    return None


def _gemini(data: Mapping[str, Any]) -> Usage | None:
    """One object with `response` and `stats`, tokens for each model."""
    stats = data.get("stats")
    models = stats.get("models") if isinstance(stats, dict) else None
    if not isinstance(models, dict):
        return None
    total = Usage(said=_words(data.get("response")))
    for model in models.values():
        tokens = model.get("tokens") if isinstance(model, dict) else None
        if isinstance(tokens, dict):
            put_in = _count(tokens.get("prompt"))
            total = total + Usage(put_in, max(_count(tokens.get("total")) - put_in, _count(tokens.get("candidates"))))
    return total


def _opencode(data: Mapping[str, Any]) -> Usage | None:
    """Events with a `part`: the end of a step with its tokens and price, or text."""
    part = data.get("part")
    if not isinstance(part, dict):
        return None
    if part.get("type") == "text":
        return Usage(said=_words(part.get("text")))
    tokens = part.get("tokens")
    if part.get("type") != "step-finish" or not isinstance(tokens, dict):
        return None
    cache = tokens.get("cache")
    cached = _count(cache.get("read")) + _count(cache.get("write")) if isinstance(cache, dict) else 0
    put_out = _count(tokens.get("output")) + _count(tokens.get("reasoning"))
    return Usage(_count(tokens.get("input")) + cached, put_out, _dollars(part.get("cost")))


def _objects(output: str) -> Iterator[Mapping[str, Any]]:
    """The output as one JSON object, else the JSON object of each line that is one, else the last one in it."""
    text = output.strip()
    for pieces in ([text], text.splitlines(), [text[text.find("\n{") + 1 :]]):
        found = [data for piece in pieces if (data := _object(piece)) is not None]
        if found:
            yield from found
            return


def _object(text: str) -> Mapping[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else 0


def _dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= MOST_MONEY else None


def _words(value: object) -> str:
    return value if isinstance(value, str) else ""
