"""Plateau: when nothing is found any more, name what was tried in vain and what was not; later freeze the former.

Source: the diversification of reactive search, which reacts to a search that goes round in its own recent attributes:
R. Battiti, G. Tecchiolli, "The Reactive Tabu Search", ORSA Journal on Computing 6(2), 1994, doi:10.1287/ijoc.6.2.126.
"""

from typing import Any, TypeAlias

from bilevel.mechanism import Mechanism
from bilevel.space import Space
from bilevel.trial import Trial
from bilevel.view import Briefing, View

Memory: TypeAlias = tuple[int, dict[str, int], dict[str, int]]
NOTHING: Memory = (0, {}, {})


class Plateau(Mechanism):
    """After `patience` trials in a row that were not kept tell which parameters were changed in vain, and which not at
    all; after `further` more freeze the former for `rest` trials, then free them for `rest`, and so on.

    A parameter is stuck if at least `times` of those trials changed it. At most `most` of them are frozen, the most
    often changed first, and `least_active` parameters stay free.
    """

    domain = "reactive search"
    patience = 5
    further = 4
    rest = 4
    times = 2
    most = 3
    least_active = 2

    def remember(self, memory: Any, trial: Trial) -> Memory:
        """(trials since the last kept one, how often each parameter was changed among them, when it last was)."""
        misses, counts, newest = memory or NOTHING
        newest = {**newest, **dict.fromkeys(trial.changes, trial.number)}
        if trial.decision.keep:
            return 0, {}, newest
        return misses + 1, {**counts, **{name: counts.get(name, 0) + 1 for name in trial.changes}}, newest

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        misses, _, newest = view.memory or NOTHING
        stuck = self._stuck(view, view.space)
        others = sorted((n for n in view.space.active if n not in stuck), key=lambda name: newest.get(name, -1))
        if misses < self.patience or not stuck or not others:
            return briefing
        said = ", ".join(f"{name} ({times} times)" for name, times in stuck.items())
        fresh = [f"{name} (never)" if name not in newest else f"{name} (trial {newest[name]})" for name in others[:6]]
        text = (
            f"{misses} trials in a row brought nothing. Changed in vain: {said}. Leave these alone and change others, "
            f"those left alone longest first: {', '.join(fresh)}."
        )
        return briefing.with_block("plateau", text[:4000], priority=4)

    def constrain(self, view: View, space: Space) -> Space:
        misses = (view.memory or NOTHING)[0] - self.patience - self.further
        if misses < 0 or misses % (2 * self.rest) >= self.rest:
            return space
        stuck = list(self._stuck(view, space))[: max(min(self.most, len(space.active) - self.least_active), 0)]
        return space.freeze(stuck, f"a plateau ({self.times} or more changes in vain)") if stuck else space

    def _stuck(self, view: View, space: Space) -> dict[str, int]:
        """How often each parameter was changed in vain, the most often first; only those that may be changed now."""
        counts = (view.memory or NOTHING)[1]
        names = [name for name in space.active if counts.get(name, 0) >= self.times]
        return {name: counts[name] for name in sorted(names, key=lambda name: -counts[name])}
