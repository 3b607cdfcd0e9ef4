"""The objective: what is measured, in which unit, and in which direction it should move."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A named number to improve.

    `relative` says that a score is already a gain over the parent (as in a forked trial of an outer loop), so that
    it is judged against 0 and never against another trial's score.
    """

    name: str
    unit: str = ""
    minimize: bool = True
    relative: bool = False

    def gain(self, old: float, new: float) -> float:
        """How much better `new` is than `old`, in the objective's unit; positive is better whatever the direction.

        This is the only place that knows the sign.
        """
        return old - new if self.minimize else new - old

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` is strictly better than `old` (anything is better than None)."""
        return old is None or self.gain(old, new) > 0


def is_score(value: object) -> bool:
    """Whether a value can be a score: a finite number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
