"""What a failed attempt means: ask again, or which of our errors it is.

The wordings and codes are those that the providers document; pydantic-ai's own classes are used where it has one.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic_ai import exceptions as theirs


class Kind(StrEnum):
    """What a fault calls for."""

    AGAIN = "again"  # it may work later: rate limit, overload, outage, time-out, an answer that is no JSON
    KEY = "key"
    MODEL = "model"
    MONEY = "money"
    CONTEXT = "context"
    REFUSED = "refused"  # a filter declined: an answer, not an error
    CUT = "cut"  # nothing fitted into `most_tokens`: an answer too
    REQUEST = "request"


@dataclass(frozen=True)
class Fault:
    """A failed attempt. `wait`: the seconds that the server asks for before another one."""

    kind: Kind
    detail: str
    wait: float = 0.0


_CONTEXT = (
    "context_length_exceeded",  # OpenAI
    "prompt is too long",  # Anthropic
    "request_too_large",  # Anthropic, HTTP 413
    "input token count",  # Google: "The input token count (N) exceeds the maximum number of tokens allowed (M)"
    "maximum number of tokens allowed",
    "maximum context length",  # vLLM, DeepSeek, OpenRouter
    "exceed_context_size_error",  # llama.cpp
    "exceeds the available context size",  # llama.cpp, older
    "context window exceeds limit",  # MiniMax 2013
    "prompt exceeds max length",  # GLM 1261
    "prompt 超长",
    "request too large for",  # OpenAI 429: more tokens than a minute allows, ever
)
_CUT = ("max_tokens or model output limit was reached",)  # OpenAI 400: reasoning alone used up `most_tokens`
_REFUSED = ("content_policy_violation", "content_filter", "input new_sensitive", "output new_sensitive")
_REFUSED_CODES = {"1301", "1026", "1027"}  # GLM 1301; MiniMax 1026 (input), 1027 (output)
_MONEY = (
    "insufficient balance",
    "insufficient_quota",
    "insufficient_balance",
    "credit balance is too low",
    "billing_hard_limit_reached",
    "usage limit exceeded",  # MiniMax 2056
)
_MODEL = (
    "model_not_found",
    "model not exist",  # DeepSeek
    "model does not exist",
    "unknown model",  # GLM 1211, MiniMax
    "模型不存在",
)
_KEY = ("invalid api key", "invalid_api_key", "api key not valid")
_AGAIN_STATUS = {408, 409, 425, 429}
_LONGEST = 400


def fault_of(error: BaseException) -> Fault:
    """What an exception from an attempt means."""
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) else None
    body = getattr(error, "body", None)
    told = f"{body!r} {error}".lower()
    kind = _kind(error, status, told, _codes(body))
    return Fault(kind, _detail(error, status, body), _wait(error))


def _kind(error: BaseException, status: int | None, told: str, codes: set[str]) -> Kind:
    if isinstance(error, theirs.UserError):
        return Kind.REQUEST
    if isinstance(error, theirs.ContentFilterError):
        return Kind.REFUSED
    if not isinstance(error, theirs.ModelAPIError):
        return Kind.AGAIN  # an answer of a shape that nobody documents, or a broken connection
    if isinstance(error, theirs.ModelContextWindowExceededError) or _says(told, _CONTEXT):
        return Kind.CONTEXT
    if isinstance(error, theirs.ModelQuotaExceededError) or status == 402 or _says(told, _MONEY):
        return Kind.MONEY
    if status is None or status in _AGAIN_STATUS or status >= 500:
        return Kind.AGAIN
    if isinstance(error, theirs.ModelAuthenticationError) or status in (401, 403) or _says(told, _KEY):
        return Kind.KEY
    if _says(told, _CUT):
        return Kind.CUT
    if codes & _REFUSED_CODES or _says(told, _REFUSED):
        return Kind.REFUSED
    if isinstance(error, theirs.ModelNotFoundError) or status == 404 or _says(told, _MODEL):
        return Kind.MODEL
    if isinstance(error, theirs.ModelUnavailableError | theirs.ModelServerError | theirs.ModelRateLimitError):
        return Kind.AGAIN
    return Kind.REQUEST


def _wait(error: BaseException) -> float:
    """The seconds that the server asks for. pydantic-ai reads whole seconds and dates; some servers send fractions."""
    asked: Any = getattr(error, "retry_after", None)
    if asked is None:
        asked = (getattr(error, "headers", None) or {}).get("retry-after")
    try:
        seconds = float(asked)
    except (TypeError, ValueError):
        return 0.0
    return seconds if 0 <= seconds < math.inf else 0.0


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)


def _detail(error: BaseException, status: int | None, body: object) -> str:
    """One line for the user: the status and the server's message, or what broke underneath."""
    message = next(_messages(body), "") or ("" if status and body else _deepest(error))
    if not message:
        message = str(body)
    line = " ".join(message.split())
    line = line if len(line) <= _LONGEST else line[:_LONGEST] + " (cut)"
    return f"HTTP {status}: {line}" if status else line


def _messages(body: object) -> Iterator[str]:
    if isinstance(body, str) and body.strip():
        yield re.sub(r"<[^>]*>", " ", body)  # an HTML page of a proxy
    if isinstance(body, Mapping):
        for name in ("message", "status_msg", "detail"):
            if isinstance(body.get(name), str) and body[name]:
                yield body[name]
        for name in ("error", "base_resp"):
            yield from _messages(body.get(name))


def _codes(body: object) -> set[str]:
    if not isinstance(body, Mapping):
        return set()
    own = {str(body[name]) for name in ("code", "status_code", "type") if name in body}
    return own | _codes(body.get("error")) | _codes(body.get("base_resp"))


def _deepest(error: BaseException) -> str:
    """The error's own words, and those of what it was raised from where they say more."""
    said = str(error) or type(error).__name__
    root = said
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        root = str(cause) or root
        cause = cause.__cause__ or cause.__context__
    return said if root in said else f"{said} ({root})"
