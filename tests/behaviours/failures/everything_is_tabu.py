"""Tabu search over parameter values."""

from bilevel.mechanism import Mechanism


class TabuValues(Mechanism):
    """Refuse a draft if any of its values was tried in the last 10 trials."""

    domain = "tabu search"
    tenure = 10

    def propose(self, view, parent, proposals):
        tabu = {(n, v) for trial in view.trace[-self.tenure :] for n, v in trial.candidate.params.items()}
        judged = []
        for proposal in proposals:
            hits = [name for name, value in proposal.candidate.params.items() if (name, value) in tabu]
            judged.append(proposal.drop(f"tabu: {', '.join(hits)}") if hits else proposal)
        return judged
