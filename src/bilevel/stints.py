"""When trials were measured, and by which worker: for people who look, and for nothing that decides.

A stint is taken down by a live run only, in a table of its own: no record, hash, view or replay knows of it.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bilevel.trial import Pending

T = TypeVar("T")


@dataclass(frozen=True)
class Stint:
    """A worker's time at a trial: from before its first measurement until after its last, in seconds since the epoch.

    `worker` counts from 0; `session` counts from 1, how often the run was begun or gone on with. Of a trial that was
    under way at a kill it is the time in which it was finished.
    """

    branch: str
    number: int
    worker: int
    began: float
    ended: float
    session: int = 1


class Clock(Protocol):
    """Who takes stints down."""

    def worked(self, stint: Stint) -> None:
        """Keep a stint until its trial is stored, and store it with that; the session is the clock's to say."""
        ...


class _Seat(threading.local):
    number = 0


_SEAT = _Seat()


def seated(workers: int) -> ThreadPoolExecutor:
    """Threads that measure, each with a number of its own, from 0."""
    numbers = itertools.count()

    def sit() -> None:
        _SEAT.number = next(numbers)

    return ThreadPoolExecutor(workers, thread_name_prefix="trial", initializer=sit)


def timed(clock: Clock | None, branch: str, pending: Pending, measure: Callable[[Pending], T]) -> T:
    """What measuring a trial gives; who did it, and when, is told to the clock."""
    if clock is None or pending.refused:
        return measure(pending)
    at, began = time.time(), time.monotonic()
    found = measure(pending)
    clock.worked(Stint(branch, pending.number, _SEAT.number, at, at + time.monotonic() - began))
    return found
