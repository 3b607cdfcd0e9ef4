"""The process that mechanisms of one source live in: asked, told what it does not know, started again after it died."""

import functools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol, TypeAlias, TypeVar

from bilevel.call import Reply, Request
from bilevel.errors import GuestError, HarnessError
from bilevel.sandbox.cell import CellFault
from bilevel.sandbox.guest_side import ERRORS
from bilevel.sandbox.mirror import Known
from bilevel.sandbox.wire import WireError
from bilevel.trial import Trial
from bilevel.view import View

MEMORIES = 64  # per mechanism: more than there are trials in flight
BATCH = 100  # trials that are remembered in one call
WITNESS_NAME = "witness"
WITNESS = "from bilevel.mechanism import Mechanism\n\n\nclass Witness(Mechanism):\n    pass\n"
"""A mechanism that does nothing: what fails with it too is no guest's fault."""
T = TypeVar("T")
Arguments: TypeAlias = Callable[[Known], list[Any]]
Answer: TypeAlias = Callable[[Known, Any], T]
_USES = count()


class Channel(Protocol):
    """A process that answers requests, such as a Cell."""

    def call(self, request: object, ask: Callable[[object], object] | None = None) -> object: ...
    def close(self) -> None: ...


class Memory:
    """What a mechanism in another process remembers: which trials made it, so that it can be made again.

    Two are equal if the same source remembered the same trials. What is in it only the mechanism itself can see.
    """

    __slots__ = ("guest", "home", "length", "number", "previous", "trial")

    def __init__(self, home: "Home", guest: int, number: int, previous: "Memory | None", trial: Trial) -> None:
        self.home, self.guest, self.number, self.previous, self.trial = home, guest, number, previous, trial
        self.length: int = 1 if previous is None else previous.length + 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Memory) or other.home is not self.home or other.length != self.length:
            return False
        mine: Memory | None = self
        its: Memory | None = other
        while mine is not its and mine is not None and its is not None:
            if mine.trial is not its.trial:
                return False
            mine, its = mine.previous, its.previous
        return True

    def __hash__(self) -> int:
        return hash((id(self.home), self.length, id(self.trial)))

    def __repr__(self) -> str:
        return f"<what a mechanism in a sandbox made of {self.length} trials>"

    def __deepcopy__(self, memo: object) -> "Memory":
        return self  # it cannot be changed


class Ours(GuestError):
    """A failure in the process that the guest had no part in, or so it says: it could have been forged."""


class Lost(Exception):
    """The process is not the one that the host believes it to be."""


