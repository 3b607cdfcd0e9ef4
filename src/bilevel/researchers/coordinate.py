"""Coordinate search: one parameter at a time, to the values next to it.

Source: pattern search, R. Hooke, T. A. Jeeves, "Direct Search Solution of Numerical and Statistical Problems", Journal
of the ACM 8(2), 1961, doi:10.1145/321062.321069.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, islice

from bilevel.space import Bool, Candidate, Choice, Domain, Float, Space, Value
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

MOST_PAIRS = 2_000
LEAST = 0.002  # the smallest step that is worth a trial, a share of a parameter's range


@dataclass(frozen=True)
class Coordinate:
    """Half and double, or the next option, of one parameter after the other; goes on where the trace left off.

    Strategy "explore": two neighbours away first. "exploit": half-way to the neighbour on the parameter's scale (for
    logarithmic ones the geometric mean) first. When every single move is measured it goes finer, and then changes two
    parameters at once. It proposes nothing that was measured or turned back, and keeps to freezes and caps.
    """

    name: str = field(default="coordinate", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        known = {back.candidate for back in briefing.turned_back} | {parent.id}
        known |= {pending.proposal.candidate.id for pending in view.pending}
        found: list[Proposal] = []
        for changes in _moves(view, parent):
            candidate = parent.with_params(**changes)
            if candidate.id in known or view.trace.of(candidate.id) or view.space.problems(candidate, parent):
                continue
            known.add(candidate.id)
            found.append(Proposal(candidate, _why(parent, changes), self.name))
            if len(found) == max(view.settings.drafts, 1):
                break
        return found


def _moves(view: View, parent: Candidate) -> Iterator[dict[str, Value]]:
    """Every move in the order in which they are to be tried."""
    names, space = _from_last(view), view.space
    single = {
        scale: [{name: value} for name in names for value in _values(space, name, parent.params[name], scale)]
        for scale in ("near", "far", "fine")
    }
    order = {"explore": ("far", "near", "fine"), "exploit": ("fine", "near", "far")}
    yield from chain.from_iterable(
        single[scale] for scale in order.get(view.settings.strategy, ("near", "far", "fine"))
    )
    pairs = combinations(single["near"], 2)
    yield from (a | b for a, b in islice(pairs, MOST_PAIRS) if a.keys() != b.keys())


def _from_last(view: View) -> list[str]:
    """The active parameters in their order, beginning with the one that was changed last; preferred ones first."""
    names = [name for name in view.space.active if view.space.weights.get(name, 1.0) > 0]
    changed = next((list(trial.changes) for trial in view.trace.newest() if trial.changes), [])
    start = names.index(changed[0]) if changed and changed[0] in names else 0
    turned = names[start:] + names[:start]
    return sorted(turned, key=lambda name: -view.space.weights.get(name, 1.0))


def _values(space: Space, name: str, old: Value, scale: str) -> list[Value]:
    domain = space.domains[name]
    near = _near(domain, old)
    if scale == "far":
        near = [far for new in near for far in _near(domain, new) if far not in (old, *near)]
    if scale == "fine":
        if isinstance(domain, Choice | Bool):
            return []
        here = domain.unit(old)
        near = [domain.at(here + share * (domain.unit(new) - here)) for share in (0.5, 0.25, 0.125) for new in near]
    clipped = [space.clip(name, old, new) for new in near]
    return [new for new in dict.fromkeys(clipped) if space.step(name, old, new) >= LEAST]


def _near(domain: Domain, old: Value) -> list[Value]:
    """The neighbours, the larger one first. Where a scale goes through 0, halving would end there: a tenth of the range
    to either side comes first."""
    if domain.check(old) is not None:
        return []
    moves: list[Value] = []
    if isinstance(domain, Float) and domain.low < 0:
        moves = [domain.at(domain.unit(old) + 0.1), domain.at(domain.unit(old) - 0.1)]
    return [*moves, *domain.neighbours(old)[::-1]]


def _why(parent: Candidate, changes: dict[str, Value]) -> str:
    return "coordinate search: " + ", ".join(f"{n} {parent.params[n]!r} -> {v!r}" for n, v in changes.items())
