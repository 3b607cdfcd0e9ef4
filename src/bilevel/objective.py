"""The objective: what is measured, in which unit, and in which direction it should move."""

import math
from dataclasses import dataclass, field

from bilevel.guardrails import Guardrail

LATER = {"later": True}  # a field that came later: `codec` leaves it out where it says nothing, so that hashes stay


@dataclass(frozen=True)
class Further:
    """A further objective: a metric that the search does not follow by itself, and that reports weigh against the rest.

    `reference`: see Objective.
    """

    name: str
    unit: str = ""
    minimize: bool = True
    reference: float | None = None

    def gain(self, old: float, new: float) -> float:
        """As that of Objective."""
        return _gain(self.minimize, old, new)


@dataclass(frozen=True)
class Objective:
    """A named number to improve.

    `relative` says that a score is already a gain over the parent (as in a forked trial of an outer loop), so that
    it is judged against 0 and never against another trial's score. `guardrails` bound what else is measured: who breaks
    one has no score. `also` are further objectives; `reference` is this one's place in the point from which the volume
    of their front is measured, the baseline's value unless given.
    """

    name: str
    unit: str = ""
    minimize: bool = True
    relative: bool = False
    guardrails: tuple[Guardrail, ...] = field(default=(), metadata=LATER)
    also: tuple[Further, ...] = field(default=(), metadata=LATER)
    reference: float | None = field(default=None, metadata=LATER)

    def gain(self, old: float, new: float) -> float:
        """How much better `new` is than `old`, in the objective's unit; positive is better whatever the direction."""
        return _gain(self.minimize, old, new)

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` is strictly better than `old` (anything is better than None)."""
        return old is None or self.gain(old, new) > 0


def is_score(value: object) -> bool:
    """Whether a value can be a score: a finite number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _gain(minimize: bool, old: float, new: float) -> float:
    """This is the only place that knows the sign."""
    return old - new if minimize else new - old
