"""Front: with several objectives, keep what nobody dominates, and start the next change from anywhere on the front.

Source: the elitist archive of non-dominated solutions of J. Knowles, D. Corne, "Approximating the Nondominated Front
Using the Pareto Archived Evolution Strategy", Evolutionary Computation 8(2), 2000, doi:10.1162/106365600568167.
"""

from bilevel.mechanism import Mechanism
from bilevel.pareto import aims, dominates, front, point_of, points_of, spreads
from bilevel.space import Candidate
from bilevel.trial import Decision, Trial
from bilevel.view import View


class Front(Mechanism):
    """Select the candidate of the front that had the fewest children, and keep a candidate that joins the front.

    It joins where it is better than its parent in some objective by more than the noise margin, and no measured
    candidate dominates it. What would be kept anyway stays kept. Every `best_every`-th trial starts from where the
    search stands, so that the primary objective keeps its share (0: never). Without further objectives it does nothing.
    """

    domain = "several objectives"
    best_every = 3

    def select(self, view: View, parent: Candidate) -> Candidate:
        objective, trace = view.objective, view.trace
        if not objective.also or objective.relative or (self.best_every and view.number % self.best_every == 0):
            return parent
        on_it = front(objective, spreads(trace, objective), points_of(trace, objective))
        if not on_it:
            return parent
        children: dict[str, int] = {}
        for child in (*trace, *view.pending):
            if child.number > 0:
                children[child.parent.id] = children.get(child.parent.id, 0) + 1
        fewest = min(on_it, key=lambda point: (children.get(point.trial.candidate.id, 0), -point.trial.number))
        return fewest.trial.candidate

    def decide(self, view: View, trial: Trial) -> Decision:
        objective, trace = view.objective, view.trace
        mine = point_of(trial, objective)
        if trial.decision.keep or not objective.also or objective.relative or mine is None:
            return trial.decision
        noise, others = spreads(trace, objective), points_of(trace, objective)
        parent = next((other for other in others if other.trial.candidate.id == trial.parent.id), None)
        if parent is None or any(dominates(objective, noise, other.values, mine.values) for other in others):
            return trial.decision
        better = [
            aim.name
            for aim, old, new, margin in zip(aims(objective), parent.values, mine.values, noise, strict=True)
            if aim.gain(old, new) > margin
        ]
        if not better:
            return trial.decision
        return Decision(True, f"on the front: better than its parent in {', '.join(better)}, and dominated by none")
