"""How a search gains from workers where trials take unequal times: speed-up, and the share of the workers that is busy.

    python benchmarks/scaling.py --trials 60 --seeds 3

A trial is a process that sleeps between 0.05 and 0.5 s, drawn by the seed with a long tail (Pareto; about one in 16
takes the longest), so waiting is all that is measured and two cores are enough. Beside bilevel's loop (`workers = W`,
durable SQLite) and Optuna (`n_jobs = W`, in memory), which sleep the same times in the same order, there are two
schedules computed from these times: *free*, each trial begins as soon as a worker is free, and *in order*, what bilevel
promises: trial n begins when a worker is free and the trials 0 ... n-W are told, so a slow trial holds up those behind
it. In order / free is what the promise costs, bilevel / in order what the program adds. The first trial, the baseline,
is left out. Intervals are 95 % bootstrap intervals over seeds.
"""

import argparse
import heapq
import itertools
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overhead import has_optuna, interval, ratio

from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.objective import Objective
from bilevel.space import Candidate, Int, Space
from bilevel.store.sqlite import SqliteStore
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

SHORTEST, LONGEST, TAIL = 0.05, 0.5, 1.2  # seconds; the exponent of the tail
WORKERS = (1, 2, 4)
COMPUTED_SEEDS = 1000
TAILS = {"as measured": LONGEST, "tail to 5 s": 5.0, "all equal": SHORTEST}  # the longest, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="few trials, one seed: whether it works, not what it gains"
    )
    options = parser.parse_args()
    trials, seeds = (6, 1) if options.quick else (options.trials, options.seeds)
    measured(trials, seeds)
    computed(trials, 50 if options.quick else COMPUTED_SEEDS)


def drawn(trials: int, seed: int, longest: float = LONGEST) -> list[float]:
    """How long each trial sleeps, in seconds."""
    rng = random.Random(seed)
    return [min(longest, SHORTEST * (1 - rng.random()) ** (-1 / TAIL)) for _ in range(trials)]


# ---- schedules ----


def free(times: Sequence[float], workers: int) -> float:
    """When the last trial ends, if each begins as soon as a worker is free."""
    ends = [0.0] * workers
    for length in times:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def in_order(times: Sequence[float], workers: int) -> float:
    """When the last trial ends, if trial n waits until all of the trials before n - W + 1 have ended."""
    told = list[float]()  # when all trials up to this one have ended
    for number, length in enumerate(times):
        begins = told[number - workers] if number >= workers else 0.0
        told.append(max(begins + length, told[-1] if told else 0.0))
    return told[-1]


# ---- searches ----


@dataclass
class Sleeps:
    """The measured function: a process that sleeps as long as the trial's number says; notes how long that took."""

    times: Sequence[float]
    busy: list[float] = field(default_factory=list)

    def __call__(self, number: int) -> float:
        began = time.perf_counter()
        subprocess.run(["sleep", f"{self.times[number]:.4f}"], check=True)
        self.busy.append(time.perf_counter() - began)
        return float(number)


@dataclass(frozen=True)
class InTurn:
    """Proposes the number of the trial, so that the times are the same for any number of workers."""

    name: str = field(default="in turn", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        return [Proposal(parent.with_params(number=view.number), "the next one", self.name)]


@dataclass(frozen=True)
class Took:
    """The wall time of a search, and the sum of what its trials took, in seconds."""

    wall: float
    busy: float


def bilevel_search(times: Sequence[float], workers: int) -> Took:
    sleeps = Sleeps([SHORTEST, *times])
    count = len(times)
    task = FunctionTask(
        "sleeps", lambda params, seed: sleeps(params["number"]), Space({"number": Int(0, count)}),
        Candidate({"number": 0}), Objective("number"), "Sleep.",
    )  # fmt: skip
    spec = LoopSpec("inner", task, InTurn(), budget=Budget(trials=count), calibration=1)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(spec, Lab(SqliteStore(Path(folder)), workers=workers))
        loop.run(until=1)
        sleeps.busy.clear()
        began = time.perf_counter()
        loop.run()
        took = time.perf_counter() - began
    if len(sleeps.busy) != count:
        raise RuntimeError(f"{len(sleeps.busy)} trials were measured, not {count}")
    return Took(took, sum(sleeps.busy))


def optuna_search(times: Sequence[float], workers: int) -> Took:
    import optuna

    sleeps, numbers = Sleeps(times), itertools.count()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_int("number", 0, len(times))
        return sleeps(next(numbers))

    began = time.perf_counter()
    study.optimize(objective, n_trials=len(times), n_jobs=workers)
    return Took(time.perf_counter() - began, sum(sleeps.busy))


# ---- what is printed ----


def measured(trials: int, seeds: int) -> None:
    print(f"{trials} trials of {SHORTEST:g} to {LONGEST:g} s, {seeds} seeds: mean [95 % interval]")
    searches: dict[str, Callable[[Sequence[float], int], Took]] = {"bilevel": bilevel_search}
    if has_optuna():
        searches["optuna"] = optuna_search
    plans = {"in order": in_order, "free": free}
    took: dict[tuple[str, int], list[Took]] = {}
    for seed in range(seeds):  # in turn, so that a busy machine burdens all of them
        times = drawn(trials, seed)
        for workers in WORKERS:
            for name, search in searches.items():
                took.setdefault((name, workers), []).append(search(times, workers))
            for name, plan in plans.items():
                took.setdefault((name, workers), []).append(Took(plan(times, workers), sum(times)))
    print(f"  {'':24}{'workers':>8}{'wall s':>10}{'speed-up':>26}{'busy share of workers':>30}")
    for name in (*searches, *plans):
        for workers in WORKERS:
            mine = took[name, workers]
            speed = paired([(one.wall, some.wall) for one, some in zip(took[name, 1], mine, strict=True)])
            busy = paired([(each.busy, workers * each.wall) for each in mine])
            wall = statistics.mean(each.wall for each in mine)
            print(f"  {name:24}{workers:>8}{wall:>10.2f}{speed:>26}{busy:>30}")
    for mine, other in (("bilevel", "in order"), ("in order", "free"), ("bilevel", "optuna"), ("optuna", "free")):
        for workers in WORKERS if mine in {**searches, **plans} and other in {**searches, **plans} else ():
            walls = [(a.wall, b.wall) for a, b in zip(took[mine, workers], took[other, workers], strict=True)]
            print(f"  wall time {mine} / {other}, {workers} workers: {paired(walls)}")


def computed(trials: int, seeds: int) -> None:
    print(f"wall time in order / free, computed for {trials} trials, {seeds} seeds: mean [95 % interval], highest")
    for title, longest in TAILS.items():
        for workers in (2, 4, 8, 16):
            drawings = [drawn(trials, seed, longest) for seed in range(seeds)]
            pairs = [(in_order(times, workers), free(times, workers)) for times in drawings]
            print(f"  {title:16}{workers:>3} workers {paired(pairs)} {max(a / b for a, b in pairs):.2f}")


def paired(pairs: list[tuple[float, float]]) -> str:
    if len(pairs) == 1:
        return f"{ratio(pairs):.3f} [no interval]"
    low, high = interval(pairs, 1000)
    return f"{ratio(pairs):.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
