"""A foreign frame: when the search is fixed on one thing, the problem is told in the words of another field.

Source: the idea of breaking functional fixedness, K. Duncker, "On problem-solving", 1945, doi:10.1037/h0093599.
"""

from bilevel.mechanism import Mechanism
from bilevel.view import Briefing, View

FRAMES = {
    "scaling laws": "Ask which resource is the bottleneck: would twice of it help, and what pays for that?",
    "information bottleneck": "Ask where information is lost or kept without use.",
    "control theory": "Ask what oscillates, what is damped too much, and which gain sets it.",
    "ecology": "Ask which parts compete for the same resource, and which live off each other.",
}


class ForeignFrame(Mechanism):
    """Fixation: the last `window` trials changed at most `most` different parameters and none was kept."""

    domain = "analogy"
    window = 3
    most = 1

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        recent = [trial for trial in view.trace[-self.window :] if trial.number]
        touched = {name for trial in recent for name in trial.changes}
        if len(recent) < self.window or len(touched) > self.most or any(trial.decision.keep for trial in recent):
            return briefing
        name = view.rng("frame").choice(sorted(FRAMES))
        fixed = ", ".join(sorted(touched)) or "nothing"
        text = f"Look at the task as {name} would. {FRAMES[name]} The last {self.window} trials only changed {fixed}."
        return briefing.with_block("a foreign frame", text, priority=7)
