"""A tabu list that is told of each trial."""

from bilevel.mechanism import Mechanism


class TabuCallbacks(Mechanism):
    """Remember each trial's configuration and filter the next ones."""

    domain = "tabu search"

    def on_trial_end(self, view, trial):
        self.tabu = [*getattr(self, "tabu", []), trial.candidate.id]

    def filter_proposals(self, view, proposals):
        return [proposal for proposal in proposals if proposal.candidate.id not in self.tabu]
