"""Step sizes: which ones helped and which ones hurt."""

from bilevel.mechanism import Mechanism
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class StepSizes(Mechanism):
    """Tell, for small, middle and large steps of single changes (shares of a parameter's range), how many helped, how
    many hurt, and the mean gain; over the last `window` trials."""

    domain = "step size control"
    small = 0.1
    large = 0.3
    window = 200
    least = 2

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        gains: dict[str, list[float]] = {"small": [], "middle": [], "large": []}
        for trial in view.trace[-self.window :]:
            gain = view.trace.gain_of(trial)
            if gain is not None and len(trial.changes) == 1:
                gains[self._size(view, trial)].append(gain)
        lines = [
            f"{size} steps helped {sum(g > 0 for g in some)} and hurt {sum(g < 0 for g in some)} times, "
            f"mean gain {sum(some) / len(some):+.4g}"
            for size, some in gains.items()
            if len(some) >= self.least
        ]
        return briefing.with_block("step sizes", "\n".join(lines), priority=2) if lines else briefing

    def _size(self, view: View, trial: Trial) -> str:
        ((name, change),) = trial.changes.items()
        step = view.space.step(name, change.old, change.new)
        return "small" if step <= self.small else "large" if step > self.large else "middle"
