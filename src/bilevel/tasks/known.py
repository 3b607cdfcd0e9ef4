"""Tasks of which more is known than a search sees: values without noise, the best there is, where it may start."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bilevel.codec import derive_seed
from bilevel.errors import InputError
from bilevel.space import Candidate, Space, Value
from bilevel.tasks.function import FunctionTask
from bilevel.tasks.sphere import Optimum

Params: TypeAlias = Mapping[str, Value]
STARTS = ("poor", "random")
POOR = 0.8  # the share of configurations that are better than the poor default
DRAWS = 2001  # how many random candidates the quantiles of a function are taken from


@dataclass(frozen=True)
class KnownTask(FunctionTask):
    """A function task that knows its value without noise; no researcher or mechanism is shown any of this.

    `truth` gives that value for parameters, None for those that fail. `best` is the optimum; `typical` the median of
    `truth` over the space: a regret divided by `typical` minus the optimum is 0 at the best and 1 at a middling
    candidate. `random_start`: the baseline is drawn by a run's seed instead of being the poor default.
    """

    truth: Callable[[Params], float | None] = field(default=lambda params: None)
    best: Optimum = Optimum(Candidate(), 0.0)
    typical: float = 1.0
    random_start: bool = False

    def optimum(self) -> Optimum:
        """The best candidate and its value without noise."""
        return self.best

    def from_seed(self, seed: int) -> "KnownTask":
        """The task as a run with this seed starts it: with the drawn baseline if `random_start`, otherwise itself."""
        if not self.random_start:
            return self
        rng = random.Random(derive_seed(seed, "start", self.name))
        return replace(self, start=drawn(self.space, rng, self.truth), random_start=False)

    def regret(self, params: Params) -> float:
        """How far a candidate is from the best: 0 there, 1 at the median of the space, more beyond it.

        Raises InputError for a candidate that fails.
        """
        value = self.truth(params)
        if value is None:
            raise InputError(f"task {self.name!r}: {dict(params)!r} fails, so it has no regret")
        gain = self.objective.gain
        return gain(value, self.best.value) / gain(self.typical, self.best.value)


def drawn(space: Space, rng: random.Random, truth: Callable[[Params], float | None]) -> Candidate:
    """A candidate drawn uniformly on the unit scale of each parameter, among those that do not fail."""
    while True:
        candidate = Candidate({name: domain.at(rng.random()) for name, domain in space.domains.items()})
        if truth(candidate.params) is not None:
            return candidate


@dataclass(frozen=True)
class Quantiles:
    """A candidate at the poor quantile of a function's values (small is good), and the median of the values."""

    poor: Candidate
    typical: float


def quantiles(space: Space, truth: Callable[[Params], float | None], name: str) -> Quantiles:
    """Both from the same 2,001 random candidates each time."""
    rng = random.Random(derive_seed("quantiles", name))
    found = []
    for _ in range(DRAWS):
        candidate = drawn(space, rng, truth)
        found.append((truth(candidate.params), candidate.id, candidate))
    found.sort(key=lambda item: item[:2])
    typical = found[DRAWS // 2][0]
    assert typical is not None
    return Quantiles(found[int(POOR * DRAWS)][2], typical)


def check_start(family: str, start: str) -> bool:
    """Whether the start is a random one. Raises InputError for a start that there is not."""
    if start not in STARTS:
        raise InputError(f"task {family!r} starts at: {', '.join(STARTS)}; there is no start {start!r}")
    return start == "random"


def check_name(family: str, name: str, names: Mapping[str, object]) -> None:
    """Raises InputError, with what there is, for a task that a family does not have."""
    if name not in names:
        said = f"there is no task '{family}:{name}'" if name else f"task {family!r} needs a name"
        raise InputError(f"{said}; write {family}:NAME with one of: {', '.join(names)}")
