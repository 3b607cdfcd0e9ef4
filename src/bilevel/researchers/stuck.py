"""An imitation of a language model that is stuck: a few favourite changes, again and again, whatever was tried.

Modelled on the habit seen in published traces of model-driven searches (arXiv:2603.23420): few distinct changes, the
same one many times in a row, mostly raising the batch size. It is no model of any particular language model.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from bilevel.codec import derive_seed
from bilevel.space import Bool, Candidate, Choice, Derived, Float, Int, Space, Value
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

FAVOURITES = 14


@dataclass(frozen=True)
class Stuck:
    """Draws from a fixed list of at most 14 changes, in streaks, blind to the trace, to freezes and to advice.

    For `streak` trials it is set on one favourite and proposes it with probability `habit`; of the rest, early
    favourites come more often. Turned back, it moves on to another favourite with probability `moves_on` and insists
    otherwise. Being blind is the point: only a mechanism or the host can keep it from repeating itself.
    """

    streak: int = 8
    habit: float = 0.75
    moves_on: float = 0.5
    name: str = field(default="stuck", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        favourites = _favourites(view.space)
        if not favourites:
            return []
        rng = view.rng("stuck")
        index = self._index(view, rng, len(favourites))
        for _ in range(briefing.attempt):
            if rng.random() < self.moves_on:
                index = (index + 1) % len(favourites)
        name, factor = favourites[index]
        old = parent.params[name]
        new = _moved(view.space, name, old, factor)
        why = f"raising {name} usually helps" if factor > 1 else f"{name} should be smaller"
        return [Proposal(parent.with_params(**{name: new}), why, self.name)]

    def _index(self, view: View, rng: random.Random, count: int) -> int:
        phase = random.Random(derive_seed(view.seed, "stuck", view.number // self.streak))
        hot = min(int(phase.random() ** 2 * count), count - 1)
        if rng.random() < self.habit:
            return hot
        return min(int(rng.random() ** 1.5 * count), count - 1)


def _favourites(space: Space) -> list[tuple[str, float]]:
    """(parameter, factor), the dearest first: larger batches, higher rates, then more of everything, then less."""
    numbers = {n: d for n, d in space.domains.items() if not d.locked and isinstance(d, Float | Int)}
    batches = [n for n, d in numbers.items() if isinstance(d, Int) and d.power_of_two]
    rates = [n for n, d in numbers.items() if isinstance(d, Float) and d.log]
    sizes = [n for n in numbers if n not in batches and n not in rates]
    others = [n for n, d in space.domains.items() if not d.locked and isinstance(d, Choice | Bool)]
    up = [*batches[:1], *rates[:3], *sizes[:3], *batches[1:], *others[:2]]
    factors = [(name, 2.0) for name in up]
    factors += [(batch, 4.0) for batch in batches[:1]] + [(name, 1.5) for name in rates[:3]]
    factors += [(name, 0.5) for name in [*rates, *sizes, *batches]]
    return factors[:FAVOURITES]


def _moved(space: Space, name: str, old: Value, factor: float) -> Value:
    """The value times the factor, held within the bounds; for choices and flags the next one, in a circle."""
    domain = space.domains[name]
    if isinstance(domain, Choice):
        here = domain.options.index(old) if domain.check(old) is None else -1
        return domain.options[(here + 1) % len(domain.options)]
    if isinstance(domain, Bool | Derived) or isinstance(old, str | tuple):
        return not old
    if isinstance(domain, Int):
        if not (domain.log or domain.power_of_two):
            return min(max(old + (1 if factor > 1 else -1), domain.low), domain.high)
        new = int(old * factor)
        return new if domain.check(new) is None else domain.at(1.0 if factor > 1 else 0.0)
    return min(max(float(f"{old * factor:.6g}"), domain.low), domain.high)
