"""Step sizes on a logarithmic scale."""

import math

from bilevel.mechanism import Mechanism


class LogSteps(Mechanism):
    """Tell by how many octaves numbers were moved."""

    domain = "step sizes"

    def advise(self, view, briefing):
        octaves = []
        for trial in view.trace[-20:]:
            for change in trial.changes.values():
                if isinstance(change.new, int | float) and isinstance(change.old, int | float):
                    octaves.append(math.log2(abs(change.new) / abs(change.old)))
        return briefing.with_block("octaves", f"steps so far: {octaves}") if octaves else briefing
