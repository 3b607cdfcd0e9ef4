"""Simpler: of two programs that are equal within the noise, the shorter one is kept.

Source: the simplicity criterion of program.md in A. Karpathy, "autoresearch", 2026, github.com/karpathy/autoresearch:
"removing something and getting equal or better results is a great outcome".
"""

from bilevel.mechanism import Mechanism
from bilevel.trial import Decision, Trial
from bilevel.view import View


class Simpler(Mechanism):
    """Keep a candidate that is within the noise margin of its parent and whose code is at least `least` characters
    shorter, though it would be discarded.

    It must be within the margin of the incumbent too, so that many small losses do not add up. The lengths are those
    that the task's runs record (`program_characters`: without comments, blank space and the values of parameters);
    else those of the candidate's files, where its parent holds the same ones. Other parameters are never simpler.
    """

    domain = "parsimony"
    least = 20

    def decide(self, view: View, trial: Trial) -> Decision:
        parent, best = view.trace.of(trial.parent.id), view.trace.incumbent
        if trial.decision.keep or trial.score is None or view.objective.relative or parent is None or best is None:
            return trial.decision
        if parent.score is None or best.score is None:
            return trial.decision
        margin, saved = view.trace.noise.margin, _saved(parent, trial)
        worse = max(view.objective.gain(trial.score, score) for score in (parent.score, best.score))
        if worse > margin or saved < self.least:
            return trial.decision
        equal = f"equal to its parent (trial {parent.number}) within the noise margin of {margin:.2g}"
        return Decision(True, f"{equal}, and simpler: its code is {saved} characters shorter")


def _saved(parent: Trial, trial: Trial) -> int:
    """How many characters a trial's code is shorter than its parent's; 0 where nobody knows."""
    old, new = _recorded(parent), _recorded(trial)
    if old is not None and new is not None:
        return old - new
    before, after = trial.parent.files, trial.candidate.files
    changed = trial.candidate.files_changed_from(trial.parent)
    if any(path not in before or path not in after for path in changed):
        return 0
    return sum(len(before[path]) - len(after[path]) for path in changed)


def _recorded(trial: Trial) -> int | None:
    found = trial.runs[-1].data.get("program_characters") if trial.runs else None
    return found if isinstance(found, int) else None