class Home:
    """A source's process, shared by all loops that have the source in force. One caller at a time."""

    __slots__ = (
        "__weakref__", "_answered", "_cell", "_epoch", "_fresh", "_gone", "_held", "_loaded", "_lock", "_names",
        "_numbers", "_open", "known", "source", "used",
    )  # fmt: skip

    def __init__(self, source: str, open_cell: Callable[["Home"], Channel]) -> None:
        self.source = source
        self.known = Known(self._send_news)
        self._open = open_cell
        self._cell: Channel | None = None
        self._answered = False  # the present process has been asked for more than to load
        self._lock = threading.Lock()
        self._numbers = count()
        self._names: dict[int, str] = {}
        self._gone: deque[list[Any]] = deque()
        self.used = next(_USES)  # greater than that of every process which was asked before
        self._epoch = 0
        self._begin()

    # ---- what is asked ----

    def load(self, name: str) -> tuple[int, Any]:
        """Make a mechanism; its number, and what it declares.

        Where the process has answered for another one, it starts afresh: what a guest may have kept there in spite of
        its contract does not pass from one arm of a fork to the other.
        """
        if self._answered:
            self.close()
        number = next(self._numbers)
        self._names[number] = name
        try:
            return number, self._asked(functools.partial(self._load, number))
        except BaseException as error:
            del self._names[number]
            self._look_at(error, lambda other: other.load(WITNESS_NAME))
            raise

    def unload(self, number: int) -> None:
        """Let a mechanism go: nobody has it any more."""
        self._names.pop(number, None)
        self._loaded.discard(number)
        self._gone.append(["mechanism", number])

    def hook(self, name: str, number: int, view: View, arguments: Arguments, same: T, answer: Answer[T]) -> T:
        """What a hook answers: `same` where that is the question itself, else what `answer` makes of the data.

        Raises GuestError for all that the guest does wrong, and what came of its questions.
        """

        def ask() -> T:
            if self.known.crowded(view.trace):
                self._begin()
            self._present(number)
            memory = self._memory(view.memory)
            question = ["hook", name, number, self.known.view(view), memory, arguments(self.known)]
            reply = self._exchange(question, view)
            return same if reply == ["same"] else answer(self.known, reply[1])

        def again(other: "Home") -> object:
            return other.hook(name, other.load(WITNESS_NAME)[0], replace(view, memory=None), arguments, same, answer)

        try:
            return self._asked(ask)
        except Ours as error:
            self._look_at(error, again)
            raise

    def remember(self, number: int, memory: Memory | None, trials: Sequence[Trial]) -> list[Any]:
        """What comes of a memory trial by trial: each time the memory after it, or the text of what was raised."""
        answers: list[Any] = []
        for first in range(0, len(trials), BATCH):
            batch = trials[first : first + BATCH]
            try:
                done = self._asked(functools.partial(self._remember, number, memory, batch))
            except Ours as error:
                self._look_at(error, functools.partial(_remembered, batch))
                raise
            answers += done
            memory = next((one for one in reversed(done) if not isinstance(one, str)), memory)
        return answers

    def _look_at(self, error: BaseException, again: Callable[["Home"], object]) -> None:
        """Raise HarnessError where a mechanism that does nothing meets the same failure in a process of its own.

        So no guest can end a run by saying that it was not its fault.
        """
        if not isinstance(error, Ours) or self.source == WITNESS:
            return
        other = Home(WITNESS, self._open)
        try:
            again(other)
        except Ours as same:
            raise HarnessError(f"the sandbox failed, not the mechanism in it: {same}") from error
        finally:
            other.close()

    # ---- the process ----

    def close(self, wait: bool = True) -> bool:
        """End the process; a later question starts another. False where it is at work and `wait` is not."""
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            if self._cell is not None:
                self._cell.close()
                self._cell = None
                self._begin()
            self._answered = False
            return True
        finally:
            self._lock.release()

    @property
    def open(self) -> bool:
        """Whether there is a process, or will be with the next question."""
        return self._cell is not None

    def _begin(self) -> None:
        """The next request is the first to a process that knows nothing."""
        self._epoch += 1
        self._fresh = True
        self._loaded: set[int] = set()
        self._held: OrderedDict[int, None] = OrderedDict()  # memories that the process has, by number
        self._gone.clear()
        self.known.forget()

    def _asked(self, ask: Callable[[], T]) -> T:
        with self._lock:
            self.used = next(_USES)
            for _ in range(2):
                if self._cell is None:
                    self._cell = self._open(self)
                try:
                    return ask()
                except Lost:
                    self._begin()
            raise GuestError("the sandboxed process does not know what it was told")

    def _exchange(self, question: list[Any] | None, view: View | None = None) -> list[Any]:
        """A reply, its form checked. Raises GuestError with what a guest raised."""
        gone = [self._gone.popleft() for _ in range(len(self._gone))]
        request = [self._epoch, self._fresh, gone, self.known.news, question]
        self._answered = self._answered or (question is not None and question[0] != "load")
        self.known.news, self._fresh = [], False
        host = Answering(self.known, view)
        assert self._cell is not None
        try:
            reply = self._cell.call(request, host)
        except BaseException as error:
            self._begin()
            if host.failure is not None:
                raise host.failure from None
            if isinstance(error, CellFault) and error.cause == "raised":
                raise Ours(str(error)) from error
            raise
        if host.failure is not None:
            raise host.failure
        match reply:
            case ["lost"]:
                raise Lost
            case ["same"]:
                return ["same"]
            case ["is", data]:
                return ["is", data]
            case ["raised", str(text)]:
                raise GuestError(text)
            case ["ours", str(text)]:
                raise Ours(text)
        raise WireError("the sandboxed process answered something that is no reply")

    def _send_news(self) -> None:
        self._exchange(None)

    # ---- what the process must have before it is asked ----

    def _load(self, number: int) -> Any:
        reply = self._exchange(["load", number, self._names[number], self.source])
        self._loaded.add(number)
        return reply[-1]

    def _present(self, number: int) -> None:
        if number not in self._loaded:
            self._load(number)

    def _memory(self, memory: Any) -> int | None:
        """The number of a memory that the process has; made again from its trials where it has it no more."""
        if memory is None:
            return None
        if not isinstance(memory, Memory) or memory.home is not self:
            raise GuestError(f"view.memory is a {type(memory).__name__} that this mechanism did not remember")
        missing: list[Memory] = []
        here: Memory | None = memory
        while here is not None and here.number not in self._held:
            missing.append(here)
            here = here.previous
        missing.reverse()
        for first in range(0, len(missing), BATCH):
            part = missing[first : first + BATCH]
            self._present(memory.guest if memory.guest in self._names else next(iter(self._names)))
            self._again(part[0].previous, part)
        self._held.move_to_end(memory.number)
        return memory.number

    def _again(self, start: Memory | None, part: list[Memory]) -> None:
        guest = part[-1].guest if part[-1].guest in self._loaded else next(iter(self._loaded))
        trials = [self.known.trial(one.trial) for one in part]
        reply = self._exchange(["remember", guest, None if start is None else start.number, trials, part[-1].number])
        if reply != ["is", [1] * len(part)]:
            raise GuestError("remember does not give the same memory again; it must be a function of its arguments")
        self._hold(part[-1].number)

    def _remember(self, number: int, memory: Memory | None, trials: Sequence[Trial]) -> list[Any]:
        self._present(number)
        start = self._memory(memory)
        numbers = [self.known.trial(trial) for trial in trials]
        new = next(self._numbers)
        reply = self._exchange(["remember", number, start, numbers, new])
        return self._memories(number, memory, trials, new, reply)

    def _memories(
        self, number: int, memory: Memory | None, trials: Sequence[Trial], new: int, reply: list[Any]
    ) -> list[Any]:
        outcomes = reply[-1]
        if type(outcomes) is not list or len(outcomes) != len(trials) or not all(map(_is_outcome, outcomes)):
            raise WireError("the sandboxed process did not say what became of each memory")
        answers: list[Any] = []
        last = max((place for place, one in enumerate(outcomes) if one == 1), default=-1)
        for place, (trial, outcome) in enumerate(zip(trials, outcomes, strict=True)):
            if type(outcome) is str:
                answers.append(outcome)
                continue
            if outcome == 1:
                memory = Memory(self, number, new if place == last else next(self._numbers), memory, trial)
            answers.append(memory)
        if last >= 0:
            self._hold(new)
        return answers

    def _hold(self, number: int) -> None:
        """Note that the process has a memory, and let it drop the one used longest ago."""
        self._held[number] = None
        if len(self._held) > MEMORIES * max(1, len(self._loaded)):
            self._gone.append(["memory", self._held.popitem(last=False)[0]])


