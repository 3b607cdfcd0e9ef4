"""What may be spent, what was spent, and a tree of counters that charges a leaf's cost to all its ancestors."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What something cost. `evaluations` counts measured runs of the innermost task; money is in US dollars."""

    evaluations: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.evaluations + other.evaluations,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.tokens + other.tokens,
            self.money + other.money,
        )


@dataclass(frozen=True)
class Budget:
    """What may be spent; None is no limit. `trials` counts trials of the loop itself, the baseline not counted."""

    trials: int | None = None
    evaluations: int | None = None


@dataclass(frozen=True)
class Limits:
    """What a whole run may spend, in all its levels together; None is no limit. Money is in US dollars.

    Looked at before each trial and each call: what is under way then is finished, so the last call may go beyond.
    """

    seconds: float | None = None
    tokens: int | None = None
    money: float | None = None

    def shares(self, spent: Cost, seconds: float) -> dict[str, float]:
        """For each limit that is set, which share of it is spent; `seconds` is wall time."""
        pairs = {
            "seconds": (seconds, self.seconds),
            "tokens": (spent.tokens, self.tokens),
            "money": (spent.money, self.money),
        }
        return {name: used / most if most else 1.0 for name, (used, most) in pairs.items() if most is not None}


class Meter:
    """A counter with a parent: what is charged here is charged to every ancestor too."""

    def __init__(self, name: str, parent: "Meter | None" = None) -> None:
        self.name = name
        self.parent = parent
        self._spent = Cost()
        self._lock = threading.Lock()

    @property
    def spent(self) -> Cost:
        return self._spent

    def charge(self, cost: Cost) -> None:
        """Add a cost here and to all ancestors."""
        meter: Meter | None = self
        while meter is not None:
            with meter._lock:
                meter._spent = meter._spent + cost
            meter = meter.parent

    def child(self, name: str) -> "Meter":
        return Meter(name, self)
