"""The sphere: a synthetic task with a known optimum that costs microseconds. For tests, examples and rehearsals.

It has a parameter of every kind. Each contributes the square of its distance from the optimum on the unit scale, so
that a search that works anywhere works here; three options make it harder, one difficulty each: noise, a crash region
and a deceptive basin.
"""

import importlib.resources
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from bilevel.codec import canonical, derive_seed
from bilevel.errors import InputError
from bilevel.objective import Objective
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space, Value
from bilevel.task import Rung
from bilevel.tasks.function import ONE_RUNG, FunctionTask

SHAPES = ("flat", "long", "round", "square")
BEST: Mapping[str, Value] = {"depth": 3, "batch": 64, "rows": 32, "shape": "round", "centre": True}
BASELINE: Mapping[str, Value] = {"depth": 8, "batch": 1024, "rows": 256, "shape": "flat", "centre": False, "edition": 1}
BEST_AT, BASELINE_AT, TRAP_AT = (0.3, 0.25), (0.8, 0.75), (0.9, 0.85)  # of linear and logarithmic floats, unit scale
TRAP_DEPTH = 0.25  # what the bottom of the deceptive basin loses against the optimum
QUICK = (Rung("quick", {"quick": True}), Rung("full"))


@dataclass(frozen=True)
class Optimum:
    """The best candidate there is, and its value without noise."""

    candidate: Candidate
    value: float


@dataclass(frozen=True)
class Sphere:
    """The function: parameters and seed to the loss, 0 at the optimum. Equal arguments give equal values."""

    dimensions: int
    noise: float
    crash: bool
    deceptive: bool
    domains: Mapping[str, Domain] = field(compare=False, repr=False)

    def __call__(self, params: Mapping[str, Value], seed: int, quick: bool = False) -> float:
        """Raises, or returns NaN, within the crash region; `quick` has five times the noise and a bias."""
        if self.crash and fails(params):
            return math.nan
        loss = self.loss(params)
        noise = self.noise * (5 if quick else 1)
        if noise:
            own = random.Random(derive_seed("sphere", canonical(params), seed, int(quick)))
            loss += own.gauss(0.0, noise)
        return 1.1 * loss + 0.2 if quick else loss

    def loss(self, params: Mapping[str, Value]) -> float:
        """The loss without noise, also where the real thing would crash."""
        units = [self.domains[name].unit(params[name]) for name in float_names(self.dimensions)]
        away = sum((unit - BEST_AT[i % 2]) ** 2 for i, unit in enumerate(units)) / self.dimensions
        if self.deceptive:
            trap = sum((unit - TRAP_AT[i % 2]) ** 2 for i, unit in enumerate(units)) / self.dimensions
            away = min(8 * away, TRAP_DEPTH + trap)
        for name, weight in (("depth", 0.5), ("batch", 1.0), ("rows", 0.1)):
            away += weight * (self.domains[name].unit(params[name]) - self.domains[name].unit(BEST[name])) ** 2
        return away + 0.05 * (params["shape"] != BEST["shape"]) + 0.05 * (params["centre"] != BEST["centre"])


def fails(params: Mapping[str, Value]) -> bool:
    """The crash region: raises for two kinds of crash, and is true where the loss is not a number."""
    batch, rows, depth, rate = (params[name] for name in ("batch", "rows", "depth", "x1"))
    assert isinstance(batch, int) and isinstance(rows, int) and isinstance(depth, int) and isinstance(rate, float)
    if batch % rows:
        raise ValueError(f"batch must be a multiple of rows, but {batch} % {rows} is {batch % rows}")
    if depth * batch > 40_000:
        raise MemoryError(f"cannot allocate {depth} layers for a batch of {batch}")
    return rate > 0.9


@dataclass(frozen=True)
class SphereTask(FunctionTask):
    """The sphere as a task, which knows its optimum."""

    best: Optimum = Optimum(Candidate(), 0.0)

    def optimum(self) -> Optimum:
        """The best candidate and its value (0): a score minus this is the regret."""
        return self.best

    def truth(self, params: Mapping[str, Value]) -> float | None:
        """The loss without noise on the top rung; None where it crashes."""
        assert isinstance(self.function, Sphere)
        try:
            failed = self.function.crash and fails(params)
        except (ValueError, MemoryError):
            failed = True
        return None if failed else self.function.loss(params)


def sphere(
    dimensions: int = 4, noise: float = 0.01, crash: bool = True, deceptive: bool = False, rungs: int = 1
) -> SphereTask:
    """The sphere with `dimensions` >= 2 floats (linear and logarithmic in turn) and six other parameters, one locked.

    `noise` is the standard deviation between seeds, in units of the loss (the baseline loses about 0.66). `crash`:
    `rows` must divide `batch`, many layers with a large batch run out of memory, and a rate near its upper bound gives
    NaN. `deceptive`: a wide basin near the baseline that ends above the optimum. `rungs=2` adds a cheap, noisier,
    biased rung. Raises InputError for other values.
    """
    if not 2 <= dimensions <= 100:
        raise InputError(f"the sphere needs from 2 to 100 dimensions, not {dimensions!r}")
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(f"the sphere's noise is a standard deviation, a finite number of at least 0, not {noise!r}")
    if rungs not in (1, 2):
        raise InputError(f"the sphere has 1 or 2 rungs, not {rungs!r}")
    domains: dict[str, Domain] = {
        name: Float(1e-4, 1.0, log=True) if i % 2 else Float(-5.0, 5.0)
        for i, name in enumerate(float_names(dimensions))
    }
    domains |= {
        "depth": Int(1, 12),
        "batch": Int(16, 8192, power_of_two=True),
        "rows": Int(1, 1024, power_of_two=True),
        "shape": Choice(SHAPES),
        "centre": Bool(),
        "edition": Int(1, 3, locked=True),
    }
    function = Sphere(dimensions, noise, crash, deceptive, domains)
    best = Candidate({**at(domains, dimensions, BEST_AT), **BEST, "edition": 1})
    return SphereTask(
        name="sphere",
        function=function,
        space=Space(domains),
        start=Candidate({**at(domains, dimensions, BASELINE_AT), **BASELINE}),
        objective=Objective("loss"),
        brief=importlib.resources.files("bilevel.catalog").joinpath("tasks/sphere/brief.md").read_text("utf-8"),
        rungs=ONE_RUNG if rungs == 1 else QUICK,
        version=repr(function),
        title="A synthetic task with a known optimum; costs microseconds",
        best=Optimum(best, function.loss(best.params)),
    )


def float_names(dimensions: int) -> list[str]:
    return [f"x{i}" for i in range(dimensions)]


def at(domains: Mapping[str, Domain], dimensions: int, place: tuple[float, float]) -> dict[str, Value]:
    """The floats at one place of their unit scale, one for linear ones and one for logarithmic ones."""
    return {name: domains[name].at(place[i % 2]) for i, name in enumerate(float_names(dimensions))}
