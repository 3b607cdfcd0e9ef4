"""Crossover of two elites: numbers between or just beyond theirs, categories from one of them; and transplants.

Source: L. J. Eshelman, J. D. Schaffer, "Real-Coded Genetic Algorithms and Interval-Schemata", Foundations of Genetic
Algorithms 2, 1993, doi:10.1016/B978-0-08-094832-4.50018-0 (the operator BLX); the transplant of what belongs
together from D. Thierens, P. A. N. Bosman, "Optimal Mixing Evolutionary Algorithms", 2011, doi:10.1145/2001576.2001661.
"""

import random
from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Candidate, Choice, Space, Value, same_value
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class Crossover(Mechanism):
    """Every `every` trials, once `patience` in a row brought no improvement (0: always), put children of two elites
    before the drafts; elites are the `elites` best candidates.

    A child has each number on the line between its elites' on the unit scale, or beyond it by up to `stretch` of their
    distance, and each category from one of them; two elites that differ in fewer than two parameters make no pair. With
    probability `transplant` it is the parent with one whole group of parameters that were changed together in a kept
    trial.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "evolutionary computation"
    every = 2
    patience = 3
    elites = 6
    stretch = 0.25
    transplant = 0.3
    offers = 4

    def remember(self, memory: Any, trial: Trial) -> dict[str, tuple[Any, ...]]:
        """The lowest and the highest scores with the trials' numbers (which is best, the objective says), and the
        newest joint changes that were kept."""
        old = memory or {"low": (), "high": (), "groups": ()}
        if trial.score is None:
            return old
        groups = old["groups"]
        if trial.decision.keep and len(trial.changes) > 1:
            groups = (*groups, trial.number)[-self.elites :]
        entry = (trial.score, trial.number)
        low = old["low"] if trial.proposal.repeats else tuple(sorted((*old["low"], entry))[: self.elites])
        high = old["high"] if trial.proposal.repeats else tuple(sorted((*old["high"], entry))[-self.elites :])
        return {"low": low, "high": high, "groups": groups}

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        memory = view.memory
        due = view.number % self.every == 0 and view.trace.since_improvement() >= self.patience
        if memory is None or not due or not view.space.active or view.objective.relative:
            return proposals
        ranked = memory["low"] if view.objective.minimize else memory["high"][::-1]
        elites = [view.trace[number] for _, number in ranked]
        groups = [view.trace[number] for number in memory["groups"]]
        known = {parent.id, *(pending.proposal.candidate.id for pending in view.pending)}
        rng, children = view.rng("crossover"), list[Proposal]()
        for _ in range(6 * self.offers):
            child = self._child(view.space, rng, parent, elites, groups)
            if child is None or child.candidate.id in known or view.trace.of(child.candidate.id) is not None:
                continue
            known.add(child.candidate.id)
            children.append(child)
            if len(children) == self.offers:
                break
        return (*children, *proposals)

    def _child(
        self, space: Space, rng: random.Random, parent: Candidate, elites: list[Trial], groups: list[Trial]
    ) -> Proposal | None:
        """One attempt at a child, or None where no pair or group was found."""
        if groups and (len(elites) < 2 or rng.random() < self.transplant):
            donor = rng.choice(groups)
            changes = {name: change.new for name, change in donor.changes.items() if name in space.active}
            why = f"transplant of {', '.join(changes)}, which trial {donor.number} changed together"
            return Proposal(_with(space, parent, changes), why, notes={"transplant": donor.number})
        pairs = [elites[int(len(elites) * rng.random() ** 2)], rng.choice(elites)] if elites else []
        if len(pairs) < 2:
            return None
        mother, father = pairs
        if sum(_differ(mother, father, name) for name in space.active) < 2:
            return None
        values = {name: self._mixed(space, rng, name, mother, father) for name in space.active}
        why = f"crossover of trials {mother.number} and {father.number}"
        return Proposal(_with(space, parent, values), why, notes={"crossover": [mother.number, father.number]})

    def _mixed(self, space: Space, rng: random.Random, name: str, mother: Trial, father: Trial) -> Value:
        domain, a, b = space.domains[name], mother.candidate.params[name], father.candidate.params[name]
        share = rng.uniform(-self.stretch, 1 + self.stretch)
        if same_value(a, b) or isinstance(domain, Choice | Bool):
            return a if share < 0.5 else b
        return domain.at(min(max(domain.unit(a) + share * (domain.unit(b) - domain.unit(a)), 0.0), 1.0))


def _differ(a: Trial, b: Trial, name: str) -> bool:
    return not same_value(a.candidate.params[name], b.candidate.params[name])


def _with(space: Space, parent: Candidate, values: dict[str, Value]) -> Candidate:
    """The parent with other values, as the space admits them."""
    changed = {name: value for name, value in values.items() if not same_value(parent.params[name], value)}
    return parent.with_params(**{name: space.clip(name, parent.params[name], new) for name, new in changed.items()})
