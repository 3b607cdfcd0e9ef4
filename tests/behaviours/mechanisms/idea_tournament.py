"""An idea tournament: drafts meet in pairs, a model says who is stronger, and the best by Elo rating go on.

Source: A. E. Elo, "The Rating of Chessplayers, Past and Present", 1978; for research ideas J. Gottweis et al., "Towards
an AI co-scientist", 2025, arXiv:2502.18864.
"""

from itertools import combinations

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import View


class IdeaTournament(Mechanism):
    """Up to `matches` pairs are compared; the `best` drafts by rating stay, in that order, the others are dropped."""

    domain = "tournament"
    best = 2
    matches = 6
    k = 32.0

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if len(proposals) < 2:
            return proposals
        ratings = [1000.0] * len(proposals)
        for a, b in list(combinations(range(len(proposals)), 2))[: self.matches]:
            won = self._won(view, parent, proposals[a], proposals[b])
            expected = 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400))
            ratings[a] += self.k * (won - expected)
            ratings[b] -= self.k * (won - expected)
        order = sorted(range(len(proposals)), key=lambda place: -ratings[place])
        lost = [
            proposals[place].drop(f"rating {ratings[place]:.0f}, place {rank + 1} of the tournament")
            for rank, place in enumerate(order)
            if rank >= self.best
        ]
        return (*(proposals[place] for place in order[: self.best]), *lost)

    def _won(self, view: View, parent: Candidate, a: Proposal, b: Proposal) -> float:
        ideas = [f"{label}: {self._text(parent, idea)}" for label, idea in (("A", a), ("B", b))]
        question = f"{view.brief}\nWhich idea is stronger? Answer A or B.\n" + "\n".join(ideas)
        answer = view.ask(question, f"match {a.candidate.id} {b.candidate.id}").strip()
        return {"A": 1.0, "B": 0.0}.get(answer[:1], 0.5)

    def _text(self, parent: Candidate, proposal: Proposal) -> str:
        changes = proposal.candidate.changes_from(parent)
        return f"{', '.join(f'{name} = {change.new!r}' for name, change in changes.items())} ({proposal.why[:200]})"
