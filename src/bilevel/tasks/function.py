"""A task whose measurement is a Python function, called in this process."""

import functools
import inspect
import math
import numbers
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, TypeAlias

from bilevel.budget import Cost
from bilevel.codec import content_hash
from bilevel.errors import HarnessError, InputError, Stopped
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective, is_score
from bilevel.space import Candidate, Space
from bilevel.task import Rung
from bilevel.tasks.bounds import IN_PROCESS, beside_problems
from bilevel.trial import Run, Status
from bilevel.view import Below

LOG_LINES = 40  # how much of a failure's traceback a run keeps
ONE_RUNG = (Rung("full"),)
Measured: TypeAlias = float | Mapping[str, float]
Function: TypeAlias = Callable[..., Measured]
Rule: TypeAlias = Callable[[Candidate, Candidate], list[str]]


@dataclass(frozen=True)
class FunctionTask:
    """A function as a task: `function(params, seed, **rung.options)` returns the objective's value, or all metrics.

    What the function raises is the candidate's failure (`Status.EXIT` with the end of the traceback; `MemoryError` is
    `Status.OUT_OF_MEMORY`); a value that is missing, not a number, NaN or infinite is `Status.INVALID_METRIC`. The
    function must depend on its arguments only. `problems` holds rules beyond types and bounds: (candidate, parent) ->
    sentences. `version` goes into `harness`, beside the source: change it when what the function calls has changed.
    A function with a parameter `judge` is given `bench.judge`, which asks the run's judge model.
    Nothing limits the function's time or memory: it is the host's own code. Costs are one evaluation and seconds.
    """

    name: str
    function: Function
    space: Space
    start: Candidate
    objective: Objective
    brief: str
    rungs: tuple[Rung, ...] = ONE_RUNG
    rule: Rule | None = None
    version: str = "1"
    title: str = ""
    guidance: str = ""
    self_reported: bool = field(default=False, init=False)
    remembers: bool = field(default=False, init=False)
    evaluations: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        wrong = self.space.problems(self.start)
        if wrong:
            raise InputError(f"the baseline of task {self.name!r} does not fit its space: {'; '.join(wrong)}")
        if found := list(beside_problems(self.objective, None, IN_PROCESS)):
            raise InputError(f"task {self.name!r}: {'; '.join(found)}")
        if not self.rungs or len({rung.name for rung in self.rungs}) < len(self.rungs):
            raise InputError(f"task {self.name!r} needs at least one rung, each with a name of its own")

    @functools.cached_property
    def harness(self) -> str:
        """Changes with the name, the function's source, `version`, the objective and the rungs."""
        return content_hash([self.name, self.version, _source(self.function), self.objective, list(self.rungs)])[:16]

    def baseline(self) -> Candidate:
        return self.start

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """The task's own rules; a candidate with files breaks them, as there is no file to change."""
        found = [f"{path}: task {self.name!r} has no files, only parameters" for path in candidate.files]
        return found + (self.rule(candidate, parent) if self.rule else [])

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Call the function once. Raises InputError for a rung that the task does not have."""
        options = dict(self._rung(bench.rung).options)
        if "judge" in _parameters(self.function):
            options["judge"] = bench.judge
        if candidate.files:
            reason = f"task {self.name!r} has no files, only parameters"
            return Run(bench.rung, bench.seed, Status.REFUSED, log=reason, data={"reason": reason})
        began, cpu = time.perf_counter(), time.process_time()
        value: object = None
        failure: Status | None = None
        log = ""
        try:
            value = self.function(candidate.params, bench.seed, **options)
        except (HarnessError, InputError, Stopped):  # ours, met while it asked the judge
            raise
        except MemoryError as error:
            failure, log = Status.OUT_OF_MEMORY, _last_lines(error)
        except (Exception, SystemExit) as error:
            failure, log = Status.EXIT, _last_lines(error)
        cost = Cost(1, time.perf_counter() - began, time.process_time() - cpu)
        if failure is not None:
            return Run(bench.rung, bench.seed, failure, cost=cost, log=log)
        metrics = numbers_in(value, self.objective.name)
        if not is_score(metrics.get(self.objective.name)):
            log = f"{self.objective.name!r} is not a finite number in what the function returned: {value!r}"
            return Run(bench.rung, bench.seed, Status.INVALID_METRIC, cost=cost, log=log[:2000])
        return Run(bench.rung, bench.seed, Status.OK, metrics, cost)

    def evaluate(self, run: Run) -> float:
        """The objective's value. Raises InputError for a run that is not ok."""
        return score(run, self.objective)

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None

    def _rung(self, name: str) -> Rung:
        for rung in self.rungs:
            if rung.name == name:
                return rung
        known = ", ".join(rung.name for rung in self.rungs)
        raise InputError(f"task {self.name!r} has no rung {name!r}; its rungs are: {known}")


def score(run: Run, objective: Objective) -> float:
    """An objective's value in an ok run. Raises InputError for any other run."""
    if run.metrics is None or objective.name not in run.metrics:
        raise InputError(f"a run with status {run.status.value!r} has no {objective.name!r}; only ok runs have a score")
    return run.metrics[objective.name]


def numbers_in(value: object, name: str) -> dict[str, float]:
    """The finite numbers among what was measured, as plain floats; a single number goes under `name`."""
    found: Mapping[Any, object] = value if isinstance(value, Mapping) else {name: value}
    return {
        str(key): float(item)
        for key, item in found.items()
        if isinstance(item, numbers.Real) and not isinstance(item, bool) and math.isfinite(item)
    }


def _parameters(function: Function) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # built into Python, without a signature
        return ()


def _last_lines(error: BaseException) -> str:
    """The end of a traceback, without our own frame and without folders, so that it is the same on every machine."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    lines = [f'  File "{PurePath(f.filename).name}", line {f.lineno}, in {f.name}\n    {f.line}' for f in frames]
    text = "\n".join([*lines, *traceback.format_exception_only(error)])
    return "\n".join(text.splitlines()[-LOG_LINES:])


def _source(function: Function) -> str:
    """The text of a function or of a callable object's class; its qualified name where there is no text."""
    if isinstance(function, functools.partial):
        return f"{_source(function.func)} {function.args!r} {sorted(function.keywords.items())!r}"
    thing: Any = function if inspect.isroutine(function) else type(function)
    return _text(thing)


@functools.lru_cache(maxsize=256)
def _text(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', repr(thing))}"
