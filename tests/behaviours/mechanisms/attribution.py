"""Attribution: a joint change's gain is shared out to its parts, by what each did alone before."""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Value
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class Attribution(Mechanism):
    """For the last joint changes: the gain of each part that was once tried alone, and what is left for the others."""

    domain = "credit assignment"
    told = 4

    def remember(self, memory: Any, trial: Trial) -> tuple[dict[tuple[str, Value], int], tuple[int, ...]]:
        """Which trial set a parameter to a value alone; and the last joint trials."""
        alone, joint = memory or ({}, ())
        if trial.score is None:
            return alone, joint
        parts = [(name, change.new) for name, change in trial.changes.items()]
        if len(parts) == 1:
            return {**alone, parts[0]: trial.number}, joint
        return alone, (*joint, trial.number)[-self.told :] if parts else joint

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        alone, joint = view.memory or ({}, ())
        lines = []
        for number in joint:
            trial = view.trace[number]
            gain = view.trace.gain_of(trial)
            names = {name: alone.get((name, change.new)) for name, change in trial.changes.items()}
            known = {
                name: view.trace.gain_of(view.trace[before]) for name, before in names.items() if before is not None
            }
            parts = {name: part for name, part in known.items() if part is not None}
            if gain is None or not parts:
                continue
            shares = ", ".join(f"{name} {part:+.4g}" for name, part in parts.items())
            rest = ", ".join(sorted(trial.changes.keys() - parts.keys())) or "their combination"
            lines.append(f"trial {number} gained {gain:+.4g}: {shares} alone; left for {rest}: "
                         f"{gain - sum(parts.values()):+.4g}")  # fmt: skip
        return briefing.with_block("attribution", "\n".join(lines), priority=2) if lines else briefing
