"""A surrogate, where scikit-learn is there."""

from bilevel.mechanism import Mechanism

try:
    from sklearn.ensemble import RandomForestRegressor
except ImportError:
    RandomForestRegressor = None


class ForestSurrogate(Mechanism):
    """Rank the drafts by a random forest."""

    domain = "surrogate model"

    def propose(self, view, parent, proposals):
        known = [trial for trial in view.trace if trial.score is not None]
        if RandomForestRegressor is None or len(known) < 5:
            return proposals
        names = view.space.unlocked
        forest = RandomForestRegressor(n_estimators=10, random_state=0)
        units = [[view.space.domains[n].unit(t.candidate.params[n]) for n in names] for t in known]
        forest.fit(units, [trial.score for trial in known])
        drafts = [[view.space.domains[n].unit(p.candidate.params[n]) for n in names] for p in proposals]
        return [
            proposal for _, proposal in sorted(zip(forest.predict(drafts), proposals, strict=True), key=lambda x: x[0])
        ]
