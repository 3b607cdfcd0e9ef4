"""A Pareto rule: memory and the size of the change count beside the score.

Source: K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002, doi:10.1109/4235.996017.
"""

from bilevel.mechanism import Mechanism
from bilevel.trial import Decision, Trial
from bilevel.view import View


class Pareto(Mechanism):
    """Keep a candidate if, and only if, no trial that was kept is at least as good in everything: the score, the
    metric `metric` (less is better; left out where a run does not report it), and what it changes of the baseline
    (parameters, then characters of files). A worse score is kept only within `slack` of the incumbent."""

    domain = "multi-objective search"
    metric = "memory"
    slack = 0.05
    window = 300

    def decide(self, view: View, trial: Trial) -> Decision:
        best = view.trace.incumbent
        if trial.score is None or best is None or best.score is None or view.objective.relative:
            return trial.decision
        if view.objective.gain(trial.score, best.score) > self.slack:
            return Decision(False, f"more than {self.slack:g} worse than the best (trial {best.number})")
        mine = self._costs(view, trial)
        for other in view.trace[-self.window :]:
            if other.decision.keep and other.score is not None:
                theirs = self._costs(view, other)
                if all(their <= my for their, my in zip(theirs, mine, strict=True)):
                    return Decision(False, f"trial {other.number} is at least as good in everything")
        return Decision(True, f"no kept trial is at least as good in score, {self.metric} and size")

    def _costs(self, view: View, trial: Trial) -> tuple[float, float, float, float]:
        """Less is better in each."""
        score = trial.score or 0.0
        metrics = (trial.runs[-1].metrics if trial.runs else None) or {}
        start = view.trace[0].candidate
        files = trial.candidate.files_changed_from(start)
        grown = sum(abs(len(trial.candidate.files.get(f, "")) - len(start.files.get(f, ""))) for f in files)
        changed = len(trial.candidate.changes_from(start))
        return score if view.objective.minimize else -score, metrics.get(self.metric, 0.0), changed, grown
