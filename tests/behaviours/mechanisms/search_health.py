"""Search health: entropy, breadth and velocity of the last trials, each with a directive where it is low."""

import math
from collections import Counter

from bilevel.mechanism import Mechanism
from bilevel.view import Briefing, View


class SearchHealth(Mechanism):
    """Entropy: how evenly the last `window` trials changed different parameters (0 to 1). Breadth: how many parameters
    they changed. Velocity: the gain of the incumbent per trial."""

    domain = "diagnostics"
    window = 8

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        recent = [trial for trial in view.trace[-self.window :] if trial.number]
        counts = Counter(name for trial in recent for name in trial.changes)
        if len(recent) < 3 or not counts:
            return briefing
        total = counts.total()
        shares = [n / total for n in counts.values()]
        entropy = sum(share * math.log(1 / share) for share in shares) / math.log(max(len(view.space.active), 2))
        velocity = self._velocity(view, len(recent))
        lines = [f"entropy {entropy:.2f}, breadth {len(counts)}, velocity {velocity:.3g} per trial"]
        if entropy < 0.5:
            never = [name for name in view.space.active if name not in counts][:4]
            lines.append(
                f"You circle around {counts.most_common(1)[0][0]}; now change: {', '.join(never) or 'another'}."
            )
        if velocity <= 0:
            lines.append("Nothing moves: take larger steps.")
        return briefing.with_block("search health", "\n".join(lines), priority=4)

    def _velocity(self, view: View, trials: int) -> float:
        now, before = view.trace.incumbent, view.trace.upto(len(view.trace) - trials).incumbent
        if now is None or before is None or now.score is None or before.score is None or view.objective.relative:
            return 0.0
        return view.objective.gain(before.score, now.score) / trials
