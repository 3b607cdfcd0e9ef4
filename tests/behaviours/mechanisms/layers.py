"""Layers: which of the parent's settings are old and proven, and which are recent."""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class Layers(Mechanism):
    """A setting is proven once it was kept for `proven` trials, recent before; settings that were never changed with
    success are not named."""

    domain = "stratigraphy"
    proven = 4

    def remember(self, memory: Any, trial: Trial) -> dict[str, int]:
        """Parameter -> the trial that last changed it and was kept."""
        since: dict[str, int] = memory or {}
        return {**since, **dict.fromkeys(trial.changes, trial.number)} if trial.decision.keep else since

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        if not view.memory:
            return briefing
        ages = sorted((view.number - number, name) for name, number in view.memory.items())
        recent = [f"{name} ({age} trials)" for age, name in ages if age < self.proven]
        old = [f"{name} ({age} trials)" for age, name in ages if age >= self.proven]
        names = (", ".join(some) or "none" for some in (recent, old))
        text = "recent, change them first: {}\nproven, touch them last: {}".format(*names)
        return briefing.with_block("layers", text, priority=2)
