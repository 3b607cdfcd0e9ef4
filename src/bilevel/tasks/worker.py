"""A task whose measurement is a Python function, called in processes of its own.

A worker process imports the function once and then forks one child for each measurement. So a measurement costs a fork
and not a start of Python, and each one begins in the same state: nothing that a call leaves behind in globals, caches
or random generators reaches the next. The worker watches its child as `execution/supervisor.py` watches a command: wall
and CPU time, memory and output of the whole tree, and it kills what is left when the call is over.

Not covered: a function that attacks its worker or this program on purpose (no sandbox, and the network is open); GPU
memory; a module that uses a GPU while it is imported (CUDA does not survive a fork; use it within the function);
threads and processes that a module starts while it is imported, and what its import needs in memory; files that a call
writes: its working folder is that of the program which made the task, and they stay. Needs a POSIX system; what does
not hold outside Linux is said in `execution/process.py`.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bilevel.budget import Cost
from bilevel.codec import build, content_hash, plain
from bilevel.errors import InputError
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective, is_score
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space
from bilevel.task import Rung
from bilevel.tasks.bounds import NO_FILES, beside_problems
from bilevel.tasks.function import ONE_RUNG, score
from bilevel.tasks.pool import Called, Pool, Target
from bilevel.trial import Run, Status
from bilevel.view import Below

LOG_LINES = 40
SECONDS = 600.0  # wall and CPU time of a call, if nothing is said
MEMORY_BYTES = 4 * 2**30
OUTPUT_BYTES = 2**20
KINDS: Mapping[str, type[Domain]] = {kind.__name__: kind for kind in (Float, Int, Choice, Bool)}


@dataclass(frozen=True)
class WorkerTask:
    """`function(params)` or `function(params, seed)` as a task; returns the objective's value, or a mapping of metrics.

    What goes wrong in a call is the candidate's failure: an exception, `os._exit`, a fault signal (`Status.EXIT`), a
    limit passed (`time-out`, `out-of-memory`, `output-limit`), a value that is missing or not a finite number
    (`invalid-metric`). A function that cannot be imported raises InputError. The global generators of `random`, numpy
    and torch are seeded with the evaluation seed before each call. `harness` changes with the text of the function and
    the limits, not with what the function calls.
    """

    name: str
    target: Target
    space: Space
    start: Candidate
    objective: Objective
    brief: str
    seconds: float = SECONDS
    cpu_seconds: float = SECONDS
    memory_bytes: int = MEMORY_BYTES
    output_bytes: int = OUTPUT_BYTES
    guidance: str = ""
    title: str = ""
    rungs: tuple[Rung, ...] = field(default=ONE_RUNG, init=False)
    self_reported: bool = field(default=False, init=False)
    remembers: bool = field(default=False, init=False)
    evaluations: int = field(default=1, init=False)
    pool: Pool = field(default_factory=Pool, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        wrong = self.space.problems(self.start)
        if wrong:
            raise InputError(f"the baseline of task {self.name!r} does not fit its space: {'; '.join(wrong)}")
        if found := list(beside_problems(self.objective, None, NO_FILES)):
            raise InputError(f"task {self.name!r}: {'; '.join(found)}")

    @classmethod
    def parse(cls, text: str) -> "WorkerTask":
        """The task that `text` of another one describes. Raises InputError for any other text."""
        try:
            data: dict[str, Any] = dict(json.loads(text))
            domains = {
                name: build(KINDS[each["kind"]], {k: v for k, v in each.items() if k != "kind"})
                for name, each in data.pop("domains").items()
            }
            target, start, objective = data.pop("target"), data.pop("start"), data.pop("objective")
            return cls(
                target=build(Target, target),
                space=Space(domains),
                start=Candidate(build(Mapping[str, Any], start)),
                objective=build(Objective, objective),
                **data,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"not the description of a worker task ({error}); such tasks are made by bilevel.optimize"
            ) from None

    @property
    def text(self) -> str:
        """All of the task as text, for a recipe; `parse` gives it back."""
        simple = ("name", "brief", "guidance", "title", "seconds", "cpu_seconds", "memory_bytes", "output_bytes")
        parts: dict[str, Any] = {name: getattr(self, name) for name in simple}
        parts |= {name: plain(getattr(self, name)) for name in ("target", "objective")}
        parts["start"] = plain(self.start.params)
        parts["domains"] = {n: {"kind": type(d).__name__, **plain(d)} for n, d in self.space.domains.items()}
        return json.dumps(parts, sort_keys=True, ensure_ascii=False)

    @functools.cached_property
    def harness(self) -> str:
        limits = [self.seconds, self.cpu_seconds, self.memory_bytes, self.output_bytes]
        return content_hash([self.name, self.target.source, self.objective, limits])[:16]

    def baseline(self) -> Candidate:
        return self.start

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """A candidate with files breaks the task's rules, as there is no file to change."""
        return [f"{path}: task {self.name!r} has no files, only parameters" for path in candidate.files]

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Call the function once. Raises InputError where it cannot be imported, HarnessError for our own failures."""
        if found := self.problems(candidate, candidate):
            return Run(bench.rung, bench.seed, Status.REFUSED, log=found[0], data={"reason": found[0]})
        limits = {
            "wall_seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "memory_bytes": self.memory_bytes,
            "output_bytes": self.output_bytes,
        }
        request = {"params": plain(candidate.params), "seed": bench.seed, "metric": self.objective.name, **limits}
        with self.pool.worker(self.target) as worker:
            return self._judged(bench, worker.call(request, bench.lab.cancel))

    def _judged(self, bench: Bench, called: Called) -> Run:
        """The run that a call stands for."""
        from bilevel.tasks.measuring import ENDINGS

        outcome, answer = called.outcome, called.answer
        cost = Cost(1, outcome.wall_seconds, outcome.cpu_seconds)
        data: dict[str, Any] = {"ending": outcome.ending.value, "peak_memory_bytes": outcome.peak_memory_bytes}
        printed = outcome.tail(LOG_LINES)

        def failed(status: Status, reason: str, log: str = "") -> Run:
            text = "\n".join(filter(None, (printed, log or reason)))
            return Run(bench.rung, bench.seed, status, cost=cost, log=text, data={**data, "reason": reason})

        if not outcome.ok:
            return failed(ENDINGS[outcome.ending], _ended(called))
        if answer is None:
            return failed(Status.EXIT, "the process ended before the function returned (os._exit?)")
        if answer.failure:
            return failed(Status(answer.failure), answer.text.splitlines()[-1], answer.text)
        if not is_score(answer.metrics.get(self.objective.name)):
            reason = f"{self.objective.name!r} is not a finite number in what the function returned: {answer.text}"
            return failed(Status.INVALID_METRIC, reason)
        return Run(bench.rung, bench.seed, Status.OK, answer.metrics, cost, printed, data)

    def evaluate(self, run: Run) -> float:
        """The objective's value. Raises InputError for a run that is not ok."""
        return score(run, self.objective)

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None


def _ended(called: Called) -> str:
    outcome = called.outcome
    if outcome.signal is not None and outcome.ending.value in ("crashed", "killed"):
        return f"the process was ended by signal {outcome.signal}"
    if outcome.exit_code is not None:
        return f"the process ended with exit code {outcome.exit_code} before the function returned"
    return outcome.ending.value.replace("_", " ")