def _remembered(trials: Sequence[Trial], other: Home) -> object:
    return other.remember(other.load(WITNESS_NAME)[0], None, trials)


def _is_outcome(data: Any) -> bool:
    return type(data) is str or (type(data) is int and data in (0, 1))


class Answering:
    """Answers what a guest asks during one hook. `failure` is none of the guest's: it is raised once the hook ends."""

    def __init__(self, known: Known, view: View | None) -> None:
        self.known = known
        self.view = view
        self.failure: Exception | None = None

    def __call__(self, question: object) -> object:
        if self.failure is not None:
            return ["raise", "GuestError", "nothing more is answered in this hook"]
        try:
            return ["is", self._answer(question)]
        except GuestError as error:
            kind = next(name for name, kind in reversed(ERRORS.items()) if isinstance(error, kind))
            return ["raise", kind, str(error)]
        except Exception as error:
            self.failure = error
            return ["raise", "GuestError", "this could not be answered"]

    def _answer(self, question: object) -> object:
        match question:
            case ["file", name]:
                return self.known.file(name)
            case ["id", data]:
                return self._id(data)
            case ["call", request, str(purpose), int(repeat)]:
                return self._call(request, purpose, repeat)
        raise GuestError("the host was asked something that it does not understand")

    def _id(self, data: object) -> str:
        try:
            return self.known.candidate_in(data).id
        except (TypeError, ValueError, RecursionError) as error:
            raise GuestError(f"a candidate cannot be stored: {error}") from None

    def _call(self, request: object, purpose: str, repeat: int) -> object:
        asked = self.known.wire.unpack(Request)(request)
        if self.view is None:
            raise GuestError("a model cannot be asked here")
        return self.known.wire.pack(Reply)(self.view.call(asked, purpose, repeat))
