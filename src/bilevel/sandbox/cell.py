"""One sandboxed process that answers requests, and what it may use of the machine.

A call costs about a tenth of a millisecond beyond the work itself. The host measures the process from outside: the CPU
time of each call, of all calls together (a purse that fills up slowly), and the wall time of a call, in which the time
that the host takes to answer questions does not count. Whatever goes wrong in there is a CellFault; the process is
then gone with all it started, and the next call starts a fresh one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bilevel.errors import GuestError
from bilevel.sandbox.clocks import cpu_seconds
from bilevel.sandbox.levels import setup
from bilevel.sandbox.starting import Started, start

_LIFETIME_REFILLS = 10_000  # after so many calls' worth of CPU the kernel ends the process, if nobody else has


@dataclass(frozen=True)
class CellLimits:
    """What a sandboxed process may use.

    `memory_bytes` counts beyond what the preloaded modules take. The purse holds `purse_seconds` of CPU at first, each
    call puts `refill_seconds` back into it (never beyond the first amount), and all that the process uses is paid from
    it, also between calls: so no guest can take a little less than each limit again and again. `wait_seconds` and
    `wait_refill_seconds` are the same for the time in which a call is under way and computes nothing. `talk_bytes`:
    what the questions of one call and their answers may come to, since they are the host's work.
    """

    call_cpu_seconds: float = 2.0
    call_wall_seconds: float = 30.0
    memory_bytes: int = 2**30
    reply_bytes: int = 2**20
    purse_seconds: float = 10.0
    refill_seconds: float = 0.25
    wait_seconds: float = 60.0
    wait_refill_seconds: float = 1.0
    talk_bytes: int = 2**26


class CellFault(GuestError):
    """A sandboxed process broke a limit or the protocol, or died; it is gone, and a next call starts a fresh one.

    `cause`: `cpu`, `purse`, `wall`, `wait`, `talk`, `reply` (too long), `protocol` (no answer to what was asked),
    `raised` (the entry itself raised) or `died`.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Cell:
    """A sandboxed process behind a level's walls, started by the first call.

    `entry` is `module:function`; the function is `handle(request, ask) -> reply`, with JSON-ready values throughout,
    and `ask(question) -> answer` goes to the host. Its module and those of `preload` are imported before the walls
    close; nothing can be imported from a file after that. One caller at a time: others wait.
    """

    def __init__(self, entry: str, level: str, limits: CellLimits, preload: tuple[str, ...] = ()) -> None:
        self.level = level
        self.limits = limits
        self.generation = 0
        lifetime = limits.purse_seconds + limits.refill_seconds * _LIFETIME_REFILLS
        self._load = (entry, preload, limits.memory_bytes, int(lifetime) + 1)
        self._lock = threading.Lock()
        self._started: Started | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._purse = limits.purse_seconds
        self._waits = limits.wait_seconds
        self._paid = 0.0  # CPU seconds of the present process that were taken from the purse

    def call(self, request: object, ask: Callable[[object], object] | None = None) -> object:
        """The entry's reply to a request; `ask` answers what the guest wants to know meanwhile.

        Raises CellFault for all that the guest does wrong. What `ask` raises goes through, and the process is ended.
        """
        with self._lock:
            started = self._started or self._start()
            try:
                return _Exchange(self, started, ask).run(request)
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        """End the process and all it started; a later call would start a fresh one."""
        with self._lock:
            self._end()

    def __enter__(self) -> Cell:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> Started:
        self._started = start(setup(self.level, *self._load))
        self._finalizer = weakref.finalize(self, self._started.end)
        self.generation += 1
        self._paid = cpu_seconds(self._started.pid)
        return self._started

    def _end(self) -> None:
        started, self._started = self._started, None
        if started is not None:
            started.end()
        if self._finalizer is not None:
            self._finalizer.detach()

    def _refill(self) -> None:
        limits = self.limits
        self._purse = min(limits.purse_seconds, self._purse + limits.refill_seconds)
        self._waits = min(limits.wait_seconds, self._waits + limits.wait_refill_seconds)

    def _pay(self, used: float) -> float:
        """Take what was used since the last time from the purse; returns what is left in it."""
        self._purse -= max(0.0, used - self._paid)
        self._paid = used
        left, self._purse = self._purse, max(0.0, self._purse)
        return left


