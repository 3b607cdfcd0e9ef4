"""Synthetic landscapes with a known optimum, one difficulty each; an evaluation costs microseconds.

They differ from `sphere`, where each parameter can be improved by itself.
"""

import inspect
import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bilevel.codec import canonical, derive_seed
from bilevel.errors import InputError
from bilevel.objective import Objective
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space, Value
from bilevel.tasks.known import KnownTask, Params, check_name, check_start, quantiles
from bilevel.tasks.sphere import Optimum

BLOCK = 4  # bits of one trap
STEPS = 5  # levels of the staircase per parameter
SHAPES = ("cross", "line", "ring", "square", "star")
BATCHES, ROWS = (64, 8192), (1, 256)


@dataclass(frozen=True)
class Landscape(ABC):
    """The function: parameters and seed to the loss, 0 at the optimum; `noise` is its sd between seeds, in the loss.

    Equal arguments give equal values.
    """

    dimensions: int
    noise: float
    text: ClassVar[str]
    least: ClassVar[int] = 2

    @abstractmethod
    def domains(self) -> dict[str, Domain]: ...

    @abstractmethod
    def loss(self, params: Params) -> float:
        """The loss without noise. Raises where the candidate fails."""
        ...

    @abstractmethod
    def best(self) -> Candidate: ...

    def __call__(self, params: Params, seed: int) -> float:
        loss = self.loss(params)
        if self.noise:
            loss += random.Random(derive_seed("landscape", canonical(params), seed)).gauss(0.0, self.noise)
        return loss

    def truth(self, params: Params) -> float | None:
        try:
            return self.loss(params)
        except ValueError:
            return None

    def start(self) -> Candidate | None:
        """The poor default, where it is not the poor quantile."""
        return None

    def names(self) -> list[str]:
        return [f"x{i}" for i in range(self.dimensions)]


class Rastrigin(Landscape):
    """L. A. Rastrigin 1974, as in H. Mühlenbein et al., Parallel Computing 17, 1991: many local optima on a bowl."""

    text = "many local optima on a bowl"
    least = 1

    def domains(self) -> dict[str, Domain]:
        return {name: Float(-5.12, 5.12) for name in self.names()}

    def best(self) -> Candidate:
        """Away from the middle, where a search would look first."""
        return Candidate({name: (-1.5, 2.25, 3.0)[i % 3] for i, name in enumerate(self.names())})

    def loss(self, params: Params) -> float:
        best, total = self.best().params, 0.0
        for name in self.names():
            away = _number(params[name]) - _number(best[name])
            total += away * away - 10 * math.cos(2 * math.pi * away) + 10
        return total / self.dimensions


class Interaction(Landscape):
    """H. H. Rosenbrock 1960, doi:10.1093/comjnl/3.3.175: a bent valley, in which one parameter alone gains little."""

    text = "a bent valley, where one parameter alone gains little"

    def domains(self) -> dict[str, Domain]:
        return {name: Float(-2.0, 2.0) for name in self.names()}

    def best(self) -> Candidate:
        return Candidate(dict.fromkeys(self.names(), 1.0))

    def loss(self, params: Params) -> float:
        x = [_number(params[name]) for name in self.names()]
        parts = (100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))
        return math.log1p(sum(parts)) / 4


class Trap(Landscape):
    """Traps of four switches: each block gets better the more are off, and is best when all are on.

    K. Deb, D. E. Goldberg, "Analyzing Deception in Trap Functions", Foundations of Genetic Algorithms 2, 1993.
    """

    text = "blocks of four switches that lead away from their best setting"
    least = BLOCK

    def domains(self) -> dict[str, Domain]:
        return {name: Bool() for name in self.names()}

    def best(self) -> Candidate:
        return Candidate(dict.fromkeys(self.names(), True))

    def loss(self, params: Params) -> float:
        names, total = self.names(), 0.0
        blocks = [names[i : i + BLOCK] for i in range(0, len(names), BLOCK)]
        for block in blocks:
            on = sum(params[name] is True for name in block)
            total += 0.0 if on == len(block) else (1 + on) / (1 + len(block))
        return total / len(blocks)


