"""What the best candidates have in common: parameters that rise and fall together among them."""

import statistics
from itertools import combinations
from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Float, Int
from bilevel.view import Briefing, View


class EliteCorrelations(Mechanism):
    """Correlate the numbers among the best quarter of the last `window` trials (at least `least` of them); pairs with a
    correlation of `strong` or more are told."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "estimation of distribution"
    window = 200
    least = 4
    strong = 0.7

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        scored = [trial for trial in view.trace[-self.window :] if trial.score is not None]
        scored.sort(key=lambda trial: trial.score or 0.0, reverse=not view.objective.minimize)
        elites = scored[: max(len(scored) // 4, self.least)]
        if len(elites) < self.least or len(scored) <= self.least:
            return briefing
        units = {
            name: [domain.unit(trial.candidate.params[name]) for trial in elites]
            for name, domain in view.space.domains.items()
            if isinstance(domain, Float | Int) and not domain.locked
        }
        moving = [name for name, values in units.items() if len(set(values)) > 1]
        lines = []
        for a, b in combinations(moving, 2):
            r = statistics.correlation(units[a], units[b])
            if abs(r) >= self.strong:
                lines.append(f"if {a} goes up, {b} goes {'up' if r > 0 else 'down'} (correlation {r:+.2f})")
        text = f"among the {len(elites)} best:\n" + "\n".join(lines[:8])
        return briefing.with_block("elites", text, priority=2) if lines else briefing
