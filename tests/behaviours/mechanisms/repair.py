"""Repair: a draft that breaks a rule of the task is mended, and the rule is named."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Int
from bilevel.trial import Proposal
from bilevel.view import View


class Repair(Mechanism):
    """Powers of two are rounded (where the domain asks for one), the first of each pair in `divisible` to a multiple of
    the second, and the parameters of each group in `sums` scaled down to a sum of at most 1."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "constraint repair"
    divisible = (("width", "heads"),)
    sums = (("mix_a", "mix_b"),)

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        return tuple(self._repaired(view, parent, proposal) for proposal in proposals)

    def _repaired(self, view: View, parent: Candidate, proposal: Proposal) -> Proposal:
        candidate, rules = proposal.candidate, []
        if candidate.changes_from(parent).keys() - set(view.space.active):
            return proposal  # it changes what is locked or frozen, and cannot be mended
        for name, domain in view.space.domains.items():
            value = candidate.params.get(name)
            if isinstance(domain, Int) and domain.power_of_two and isinstance(value, int) and domain.check(value):
                candidate = candidate.with_params(**{name: domain.at(domain.unit(value))})
                rules.append(f"{name} must be a power of two")
        for name, by in self.divisible:
            value, divisor = candidate.params.get(name), candidate.params.get(by)
            if isinstance(value, int) and isinstance(divisor, int) and divisor > 0 and value % divisor:
                candidate = candidate.with_params(**{name: max(value // divisor, 1) * divisor})
                rules.append(f"{name} must be divisible by {by}")
        for group in self.sums:
            values = [candidate.params[name] for name in group if isinstance(candidate.params.get(name), float)]
            if len(values) == len(group) and sum(values) > 1:
                scaled = {name: round(value / sum(values) - 5e-7, 6) for name, value in zip(group, values, strict=True)}
                candidate = candidate.with_params(**scaled)
                rules.append(f"{' + '.join(group)} must be at most 1")
        if not rules:
            return proposal
        why = f"{proposal.why} (repaired: {'; '.join(rules)})"
        return Proposal(candidate, why, proposal.author, {**proposal.notes, "repaired": rules}, proposal.repeats)
