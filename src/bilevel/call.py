"""Port: a language model, that is a function from requests to replies; and the record of one call.

The same request with the same seed is asked once in a run: its reply is stored and serves every later question, that
of a resumed or replayed run too.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from bilevel.codec import content_hash, freeze

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True)
class Request:
    """What a model is asked. The answer is text; with `schema` (a JSON schema) it should be JSON that fits.

    `most_tokens` bounds the answer, reasoning included. `temperature` None leaves the provider's default.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    most_tokens: int = 8192
    temperature: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", freeze(self.schema, in_order=True))  # models write in this order

    def then(self, answer: str, objection: str) -> "Request":
        """The same conversation, gone on: what the model answered, and what is wrong with it."""
        more = (Message("assistant", answer), Message("user", objection))
        return Request((*self.messages, *more), self.schema, self.most_tokens, self.temperature)


class Finish(StrEnum):
    """Why an answer ends."""

    STOP = "stop"
    LENGTH = "length"  # cut off at `most_tokens`
    REFUSED = "refused"  # the model, or its provider's filter, declined
    OVERFLOW = "overflow"  # the request was too long; recorded so that it is not sent again


@dataclass(frozen=True)
class Reply:
    """What a model answered. `text` never holds its reasoning. `model` is "provider:model" as it really answered.

    Tokens are the provider's counts; `tokens_out` includes reasoning. `money` is in US dollars, None where no price is
    known.
    """

    text: str
    model: str
    reasoning: str = ""
    finish: Finish = Finish.STOP
    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = None


@dataclass(frozen=True)
class CallKey:
    """What identifies a call: the hash of the model's name and the request, the sampling seed, and a repeat index."""

    request: str
    seed: int
    repeat: int = 0


@dataclass(frozen=True)
class Call:
    """A call as it is stored: who asked for what purpose, the request, and the reply.

    `asked` is the model's name in the recipe; `reply.model` the one that answered. `number` counts from 1 in a run;
    `at` is seconds since the epoch. `level`, `branch` and `trial` name the question that it was asked for first.
    """

    number: int
    key: CallKey
    level: str
    branch: str
    trial: int
    purpose: str
    asked: str
    request: Request
    reply: Reply
    at: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Event:
    """Something a watcher wants to see while it goes on; no result depends on it. `at` is seconds since the epoch.

    Kinds: "asking" and "answered" (a call began, ended), "retry", "fallback", "limit", "note".
    """

    at: float
    kind: str
    level: str
    text: str


@dataclass(frozen=True)
class Watch:
    """What a model adapter is given beside the request: when to give up, and whom to tell what goes on.

    `cancel` ends a question that is under way, `stop` only the waiting for another attempt.
    """

    cancel: threading.Event = field(default_factory=threading.Event)
    note: Callable[[str, str], None] = lambda kind, text: None  # kind, text: see Event
    stop: threading.Event = field(default_factory=threading.Event)


@runtime_checkable
class LanguageModel(Protocol):
    """A model behind a name such as "deepseek:deepseek-chat".

    `complete` answers, or raises: InputError where the key is missing or refused or the model does not exist,
    ContextOverflow where the request is too long, ModelUnavailable after all retries, Stopped where `watch.cancel` was
    set meanwhile, or `watch.stop` before another attempt. A refusal, a cut-off or an empty answer is a reply, not an
    error.
    """

    @property
    def name(self) -> str: ...
    def complete(self, request: Request, seed: int, watch: Watch) -> Reply: ...


Ask = Callable[[Request, str, int, int], Reply]  # request, purpose, seed, repeat


def call_key(model: str, request: Request, seed: int, repeat: int = 0) -> CallKey:
    """The key of a call."""
    return CallKey(content_hash([model, request]), seed, repeat)
