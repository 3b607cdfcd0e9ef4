"""A tabu list in the usual stateful style: a queue of moves with a tenure, kept by `remember`.

Source: F. Glover, "Tabu Search, Part I", ORSA Journal on Computing 1(3), 1989, doi:10.1287/ijoc.1.3.190.
"""

from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Candidate, Choice, Value
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class TabuList(Mechanism):
    """Always take the best neighbour that is not tabu: a parameter that was moved stays as it is for `tenure` trials.

    The aspiration rule: a neighbour that was measured and is better than all is no neighbour, as the search stands
    there already. The neighbours are one step away in one parameter; the parameter that helped most often goes first.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "tabu search"
    tenure = 4
    step = 0.15
    offers = 6

    def remember(self, memory: Any, trial: Trial) -> dict[str, Any]:
        """The queue of tabu parameters with the trial that moved them, and how often each one's moves were kept."""
        state = memory or {"queue": (), "kept": {}}
        queue = tuple((name, at) for name, at in state["queue"] if trial.number - at < self.tenure)
        queue += tuple((name, trial.number) for name in trial.changes)
        kept = dict(state["kept"])
        for name in trial.changes:
            kept[name] = kept.get(name, 0) + (1 if trial.decision.keep else -1)
        return {"queue": queue, "kept": kept}

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        state = view.memory or {"queue": (), "kept": {}}
        tabu = {name for name, at in state["queue"] if view.number - at <= self.tenure}
        free = [name for name in view.space.active if name not in tabu]
        free.sort(key=lambda name: -state["kept"].get(name, 0))
        moves = [parent.with_params(**{name: value}) for name in free for value in self._values(view, name, parent)]
        fresh = [move for move in moves if move.id != parent.id and view.trace.of(move.id) is None]
        why = f"the best neighbour that is not tabu (tabu: {', '.join(sorted(tabu)) or 'none'})"
        return (*(Proposal(move, why) for move in fresh[: self.offers]), *proposals)

    def _values(self, view: View, name: str, parent: Candidate) -> list[Value]:
        domain, old = view.space.domains[name], parent.params[name]
        if isinstance(domain, Choice | Bool):
            return list(domain.neighbours(old))
        aims = (domain.at(domain.unit(old) + sign * self.step) for sign in (1, -1))
        return [view.space.clip(name, old, aim) for aim in aims]
