"""Elites with roles: on a plateau the next change starts from the best, the leanest or the most different candidate.

Source: the archive of good and different solutions of J.-B. Mouret, J. Clune, "Illuminating search spaces by mapping
elites", 2015, arXiv:1504.04909; choosing by novelty from J. Lehman, K. O. Stanley, "Abandoning Objectives: Evolution
Through the Search for Novelty Alone", Evolutionary Computation 19(2), 2011, doi:10.1162/EVCO_a_00025.
"""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Trial
from bilevel.view import View


class Elite(Mechanism):
    """Select a parent among three elites once `patience` trials in a row brought no improvement.

    Of the `size` best candidates of the trace these are the best one, the lean one (fewest parameters and files away
    from the baseline) and the diverse one (farthest from the best), all different and within `tolerance` of the way
    back from the best score to the baseline's. The elite with the greatest sum is taken: productivity (which share of
    its children was kept), novelty (how few children it had) and coverage (which share of the parameters its children
    left alone), weighted by `weights`. Where scores are relative they cannot be compared, and the parent stays.
    """

    domain = "quality diversity"
    patience = 4
    size = 8
    tolerance = 0.5
    weights = (1.0, 0.5, 0.5)

    def remember(self, memory: Any, trial: Trial) -> dict[str, Any]:
        """The lowest and highest scores (which is best, the objective says), and for those candidates by id: (children,
        kept ones, names that they changed)."""
        old = memory or {"low": (), "high": (), "children": {}}
        low, high, children = old["low"], old["high"], dict(old["children"])
        parent = trial.parent.id
        if parent in children and trial.runs and trial.candidate.id != parent:
            count, kept, names = children[parent]
            children[parent] = (count + 1, kept + trial.decision.keep, names | trial.changes.keys())
        entry = (trial.score, trial.number, trial.candidate.id)
        if trial.score is not None and trial.candidate.id not in children:
            low, high = tuple(sorted((*low, entry))[: self.size]), tuple(sorted((*high, entry))[-self.size :])
            children[trial.candidate.id] = (0, 0, frozenset())
        ids = {id_ for _, _, id_ in (*low, *high)}
        return {"low": low, "high": high, "children": {id_: found for id_, found in children.items() if id_ in ids}}

    def select(self, view: View, parent: Candidate) -> Candidate:
        if view.memory is None or view.objective.relative or view.trace.since_improvement() < self.patience:
            return parent
        ranked = view.memory["low"] if view.objective.minimize else view.memory["high"][::-1]
        elites = self._elites(view, [view.trace[number] for _, number, _ in ranked])
        if len(elites) < 2:
            return parent
        return max(elites, key=lambda trial: self._promise(view, trial)).candidate

    def _elites(self, view: View, ranked: list[Trial]) -> list[Trial]:
        """The best, the lean and the diverse one, without repeats; the best comes first."""
        baseline, best = view.trace.baseline, view.trace.incumbent
        if not ranked or baseline is None or best is None:
            return ranked[:1]
        reach = self.tolerance * _behind(view, baseline, best) + view.trace.noise.margin
        good = [t for t in ranked if _behind(view, t, best) <= reach and t.candidate.id != best.candidate.id]
        if not good:
            return [best]
        lean = min(good, key=lambda t: (self._weight(t.candidate, baseline.candidate), t.number))
        diverse = max(good, key=lambda t: (self._apart(view, t.candidate, best.candidate), -t.number))
        return [best, lean] if diverse.number == lean.number else [best, lean, diverse]

    def _weight(self, candidate: Candidate, baseline: Candidate) -> int:
        return len(candidate.changes_from(baseline)) + len(candidate.files_changed_from(baseline))

    def _apart(self, view: View, a: Candidate, b: Candidate) -> float:
        return sum(view.space.step(name, a.params[name], b.params[name]) for name in view.space.domains)

    def _promise(self, view: View, trial: Trial) -> tuple[float, int]:
        count, kept, names = view.memory["children"].get(trial.candidate.id, (0, 0, frozenset()))
        flying = sum(pending.parent.id == trial.candidate.id for pending in view.pending)
        active = view.space.active
        parts = (
            (kept + 1) / (count + 2),
            1 / (1 + count + flying),
            sum(name not in names for name in active) / max(len(active), 1),
        )
        return sum(weight * part for weight, part in zip(self.weights, parts, strict=False)), -trial.number


def _behind(view: View, trial: Trial, best: Trial) -> float:
    """By how much a trial's score is worse than the best one; 0 where one has none."""
    return 0.0 if trial.score is None or best.score is None else view.objective.gain(trial.score, best.score)
