"""Stale proposals: what was discarded k times under one name is flagged."""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class StaleProposals(Mechanism):
    """A set of parameters that was changed and discarded `k` times in a row, whatever the values, is flagged until one
    of its changes is kept."""

    domain = "fatigue"
    k = 2

    def remember(self, memory: Any, trial: Trial) -> dict[tuple[str, ...], int]:
        """Set of parameters -> how often in a row a change of just these was discarded."""
        stale: dict[tuple[str, ...], int] = memory or {}
        names = tuple(sorted(trial.changes))
        if not names or not trial.runs:
            return stale
        return {**stale, names: 0 if trial.decision.keep else stale.get(names, 0) + 1}

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        stale = {names: count for names, count in (view.memory or {}).items() if count >= self.k}
        if not stale:
            return briefing
        worst = sorted(stale.items(), key=lambda item: (-item[1], item[0]))[:8]
        lines = [f"STALE: {' + '.join(names)}, discarded {count} times in a row" for names, count in worst]
        return briefing.with_block("stale proposals", "\n".join(lines), priority=5)
