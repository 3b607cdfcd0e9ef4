"""Momentum over the values of a parameter."""

from bilevel.mechanism import Mechanism


class ValueMomentum(Mechanism):
    """Tell the direction in which each parameter moved when it helped."""

    domain = "momentum"

    def advise(self, view, briefing):
        lines = []
        for trial in view.trace:
            if trial.decision.keep:
                for name, change in trial.changes.items():
                    delta = change.new - change.old
                    lines.append(f"{name}: {delta:+}")
        return briefing.with_block("momentum", "\n".join(lines[-10:])) if lines else briefing