class _Exchange:
    """One call: a request, the questions that come back, the reply."""

    def __init__(self, cell: Cell, started: Started, ask: Callable[[object], object] | None) -> None:
        self.cell, self.limits, self.started, self.ask = cell, cell.limits, started, ask
        self.id = secrets.token_hex(8)  # unknown to the guest before it is asked: no answer can be written ahead
        self.received = bytearray()
        self.talked = 0
        self.poll = select.poll()
        self.poll.register(started.replies, select.POLLIN)
        self.poll.register(started.errors, select.POLLIN)

    def run(self, request: object) -> object:
        self.cell._refill()
        self.cpu_at_start = cpu_seconds(self.started.pid)
        if self.cell._pay(self.cpu_at_start) < 0:
            raise CellFault("purse", "the sandboxed process went on after its last answer until its CPU time was spent")
        self.began = time.monotonic()
        self.deadline = self.began + self.limits.call_wall_seconds
        self.waits = self.cell._waits
        self.send({"id": self.id, "request": request})
        while True:
            message = self.message()
            if "ask" not in message:
                break
            began = time.monotonic()
            self.send({"id": self.id, "answer": self.answer(message["ask"])}, began)
        self.look()
        if "raised" in message:
            raise CellFault("raised", f"the sandboxed process failed: {message['raised']}")
        if "reply" not in message or self.received:
            raise CellFault("protocol", "the sandboxed process wrote something that is no reply")
        return message["reply"]

    def answer(self, question: object) -> object:
        if self.ask is None:
            raise CellFault("protocol", "the sandboxed process asked where no question may be asked")
        return self.ask(question)

    def send(self, message: dict[str, object], began: float | None = None) -> None:
        """Write a line; the time since `began` was the host's own."""
        data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        if began is not None:
            own = time.monotonic() - began
            self.began, self.deadline = self.began + own, self.deadline + own
            self.talk(len(data))
        while True:
            with contextlib.suppress(BlockingIOError):
                try:
                    data = data[os.write(self.started.requests.fileno(), data) :]
                except BrokenPipeError:
                    raise self.death() from None
            if not data:
                return
            self.poll.register(self.started.requests, select.POLLOUT)
            self.wait()
            self.poll.unregister(self.started.requests)

    def message(self) -> dict[str, Any]:
        """The next line, as far as it belongs to this call."""
        while (end := self.received.find(b"\n")) < 0:
            if len(self.received) > self.limits.reply_bytes:
                break
            self.wait()
        if end < 0 or end > self.limits.reply_bytes:
            raise CellFault("reply", f"the reply is longer than {self.limits.reply_bytes} bytes")
        line = bytes(self.received[:end])
        del self.received[: end + 1]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CellFault("protocol", f"the reply is not JSON: {type(error).__name__}: {error}") from None
        if not isinstance(message, dict) or message.get("id") != self.id:
            raise CellFault("protocol", "the sandboxed process wrote a line that answers nothing that was asked")
        if "ask" in message:
            self.talk(end)
        return message

    def talk(self, length: int) -> None:
        """Count what a question or its answer takes."""
        self.talked += length
        if self.talked > self.limits.talk_bytes:
            raise CellFault("talk", f"the questions of one call took more than {self.limits.talk_bytes} bytes")

    def wait(self) -> None:
        """Read what there is, or look at the limits."""
        left = self.look()
        ready = self.poll.poll(max(1, int(left * 1000) + 1))
        for descriptor, _ in ready:
            if descriptor == self.started.errors.fileno():
                self.started.drain()
            elif descriptor == self.started.replies.fileno():
                part = b""
                with contextlib.suppress(BlockingIOError):
                    part = os.read(descriptor, 1 << 16)
                    if not part:
                        raise self.death()
                self.received += part

    def look(self) -> float:
        """Seconds until a limit can be reached at the earliest. Raises CellFault where one is."""
        now, used = time.monotonic(), cpu_seconds(self.started.pid)
        computed = used - self.cpu_at_start
        cpu_left = self.limits.call_cpu_seconds - computed
        purse_left = self.cell._pay(used)
        wait_left = self.waits - max(0.0, now - self.began - computed)
        self.cell._waits = max(0.0, wait_left)
        if cpu_left < 0:
            raise CellFault("cpu", f"the call took more than {self.limits.call_cpu_seconds:g} s of CPU time")
        if purse_left < 0:
            raise CellFault(
                "purse",
                f"the calls together took more CPU time than they may: {self.limits.purse_seconds:g} s, and "
                f"{self.limits.refill_seconds:g} s more with each call",
            )
        if now >= self.deadline:
            raise CellFault("wall", f"the call took more than {self.limits.call_wall_seconds:g} s")
        if wait_left < 0:
            raise CellFault(
                "wait",
                f"the calls together waited longer than they may: {self.limits.wait_seconds:g} s, and "
                f"{self.limits.wait_refill_seconds:g} s more with each call",
            )
        return min(cpu_left, purse_left, wait_left, self.deadline - now)

    def death(self) -> CellFault:
        return CellFault("died", f"the sandboxed process died: {self.started.obituary()}")
