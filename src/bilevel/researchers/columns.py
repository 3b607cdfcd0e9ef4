"""A search space as rows of numbers, and the values next to a value: what a model of the scores needs of it."""

import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from bilevel.space import Bool, Choice, Domain, Int, Space, Value, same_value

Point: TypeAlias = tuple[Value, ...]  # one value for each of some parameters, in their order
FEW = 12  # so many values of a parameter are all looked at
STEPS = (0.05, 0.1, 0.2, 0.4)  # shares of a range, where there are more


class Columns:
    """Rows for points of some parameters of a space.

    Numbers, flags, and choices between ordered numbers are one column from 0 to 1. Words are a column per option, so
    that all of them are equally far apart. `owner` says which parameter a column belongs to.
    """

    def __init__(self, space: Space, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.domains = [space.domains[name] for name in names]
        widths = [len(_cells(domain, domain.at(0.0))) for domain in self.domains]
        self.owner = np.repeat(np.arange(len(widths)), widths)
        self._cells: dict[tuple[int, type, Value], list[float]] = {}

    def rows(self, points: Sequence[Point]) -> Any:
        """One row per point."""
        cells = [[cell for i, value in enumerate(point) for cell in self._cell(i, value)] for point in points]
        return np.array(cells, dtype=float).reshape(len(points), len(self.owner))

    def next_to(self, i: int, value: Value, rng: random.Random) -> list[Value]:
        """Other values of parameter `i`: all where there are few, else some at steps of its scale, or drawn."""
        domain = self.domains[i]
        found = _all(domain)
        if isinstance(domain, Choice) and len(found) > FEW:
            near = [*domain.neighbours(value)] if domain.check(value) is None else []
            found = [*near, *rng.sample(found, FEW - len(near))]
        if not found:
            here = self._cell(i, value)[0]
            found = list(dict.fromkeys(domain.at(here + sign * step) for step in STEPS for sign in (1, -1)))
        return [new for new in found if not same_value(new, value)]

    def _cell(self, i: int, value: Value) -> list[float]:
        key = (i, type(value), value)
        if key not in self._cells:
            self._cells[key] = _cells(self.domains[i], value)
        return self._cells[key]


def _cells(domain: Domain, value: Value) -> list[float]:
    """A value outside of its domain is no option, or in the middle of the scale."""
    if isinstance(domain, Choice) and _is_words(domain):
        return [same_value(option, value) / 2**0.5 for option in domain.options]
    return [domain.unit(value)] if domain.check(value) is None else [0.5]


def _is_words(domain: Domain) -> bool:
    """Whether a parameter's values have no order: anything but numbers that only rise or only fall."""
    if not isinstance(domain, Choice):
        return False
    numbers = [option for option in domain.options if isinstance(option, int | float) and not isinstance(option, bool)]
    return len(numbers) < len(domain.options) or numbers not in (sorted(numbers), sorted(numbers, reverse=True))


def _all(domain: Domain) -> list[Value]:
    """Every value of a parameter with few; of a choice always; otherwise none."""
    if isinstance(domain, Choice):
        return list(domain.options)
    if isinstance(domain, Bool):
        return [False, True]
    if not isinstance(domain, Int):
        return []
    if domain.power_of_two:
        powers = [1 << k for k in range((domain.low - 1).bit_length(), domain.high.bit_length())]
        return list(powers) if len(powers) <= FEW else []
    return list(range(domain.low, domain.high + 1)) if domain.high - domain.low < FEW else []
