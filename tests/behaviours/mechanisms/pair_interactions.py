"""Pair interactions: where two changes together gave more, or less, than the sum of each alone."""

from bilevel.mechanism import Mechanism
from bilevel.space import Value
from bilevel.view import Briefing, View


class PairInteractions(Mechanism):
    """Compare each trial that changed two parameters with the trials that set one of them to the same value; what is
    beyond the noise margin (at least `least`) is told as synergy or antagonism."""

    domain = "interaction effects"
    least = 0.001
    window = 200

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        alone: dict[tuple[str, Value], float] = {}
        together = []
        for trial in view.trace[-self.window :]:
            gain = view.trace.gain_of(trial)
            if gain is None:
                continue
            parts = [(name, change.new) for name, change in trial.changes.items()]
            if len(parts) == 1:
                alone[parts[0]] = gain
            elif len(parts) == 2:
                together.append((trial.number, parts, gain))
        margin = max(view.trace.noise.margin, self.least)
        lines = []
        for number, (a, b), gain in together:
            if a in alone and b in alone:
                beyond = gain - alone[a] - alone[b]
                word = "synergy" if beyond > margin else "antagonism" if beyond < -margin else ""
                if word:
                    lines.append(f"{word} of {a[0]} and {b[0]} (trial {number}): {beyond:+.4g} beyond the sum of both")
        return briefing.with_block("interactions", "\n".join(lines[-8:]), priority=3) if lines else briefing