class Plateau(Landscape):
    """A staircase: small changes do nothing; one choice hides the lower half of it."""

    text = "a staircase, where small changes do nothing"

    def domains(self) -> dict[str, Domain]:
        numbers: dict[str, Domain] = {
            name: Float(1e-4, 1.0, log=True) if i % 2 else Int(0, 100) for i, name in enumerate(self.names())
        }
        return {**numbers, "shape": Choice(SHAPES)}

    def best(self) -> Candidate:
        domains = self.domains()
        return Candidate({**{name: domains[name].at(0.3) for name in self.names()}, "shape": "ring"})

    def loss(self, params: Params) -> float:
        domains, best = self.domains(), self.best().params
        away = sum(abs(domains[n].unit(params[n]) - domains[n].unit(best[n])) for n in self.names()) / self.dimensions
        steps = math.floor(away * STEPS * 2) / (STEPS * 2)
        return steps if params["shape"] == best["shape"] else max(steps, 0.3) + 0.1


class Cliff(Landscape):
    """Lowering `batch` alone fails and lowering `rows` alone costs; lowered together they gain most.

    The cliff of the task `gpt`, where TOTAL_BATCH_SIZE must be a multiple of DEVICE_BATCH_SIZE * 128.
    """

    text = "a large gain behind a cliff: two parameters that must change together"

    def domains(self) -> dict[str, Domain]:
        own: dict[str, Domain] = {"batch": Int(*BATCHES, power_of_two=True), "rows": Int(*ROWS, power_of_two=True)}
        return {**own, **{name: Float(1e-4, 1.0, log=True) for name in self.names()}}

    def best(self) -> Candidate:
        domains = self.domains()
        return Candidate({"batch": 512, "rows": 16, **{name: domains[name].at(0.35) for name in self.names()}})

    def start(self) -> Candidate:
        """At the edge of the cliff."""
        domains = self.domains()
        return Candidate({"batch": 8192, "rows": 256, **{name: domains[name].at(0.8) for name in self.names()}})

    def loss(self, params: Params) -> float:
        batch, rows, domains, best = params["batch"], params["rows"], self.domains(), self.best().params
        assert isinstance(batch, int) and isinstance(rows, int)
        if batch % (rows * 32):
            raise ValueError(f"batch ({batch}) must be a multiple of 32 * rows ({rows})")
        rest = sum((domains[n].unit(params[n]) - domains[n].unit(best[n])) ** 2 for n in self.names())
        far = abs(math.log2(batch / 512)) / 4
        return far + 0.1 * abs(math.log2(rows / 16)) / 4 + rest / self.dimensions


KINDS: Mapping[str, type[Landscape]] = {
    "rastrigin": Rastrigin,
    "interaction": Interaction,
    "trap": Trap,
    "plateau": Plateau,
    "cliff": Cliff,
}


def landscape(kind: str = "", dimensions: int | None = None, noise: float = 0.01, start: str = "poor") -> KnownTask:
    """A landscape as a task; without `dimensions` it has 5 of them, the trap 12.

    `start`: the poor default (what 80 % of 2,001 random candidates are better than; the cliff's is at its edge) or
    `random`, drawn by the run's seed. Raises InputError for other values.
    """
    check_name("landscape", kind, KINDS)
    random_start = check_start("landscape", start)
    cls = KINDS[kind]
    if dimensions is None:
        dimensions = 3 * BLOCK if cls is Trap else 5
    if not cls.least <= dimensions <= 100 or (cls is Trap and dimensions % BLOCK):
        wanted = f"a multiple of {BLOCK}" if cls is Trap else f"from {cls.least}"
        raise InputError(f"landscape:{kind} needs {wanted} to 100 dimensions, not {dimensions!r}")
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(f"a landscape's noise is a standard deviation, a finite number of at least 0, not {noise!r}")
    function = cls(dimensions, noise)
    space, best = Space(function.domains()), function.best()
    found = quantiles(space, function.truth, f"{kind} {dimensions}")
    return KnownTask(
        name=f"landscape:{kind}",
        function=function,
        space=space,
        start=function.start() or found.poor,
        objective=Objective("loss"),
        brief=f"# A synthetic landscape\n\nMinimise `loss`. Its smallest value is 0, up to noise (sd {noise:g}).\n",
        version=f"{function!r} {inspect.getsource(Landscape)}",
        title=title(kind),
        truth=function.truth,
        best=Optimum(best, function.loss(best.params)),
        typical=found.typical,
        random_start=random_start,
    )


def title(kind: str) -> str:
    return f"Synthetic, known optimum: {KINDS[kind].text}"


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)
