"""Effects that depend: what a change does, given the values of the other parameters."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Float, Int
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class ConditionalEffects(Mechanism):
    """For each number, split its single raises and falls by whether another parameter stood in the lower or the upper
    half of its range; tell where the effect of a raise has another sign in the two halves."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "conditional effects"
    window = 200
    told = 6

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        slopes: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
        for trial in view.trace[-self.window :]:
            gain = view.trace.gain_of(trial)
            if gain is None or len(trial.changes) != 1:
                continue
            ((name, change),) = trial.changes.items()
            domain = view.space.domains[name]
            if isinstance(domain, Float | Int):
                rise = gain if domain.unit(change.new) > domain.unit(change.old) else -gain
                for other in view.space.domains:
                    if other != name:
                        halves = slopes.setdefault((name, other), ([], []))
                        halves[self._upper(view, other, trial)].append(rise)
        lines = []
        for (name, other), (low, high) in slopes.items():
            if low and high and (sum(low) > 0) != (sum(high) > 0) and sum(low) * sum(high):
                word = "high" if sum(high) > 0 else "low"
                means = f"{sum(low) / len(low):+.4g} where it is low, {sum(high) / len(high):+.4g} where it is high"
                lines.append(f"raising {name} helps where {other} is {word}: {means}")
        return briefing.with_block("conditions", "\n".join(lines[: self.told]), priority=2) if lines else briefing

    def _upper(self, view: View, name: str, trial: Trial) -> bool:
        return view.space.domains[name].unit(trial.parent.params[name]) >= 0.5
