"""A model of one provider, asked with patience: what may work later is asked again, what cannot is an error at once."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bilevel.call import Finish, Reply, Request, Watch
from bilevel.errors import BilevelError, ContextOverflow, InputError, ModelUnavailable, Stopped
from bilevel.llm.background import INTERVAL
from bilevel.llm.directory import Provider
from bilevel.llm.keys import Keys, Setting
from bilevel.llm.options import ModelOptions
from bilevel.llm.redaction import redact


@dataclass(eq=False)
class ProviderModel:
    """A `LanguageModel` through pydantic-ai's low-level interface; `bilevel.llm.connect` makes it.

    Safe to use from several threads. No message, note or reply of it holds a key. No retry but ours is made.
    """

    name: str
    provider: Provider
    asked: str  # the provider's name as the user wrote it
    model: str
    base_url: str
    options: ModelOptions
    keys: Keys = field(repr=False)
    key: Setting | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _built: Any = field(default=None, init=False, repr=False)

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        """The reply; see `LanguageModel` for what is raised."""
        from bilevel.llm.faults import Fault

        started = time.monotonic()
        failed = 0
        while not watch.cancel.is_set():
            outcome = self._attempt(request, seed, watch)
            if isinstance(outcome, Reply):
                return outcome
            if not isinstance(outcome, Fault):
                raise outcome
            failed += 1
            self._wait(outcome, failed, time.monotonic() - started, watch)
        raise Stopped(f"stopped before {self.name!r} was asked; `bilevel resume` asks it")

    def _wait(self, fault: Any, failed: int, elapsed: float, watch: Watch) -> None:
        """Wait until the next attempt. Raises ModelUnavailable where there is none left, Stopped where asked to."""
        options = self.options
        wait = max(options.backoff * 2 ** (failed - 1), fault.wait)
        used = elapsed if failed > 1 else 0.0
        if failed >= options.attempts or used + wait > options.patience:
            raise self._unavailable(fault, failed, wait)
        detail = self._clean(fault.detail)
        text = f"{self.name}: {detail}; attempt {failed + 1} of {options.attempts} in {wait:g} s"
        watch.note("retry", text)
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0 and not watch.stop.is_set():
            if watch.cancel.wait(min(left, INTERVAL)):
                break
        if watch.cancel.is_set() or watch.stop.is_set():
            raise Stopped(f"stopped while waiting for {self.name!r}; `bilevel resume` asks it again")

    def _attempt(self, request: Request, seed: int, watch: Watch) -> Any:
        """A Reply, or a Fault after which another attempt may work, or the error to raise.

        The error is given back, not raised: raised within the handler it would carry the provider's exception, and
        with it the request's headers.
        """
        from bilevel.llm import background, wire
        from bilevel.llm.faults import Kind, fault_of

        try:
            response = background.run(wire.ask(self._theirs(), request, seed, self.options), watch.cancel)
            return wire.reply_of(response, self.provider, self.asked, self.model, self.options)
        except BilevelError as error:
            return type(error)(self._clean(str(error))) if type(error) in (InputError, Stopped) else error
        except Exception as error:
            fault = fault_of(error)
        if fault.kind is Kind.AGAIN:
            return fault
        if fault.kind in (Kind.REFUSED, Kind.CUT):
            finish = Finish.REFUSED if fault.kind is Kind.REFUSED else Finish.LENGTH
            return Reply("", f"{self.asked}:{self.model}", finish=finish)
        return self._error(fault)

    def _theirs(self) -> Any:
        from bilevel.llm import building

        with self._lock:
            if self._built is None:
                key = self.key.value if self.key else ""
                self._built = building.build(self.provider, self.name, self.model, key, self.base_url)
        return self._built

    def _error(self, fault: Any) -> BilevelError:
        from bilevel.llm.faults import Kind

        detail = self._clean(fault.detail)
        at = f" at {shown_url(self.base_url)}" if self.base_url else ""
        if fault.kind is Kind.CONTEXT:
            return ContextOverflow(f"the request is too long for {self.name!r}: {detail}")
        if fault.kind is Kind.KEY:
            return InputError(f"{self.name!r} refused the key: {detail}; {self._which_key()}")
        if fault.kind is Kind.MONEY:
            return InputError(
                f"the account of {self.name!r} has no balance or quota left: {detail}; add some, or name another model"
            )
        if fault.kind is Kind.MODEL:
            return InputError(
                f"there is no model {self.model!r}{at}: {detail}; check the name in {self.name!r}, and the base URL "
                f"({' or '.join(self.provider.urls) or 'option base_url'}; it mostly ends in /v1)"
            )
        return InputError(f"{self.name!r} cannot answer this request: {detail}")

    def _clean(self, text: str) -> str:
        """The text without keys, and without a password in the address."""
        password = urlsplit(self.base_url).password
        return redact(self.keys.redact(text), (password,) if password else ())

    def _which_key(self) -> str:
        variables = " or ".join(self.provider.keys) or "its credentials"
        if self.key is None:
            return f"set {variables} in the environment or in .env"
        return f"it is the one of {self.key.variable} ({self.key.source}); correct it there"

    def _unavailable(self, fault: Any, failed: int, wait: float) -> ModelUnavailable:
        at = f" at {shown_url(self.base_url)}" if self.base_url else ""
        asked = f" (it asks to wait {fault.wait:g} s)" if fault.wait and fault.wait >= wait else ""
        times = "once" if failed == 1 else f"{failed} times"
        return ModelUnavailable(
            f"{self.name!r}{at} did not answer, asked {times}: {self._clean(fault.detail)}{asked}; "
            "`bilevel resume` asks again, and a second model after a comma is asked where the first does not answer"
        )


def shown_url(url: str) -> str:
    """An address as it may be shown: without a user and password in it."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else url
