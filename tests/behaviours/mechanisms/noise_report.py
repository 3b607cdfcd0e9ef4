"""The noise floor, and how far each kept gain stands out of it."""

import math

from bilevel.mechanism import Mechanism
from bilevel.view import Briefing, View


class NoiseReport(Mechanism):
    """Tell the noise of a difference of two runs and, for the last `told` kept trials, their gain in units of it."""

    domain = "signal detection"
    told = 6
    window = 200

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        floor = view.trace.noise.sd * math.sqrt(2)
        if not floor:
            return briefing
        lines = []
        for trial in reversed(view.trace[-self.window :]):
            gain = view.trace.gain_of(trial)
            if trial.number and trial.decision.keep and gain is not None and len(lines) < self.told:
                ratio = gain / floor
                word = "doubtful" if ratio < 2 else "clear"
                lines.append(f"trial {trial.number} ({', '.join(trial.changes)}): {ratio:.1f} times the noise, {word}")
        if not lines:
            return briefing
        text = f"two runs of one candidate differ by about {floor:.2g}\n" + "\n".join(lines)
        return briefing.with_block("noise", text, priority=3)
