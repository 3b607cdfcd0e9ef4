"""Tabu search by similarity."""

from bilevel.mechanism import Mechanism


class TabuSimilarity(Mechanism):
    """Refuse a draft that shares most of its values with a recent trial."""

    domain = "tabu search"
    tenure = 8
    share = 0.6

    def remember(self, memory, trial):
        return (*(memory or ()), dict(trial.candidate.params))[-self.tenure :]

    def propose(self, view, parent, proposals):
        return [
            proposal.drop("too similar to a recent configuration") if self._near(proposal, view.memory) else proposal
            for proposal in proposals
        ]

    def _near(self, proposal, recent):
        params = proposal.candidate.params
        for old in recent or ():
            same = sum(old.get(name) == value for name, value in params.items())
            if same / max(len(params), 1) >= self.share:
                return True
        return False
