"""Calibration: what the researcher predicted against what happened, per parameter."""

from bilevel.mechanism import Mechanism
from bilevel.view import Briefing, View


class Calibration(Mechanism):
    """For each parameter with `least` predictions (notes["predicted_gain"]): the mean of prediction minus outcome, and
    how often the sign was right."""

    domain = "calibration"
    least = 2
    window = 100

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        errors: dict[str, list[tuple[float, bool]]] = {}
        for trial in view.trace[-self.window :]:
            predicted, gain = trial.proposal.notes.get("predicted_gain"), view.trace.gain_of(trial)
            if isinstance(predicted, int | float) and gain is not None:
                for name in trial.changes:
                    errors.setdefault(name, []).append((predicted - gain, (predicted > 0) == (gain > 0)))
        lines = []
        for name, some in errors.items():
            if len(some) >= self.least:
                bias = sum(error for error, _ in some) / len(some)
                word = "too hopeful" if bias > 0 else "too timid"
                right = sum(sign for _, sign in some)
                lines.append(f"{name}: {word} by {abs(bias):.3g} on average, right sign {right} of {len(some)} times")
        return briefing.with_block("calibration", "\n".join(lines), priority=2) if lines else briefing
