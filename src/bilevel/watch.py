"""How long a guest takes beside a loop that every machine runs, and where it is when it never ends.

A limit in seconds would refuse on a slow machine what passes on a fast one. So CPU time is measured in units of a plain
loop of Python that the same process runs just before: a limit of one second means what took one second on the machine
where the limit was set. Nothing is refused on one measurement: what is too slow is measured again, with its yardstick.
"""

import contextlib
import functools
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

REFERENCE = 0.004  # CPU seconds of one stretch where the limits were set: CPython 3.11, two cores of a virtual machine
AGAIN = 0.25  # seconds after which a guest that did not end is told again
TRACED = 5  # so many times slower is a guest that is traced
PATIENCE = 40  # so often it may be another's code that runs when the time is over


class StillRunning(BaseException):
    """A guest did not end in its time, in seconds of the reference machine; `line` is where it was, 0 if that is
    unknown. No guest may catch it."""

    def __init__(self, seconds: float, line: int) -> None:
        super().__init__(f"it did not end within {seconds:g} s")
        self.seconds = seconds
        self.line = line


def pace() -> float:
    """How many CPU seconds this process needs now for what takes one where the limits were set."""
    return statistics.median(_stretch() for _ in range(5)) / REFERENCE


def _stretch() -> float:
    began = time.thread_time()
    counts: dict[int, int] = {}
    for number in range(20_000):
        counts[number % 97] = counts.get(number % 97, 0) + len(str(number))
    return time.thread_time() - began


@functools.cache
def first_pace() -> float:
    """The pace when it was first asked for in this process."""
    return pace()


class Watch:
    """Says what is tried next to whoever wants to know, and ends what takes too long.

    `tell` gets each thing's name. `how`: "timer" ends it by a signal; "trace" by counting what the guest's own lines
    take, where the walls allow no timer; "" never. Both work in the main thread only.
    """

    def __init__(self, tell: Callable[[str], object] = lambda what: None, how: str = "") -> None:
        self.tell = tell
        self.how = how if threading.current_thread() is threading.main_thread() else ""

    @contextlib.contextmanager
    def over(self, what: str, seconds: float, timed: bool = False) -> Iterator[None]:
        """Let a block run for so many seconds of the reference machine. Raises StillRunning in it after that.

        A block that is `timed` by itself is not traced, since that slows it down.
        """
        self.tell(what)
        if not self.how or (timed and self.how == "trace"):
            yield
            return
        limit = seconds * max(first_pace(), 0.5) * (TRACED if self.how == "trace" else 1)
        try:
            with (_timer if self.how == "timer" else _tracer)(limit):
                yield
        except StillRunning as error:
            raise StillRunning(seconds, error.line) from None


@contextlib.contextmanager
def _timer(limit: float) -> Iterator[None]:
    strikes = 0

    def strike(number: int, frame: FrameType | None) -> None:
        nonlocal strikes
        strikes += 1
        line = _guest_line(frame)
        if line or strikes > PATIENCE:
            raise StillRunning(limit, line)

    before = signal.signal(signal.SIGPROF, strike)
    signal.setitimer(signal.ITIMER_PROF, limit, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _tracer(limit: float) -> Iterator[None]:
    end = time.thread_time() + limit

    def trace(frame: FrameType, event: str, value: Any) -> Any:
        if not frame.f_code.co_filename.startswith("<mechanism"):
            return None
        if time.thread_time() > end:
            raise StillRunning(limit, frame.f_lineno)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def timer_works() -> bool:
    """Whether this process may set a timer: not behind every wall."""
    try:
        signal.setitimer(signal.ITIMER_PROF, 0)
    except (AttributeError, OSError):
        return False
    return True


def _guest_line(frame: FrameType | None) -> int:
    """The line of the innermost frame of a guest; 0 where none is on the stack."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<mechanism"):
            return frame.f_lineno
        frame = frame.f_back
    return 0
