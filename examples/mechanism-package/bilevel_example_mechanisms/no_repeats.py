"""No repeats: a draft may not change a parameter that the last trial changed."""

from bilevel.mechanism import Mechanism


class NoRepeats(Mechanism):
    """Drop drafts that change what one of the last `span` trials changed."""

    domain = "tabu search"
    span = 1

    def propose(self, view, parent, proposals):
        last = {name for trial in view.trace[-self.span :] for name in trial.changes}
        return [
            p.drop("changed a short while ago") if last & set(p.candidate.changes_from(parent)) else p
            for p in proposals
        ]
