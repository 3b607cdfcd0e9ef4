"""The time that a run was at work, from the stints of its workers: sessions one behind the other, without what lies
between them, and how busy each worker was.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from bilevel.stints import Stint

GAP = 0.02  # between two sessions, as a share of the time at work


@dataclass(frozen=True)
class Session:
    """From the first to the last measurement since the run was begun, or gone on with. `at`: where it is on the
    axis."""

    number: int
    began: float
    ended: float
    at: float


@dataclass(frozen=True)
class Shifts:
    """All sessions on one axis of seconds, `length` long; `work` is their time without the gaps between them."""

    sessions: tuple[Session, ...]
    length: float
    work: float

    def at(self, session: int, time: float) -> float:
        """Where a time of a session is on the axis."""
        found = next(one for one in self.sessions if one.number == session)
        return found.at + time - found.began


@dataclass(frozen=True)
class Busy:
    """A worker's trials, the seconds that they took, and the longest time that it waited between two of them."""

    trials: int
    seconds: float
    idle: float


def shifts(stints: Sequence[Stint]) -> Shifts:
    """The axis of these stints; there is at least one."""
    spans: dict[int, tuple[float, float]] = {}
    for one in stints:
        first, last = spans.get(one.session, (one.began, one.ended))
        spans[one.session] = min(first, one.began), max(last, one.ended)
    work = sum(last - first for first, last in spans.values())
    found, at = [], 0.0
    for number, (first, last) in sorted(spans.items()):
        found.append(Session(number, first, last, at))
        at += last - first + GAP * work
    return Shifts(tuple(found), at - GAP * work, work)


def busy(stints: Sequence[Stint]) -> Busy:
    """How busy the worker of these stints was; between two sessions it does not wait."""
    ordered = sorted(stints, key=lambda one: one.began)
    pairs = itertools.pairwise(ordered)
    waits = [later.began - earlier.ended for earlier, later in pairs if later.session == earlier.session]
    return Busy(len(ordered), sum(one.ended - one.began for one in ordered), max([0.0, *waits]))
