"""Momentum: the researcher is told which direction of which parameter helped, how far, and how sure that is.

Source: B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964,
doi:10.1016/0041-5553(64)90137-5 (go on in the direction that helped); the confidence is the lower end of the interval
of E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927,
doi:10.1080/01621459.1927.10502953.
"""

import math
import statistics
from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Value
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class Momentum(Mechanism):
    """Tell, for each direction in which a parameter was moved and kept, how often, the median step and the mean gain.

    Only trials that changed at most `joint` parameters count, the newest `window` of each direction. The confidence is
    the lower end of Wilson's interval of the share that was kept (one standard error), so that one success in one try
    says less than three in four. At most `told` directions are named, the greatest confidence first; directions of
    parameters that may not be changed now are left out.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"advice"})
    domain = "momentum"
    window = 8
    joint = 2
    told = 6

    def remember(self, memory: Any, trial: Trial) -> dict[tuple[str, str], tuple[int, ...]]:
        """(parameter, direction) -> the numbers of the newest trials that moved it so; the newest 100 directions."""
        old: dict[tuple[str, str], tuple[int, ...]] = memory or {}
        if not trial.runs or not 0 < len(trial.changes) <= self.joint:
            return old
        moved = {(name, _direction(change.old, change.new)) for name, change in trial.changes.items()}
        kept = [(key, numbers) for key, numbers in old.items() if key not in moved]
        new = [(key, (*old.get(key, ()), trial.number)[-self.window :]) for key in sorted(moved)]
        return dict([*kept, *new][-100:])

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        found = []
        for (name, direction), numbers in (view.memory or {}).items():
            if name in view.space.active:
                trials = [view.trace[number] for number in numbers]
                kept = [trial for trial in trials if trial.decision.keep]
                if kept:
                    low = _wilson(len(kept), len(trials))
                    found.append((low, name, self._line(view, name, direction, trials, kept, low)))
        if not found:
            return briefing
        lines = [line for _, _, line in sorted(found, key=lambda item: (-item[0], item[1], item[2]))]
        text = "Directions that helped; go on in them while they do:\n" + "\n".join(lines[: self.told])
        return briefing.with_block("momentum", text[:4000], priority=2)

    def _line(self, view: View, name: str, direction: str, trials: list[Trial], kept: list[Trial], low: float) -> str:
        changes = [trial.changes[name] for trial in kept]
        gains = [gain for gain in map(view.trace.gain_of, kept) if gain is not None]
        said = f", mean gain {statistics.mean(gains):.3g}" if gains else ""
        step = statistics.median(view.space.step(name, change.old, change.new) for change in changes)
        how = f" by {step:.2g} of its range" if direction in ("up", "down") else ""
        last = f"last {changes[-1].old!r} -> {changes[-1].new!r}"
        return (
            f"- {name} {direction}{how}: kept {len(kept)} of {len(trials)} times{said} ({last}); confidence {low:.0%}"
        )


def _direction(old: Value, new: Value) -> str:
    if isinstance(old, bool | str | tuple) or isinstance(new, bool | str | tuple):
        return f"to {new!r}"[:80]
    return "up" if new > old else "down"


def _wilson(kept: int, tried: int, z: float = 1.0) -> float:
    """The lower end of Wilson's score interval of a share."""
    share, spread = kept / tried, z * z / tried
    root = z * math.sqrt(share * (1 - share) / tried + spread / (4 * tried))
    return max((share + spread / 2 - root) / (1 + spread), 0.0)
