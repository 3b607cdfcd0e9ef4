"""Settled and volatile parameters: the first are frozen, the second recommended."""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Space
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class Settled(Mechanism):
    """A parameter is settled after `tries` changes without one that was kept, volatile where at least half of two or
    more were kept. Settled ones are frozen, as long as `least` parameters stay active; after `again` trials they are
    tried again."""

    domain = "variable selection"
    tries = 3
    least = 2
    again = 20

    def remember(self, memory: Any, trial: Trial) -> dict[str, tuple[int, int, int]]:
        """Parameter -> (changes, changes that were kept, the last trial that changed it)."""
        seen: dict[str, tuple[int, int, int]] = memory or {}
        new = {}
        for name in trial.changes if trial.score is not None else ():
            changes, kept, _ = seen.get(name, (0, 0, 0))
            new[name] = (changes + 1, kept + int(trial.decision.keep), trial.number)
        return {**seen, **new} if new else seen

    def constrain(self, view: View, space: Space) -> Space:
        settled = [name for name in self._settled(view) if name in space.active]
        return space.freeze(settled[: max(len(space.active) - self.least, 0)], "settled: nothing came of changing it")

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        volatile = [n for n, (tried, kept, _) in (view.memory or {}).items() if tried > 1 and 2 * kept >= tried]
        settled = self._settled(view)
        if not volatile and not settled:
            return briefing
        text = f"volatile, worth another look: {', '.join(volatile) or 'none'}\nsettled: {', '.join(settled) or 'none'}"
        return briefing.with_block("settled", text, priority=2)

    def _settled(self, view: View) -> list[str]:
        return [
            name
            for name, (tried, kept, last) in (view.memory or {}).items()
            if tried >= self.tries and not kept and view.number - last <= self.again
        ]
