"""Asking the models of a run: each request once, recorded, metered, within the limits, and free of secrets."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bilevel.budget import Cost, Meter
from bilevel.call import Call, CallKey, Event, Finish, LanguageModel, Message, Reply, Request, Watch, call_key
from bilevel.errors import ContextOverflow, GuestError, InputError, Stopped


@dataclass(frozen=True)
class CallSummary:
    """A stored call without its texts; see `Call` and `Reply`."""

    number: int
    level: str
    branch: str
    trial: int
    purpose: str
    asked: str
    model: str
    finish: str
    tokens_in: int
    tokens_out: int
    money: float | None
    at: float
    seconds: float

    @property
    def cost(self) -> Cost:
        return Cost(seconds=self.seconds, tokens=self.tokens_in + self.tokens_out, money=self.money or 0.0)


class CallRecords(Protocol):
    """What a store can be asked about calls and events."""

    def find_call(self, key: CallKey) -> Call | None: ...
    def call(self, number: int) -> Call: ...
    def calls(self, after: int = 0) -> Sequence[CallSummary]:
        """The calls with a number above `after`, in order."""
        ...

    def events(self, after: int = 0) -> Sequence[tuple[int, Event]]:
        """The events with a position above `after`, in order."""
        ...


class CallStore(CallRecords, Protocol):
    """Where calls and events are written."""

    def add_call(self, call: Call) -> None: ...
    def add_event(self, event: Event) -> None: ...


@dataclass
class Calls:
    """The models of a run by level, and the record of what they answered.

    `recorded` is another run's record that answers before any model does (a replay). `allow` raises where a limit is
    reached; `redact` takes secrets out of whatever is sent or stored. After `stop` only a judge is still asked: what is
    being measured is finished. `priced`: there is a limit on money, so a reply
    without a known price ends the run.
    """

    models: Mapping[str, LanguageModel]
    store: CallStore
    meter: Meter
    cancel: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    recorded: CallRecords | None = None
    allow: Callable[[], None] = lambda: None
    redact: Callable[[str], str] = lambda text: text
    priced: bool = False

    def __post_init__(self) -> None:
        before = self.store.calls()
        self._unpriced = next((call.model for call in before if call.money is None and call.cost.tokens), "")
        self._count = before[-1].number if before else 0
        self._lock = threading.Lock()
        self._asking: dict[CallKey, threading.Lock] = {}
        self._meters = {level: self.meter.child(level) for level in self.models}
        for call in before:
            self._charge(call.level, call.cost)

    def ask(self, level: str, branch: str, trial: int, request: Request, purpose: str, seed: int, repeat: int) -> Reply:
        """The reply of a level's model: the recorded one where this was asked before.

        Raises GuestError where the level has no model, ContextOverflow, LimitReached, what the model raises, and
        InputError where a price is needed and not known.
        """
        model = self.models.get(level)
        if model is None:
            raise GuestError(f"level {level!r} has no language model")
        request = self._without_secrets(request)
        key = call_key(model.name, request, seed, repeat)
        with self._lock:
            asking = self._asking.setdefault(key, threading.Lock())
        with asking:
            known = self.store.find_call(key)
            blank = Call(0, key, level, branch, trial, purpose, model.name, request, Reply("", model.name))
            reply = known.reply if known is not None else self._from_record(blank) or self._from_model(model, blank)
        if reply.finish is Finish.OVERFLOW:
            raise ContextOverflow(reply.text)
        return reply

    def _from_record(self, blank: Call) -> Reply | None:
        found = None if self.recorded is None else self.recorded.find_call(blank.key)
        if found is None:
            return None
        self._store(replace(blank, reply=found.reply, at=found.at, seconds=found.seconds))
        return found.reply

    def _from_model(self, model: LanguageModel, blank: Call) -> Reply:
        if self.stop.is_set() and blank.level != "judge":
            raise Stopped(f"stopped before {model.name!r} was asked for {blank.purpose}; `bilevel resume` asks it")
        self.allow()
        self._check_priced()
        began, at = time.monotonic(), time.time()

        def note(kind: str, text: str) -> None:
            self.store.add_event(Event(time.time(), kind, blank.level, self.redact(text)))

        note("asking", f"{model.name} for {blank.purpose}, trial {blank.trial}")
        try:
            reply = model.complete(blank.request, blank.key.seed, Watch(self.cancel, note, self.stop))
        except ContextOverflow as error:
            reply = Reply(str(error), model.name, finish=Finish.OVERFLOW, money=0.0)
        except BaseException as error:
            note("answered", f"{model.name}: {type(error).__name__}")
            raise
        seconds = time.monotonic() - began
        text, reasoning, answered = map(self.redact, (reply.text, reply.reasoning, reply.model))
        reply = replace(reply, text=text, reasoning=reasoning, model=answered)
        self._store(replace(blank, reply=reply, at=at, seconds=seconds))
        note("answered", f"{reply.model} after {seconds:.1f} s, {reply.tokens_out} tokens")
        self._check_priced()
        return reply

    def _check_priced(self) -> None:
        """Raises InputError where a limit on money cannot be kept: the price of a reply so far is not known."""
        if self.priced and self._unpriced:
            raise InputError(
                f"the price of {self._unpriced!r} is not known, so the limit on money cannot be kept; what it answered "
                "is stored: run again with models.price_in and models.price_out in the recipe (US dollars per million "
                "tokens), or with a limit on tokens"
            )

    def _store(self, call: Call) -> None:
        with self._lock:
            self._count += 1
            self.store.add_call(replace(call, number=self._count))
        reply = call.reply
        tokens = reply.tokens_in + reply.tokens_out
        if reply.money is None and tokens:
            self._unpriced = reply.model
        self._charge(call.level, Cost(tokens=tokens, money=reply.money or 0.0))

    def _charge(self, level: str, cost: Cost) -> None:
        """Tokens and money only: the seconds of a run are wall time, counted by the lab's clock."""
        self._meters.get(level, self.meter).charge(Cost(tokens=cost.tokens, money=cost.money))

    def _without_secrets(self, request: Request) -> Request:
        messages = tuple(Message(m.role, self.redact(m.text)) for m in request.messages)
        return replace(request, messages=messages)
