"""Each mechanism of the library alone against none: `python benchmarks/mechanisms.py --seeds 20`.

One researcher searches one task at equal trials, with one mechanism in force from the first trial and without any; the
seeds are shared, so the differences are paired. Printed per mechanism: the mean difference of the gain of the best seen
over the baseline with a 95 % bootstrap interval over seeds, the ratio of the two mean gains, how many runs were made on
any rung (a mechanism that repeats or prunes spends more or fewer), how many trials were refused, and how many decisions
would have been others without it. Gains are those of the task's function without noise, which no search sees, at the
candidate that looked best. Nothing corrects for the number of rows: of twenty true nulls one interval is expected to
leave 0 out. Where a task has one rung `halving` and `smoke_run` have nothing to do. No researcher here reads advice, so
`momentum` can do nothing.
"""

import argparse
import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import library, source
from bilevel.researchers import make
from bilevel.researchers.library import OUTER
from bilevel.space import Candidate
from bilevel.tasks.catalog import find
from bilevel.tasks.function import FunctionTask
from bilevel.tasks.gpt_table import Surrogate
from bilevel.tasks.sphere import Sphere
from bilevel.trace import Trace

RUNGS: Mapping[str, Mapping[str, Any]] = {"smoke_run": {"rung": "quick"}, "halving": {"rungs": ("quick",)}}


@dataclass(frozen=True)
class Outcome:
    """One search: the gain of its best candidate, runs of the task on every rung, and decisions by the mechanism."""

    gain: float
    runs: int
    decisive: int
    refused: int


def main() -> None:
    """Run every mechanism on every task, researcher and seed, and print one table for each pair."""
    options = _options()
    alone = [name for name, entry in library().items() if entry.domain not in ("control", OUTER)]
    names = options.mechanisms.split(",") if options.mechanisms else alone
    for task_name in options.tasks.split(","):
        task = find(task_name)
        assert isinstance(task, FunctionTask), f"{task_name} is not a task that knows its values without noise"
        for researcher in options.researchers.split(","):
            _table(
                task_name,
                task,
                researcher,
                names,
                options.trials,
                range(options.first_seed, options.first_seed + options.seeds),
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="gpt-table,sphere:rungs=2")
    parser.add_argument("--researchers", default="stuck,coordinate")
    parser.add_argument("--mechanisms", default="", help="names with commas between them; the whole library if empty")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    return parser.parse_args()


def _table(task_name: str, task: FunctionTask, researcher: str, names: list[str], trials: int, seeds: range) -> None:
    none = [_search(task, researcher, (), trials, seed) for seed in seeds]
    alone = statistics.mean(outcome.gain for outcome in none)
    print(
        f"{task_name}, researcher {researcher}, {trials} trials, seeds {seeds[0]} to {seeds[-1]}; "
        f"gain without any {alone:.4f}"
    )
    print(f"{'mechanism':20}{'gain - none [95 %]':>30}{'ratio':>8}{'runs':>7}{'refused':>9}{'decisive':>10}")
    _row("none", none, none)
    for name in names:
        guest = Guest(name, source(name, **(RUNGS.get(name, {}) if len(task.rungs) > 1 else {})))
        _row(name, [_search(task, researcher, (guest,), trials, seed) for seed in seeds], none)
    print(flush=True)


def _row(name: str, found: list[Outcome], none: list[Outcome]) -> None:
    paired = [outcome.gain - other.gain for outcome, other in zip(found, none, strict=True)]
    ratio = statistics.mean(o.gain for o in found) / statistics.mean(o.gain for o in none)
    means = [statistics.mean(getattr(o, key) for o in found) for key in ("runs", "refused", "decisive")]
    print(f"{name:20}{_interval(paired):>30}{ratio:8.2f}{means[0]:7.1f}{means[1]:9.1f}{means[2]:10.1f}", flush=True)


def _search(task: FunctionTask, researcher: str, guests: tuple[Guest, ...], trials: int, seed: int) -> Outcome:
    spec = LoopSpec("inner", task, make(researcher), guests, budget=Budget(trials=trials), seed=seed)
    trace = Loop(spec, Lab()).run()
    faults = [fault for trial in trace for fault in trial.faults]
    if faults:
        raise SystemExit(f"seed {seed}: {faults[0]}")
    decisive = sum(count.decisive for hooks in trace.ledger().values() for count in hooks.values())
    runs, refused = sum(len(trial.runs) for trial in trace), sum(not trial.runs for trial in trace)
    return Outcome(_gain(task, trace), runs, decisive, refused)


def _gain(task: FunctionTask, trace: Trace) -> float:
    """How much better the best candidate is than the baseline, without noise; 0 where the baseline stays the best."""
    baseline, best = trace.baseline, trace.incumbent
    if baseline is None or best is None:
        return 0.0
    return trace.objective.gain(_truth(task, baseline.candidate), _truth(task, best.candidate))


def _truth(task: FunctionTask, candidate: Candidate) -> float:
    function = task.function
    if isinstance(function, Sphere):
        return function.loss(candidate.params)
    if isinstance(function, Surrogate):
        return function.predict(candidate.params)
    raise SystemExit(f"task {task.name!r} knows no value without noise; use gpt-table or sphere, with options")


def _interval(values: list[float], resamples: int = 2000) -> str:
    rng = random.Random(0)
    means = sorted(statistics.mean(rng.choices(values, k=len(values))) for _ in range(resamples))
    low, high = means[int(0.025 * resamples)], means[int(0.975 * resamples) - 1]
    return f"{statistics.mean(values):+.4f} [{low:+.4f}, {high:+.4f}]"


if __name__ == "__main__":
    main()
