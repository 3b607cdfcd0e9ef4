"""A bandit over operators: which parameter to move, in which direction, how far; credit goes to its own moves only.

Source: P. Auer, N. Cesa-Bianchi, P. Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", Machine Learning
47, 2002, doi:10.1023/A:1013689704352 (the policy UCB1).
"""

import math
import random
from typing import Any, ClassVar

from bilevel.codec import derive_seed
from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Candidate, Choice, Value
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class Bandit(Mechanism):
    """Propose the most promising move itself once `patience` trials in a row brought no improvement (0: always).

    An arm is (parameter, direction, step), the step being a share of the parameter's range; for choices and flags it is
    the option before or after. A pull is worth 1 if its trial was kept. `exploration` is the constant of UCB1.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "multi-armed bandit"
    patience = 3
    steps = (0.1, 0.3)
    exploration = 1.4
    offers = 4

    def remember(self, memory: Any, trial: Trial) -> dict[str, tuple[int, int]]:
        """Arm -> (pulls, successes)."""
        arms: dict[str, tuple[int, int]] = memory or {}
        arm = trial.proposal.notes.get("arm")
        if arm is None:
            return arms
        pulls, wins = arms.get(arm, (0, 0))
        return {**arms, arm: (pulls + 1, wins + int(trial.decision.keep))}

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if view.trace.since_improvement() < self.patience:
            return proposals
        arms = dict(view.memory or {})
        for pending in view.pending:
            arm = pending.proposal.notes.get("arm")
            if arm is not None:
                pulls, wins = arms.get(arm, (0, 0))
                arms[arm] = (pulls + 1, wins)
        moves = self._moves(view, parent)
        order = sorted(moves)
        random.Random(derive_seed(view.seed, "bandit")).shuffle(order)
        total = sum(pulls for pulls, _ in arms.values())
        order.sort(key=lambda arm: -self._bound(arms.get(arm, (0, 0)), total))
        mine = [self._proposal(parent, arm, moves[arm], arms.get(arm, (0, 0))) for arm in order]
        fresh = [proposal for proposal in mine if view.trace.of(proposal.candidate.id) is None]
        return (*fresh[: self.offers], *proposals)

    def _bound(self, arm: tuple[int, int], total: int) -> float:
        pulls, wins = arm
        if pulls == 0:
            return math.inf
        return wins / pulls + self.exploration * math.sqrt(math.log(max(total, 2)) / pulls)

    def _moves(self, view: View, parent: Candidate) -> dict[str, tuple[str, Value]]:
        """Every move that changes something: arm -> (parameter, new value)."""
        moves: dict[str, tuple[str, Value]] = {}
        for name in view.space.active:
            domain, old = view.space.domains[name], parent.params[name]
            if isinstance(domain, Choice | Bool):
                for value in domain.neighbours(old):
                    moves[f"{name} to {value}"] = (name, value)
                continue
            for step in self.steps:
                for sign, word in ((1, "up"), (-1, "down")):
                    unit = domain.unit(old) + sign * step
                    if -1e-9 <= unit <= 1 + 1e-9:
                        new = view.space.clip(name, old, domain.at(unit))
                        if new != old:
                            moves[f"{name} {word} {step:g}"] = (name, new)
        return moves

    def _proposal(self, parent: Candidate, arm: str, move: tuple[str, Value], seen: tuple[int, int]) -> Proposal:
        name, value = move
        why = f"bandit: {name} {parent.params[name]!r} -> {value!r} (this move was kept {seen[1]} of {seen[0]} times)"
        return Proposal(parent.with_params(**{name: value}), why, notes={"arm": arm})
