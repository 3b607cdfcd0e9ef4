"""Roughness: how often the score turns round along each parameter.

Source: the idea of a fitness landscape's ruggedness, E. Weinberger, "Correlated and uncorrelated fitness landscapes and
how to tell the difference", 1990, doi:10.1007/BF00202749.
"""

from itertools import pairwise
from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.view import Briefing, View


class Roughness(Mechanism):
    """A parameter with at least `least` single changes is called rough where the score turns round at more than half
    of the inner points, smooth where it does so at one at most."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "landscape analysis"
    least = 4
    window = 200

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        points: dict[str, dict[float, float]] = {}
        for trial in view.trace[-self.window :]:
            gain = view.trace.gain_of(trial)
            if gain is not None and len(trial.changes) == 1:
                ((name, change),) = trial.changes.items()
                along = points.setdefault(name, {view.space.domains[name].unit(change.old): 0.0})
                along[view.space.domains[name].unit(change.new)] = gain
        lines = []
        for name, along in points.items():
            if len(along) > self.least:
                turns = self._turns([gain for _, gain in sorted(along.items())])
                word = "rough" if turns > (len(along) - 2) / 2 else "smooth" if turns <= 1 else "mixed"
                lines.append(f"{name} is {word}: the score turns round {turns} times in {len(along)} points")
        return briefing.with_block("roughness", "\n".join(lines), priority=1) if lines else briefing

    def _turns(self, gains: list[float]) -> int:
        steps = [b - a for a, b in pairwise(gains) if b != a]
        return sum(a * b < 0 for a, b in pairwise(steps))
