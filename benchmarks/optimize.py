"""What `bilevel.optimize` costs per trial, beside calling the function directly and beside Optuna.

    python benchmarks/optimize.py --trials 200 --repeats 5

The function takes microseconds, so all that is measured is overhead: wall time per trial, the first trial and the
start of the worker process left out (shown apart). Optuna calls the function in its own process, which protects
from nothing; the fair price of a process of its own is the last line: a fresh Python per call, with no search at all.
Everything is measured in turn within one run. Intervals are 95 % bootstrap intervals over the repeats.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bilevel.budget import Budget
from bilevel.lab import Bench, Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.objective import Objective
from bilevel.researchers import make
from bilevel.space import Candidate, Choice, Float, Int, Space
from bilevel.tasks.function import FunctionTask
from bilevel.tasks.pool import Target
from bilevel.tasks.worker import WorkerTask

SPACE = Space({"rate": Float(1e-4, 1.0, log=True), "depth": Int(1, 64), "shape": Choice(("flat", "round"))})
START = Candidate({"rate": 0.1, "depth": 32, "shape": "flat"})


def loss(params: dict[str, float]) -> float:
    return (params["rate"] - 0.01) ** 2 + abs(params["depth"] - 3)


def loss_seeded(params: dict[str, float], seed: int) -> float:
    return loss(params)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    ways: dict[str, Callable[[int, int], float]] = {
        "the function alone": direct,
        "bilevel, in this process": lambda trials, seed: search(in_process(), trials, seed),
        "bilevel.optimize": lambda trials, seed: search(in_worker(), trials, seed),
        "a call in a warm worker": warm_call,
        "a fresh Python per call": fresh,
    }
    if has_optuna():
        ways |= {"optuna, random": lambda t, s: optuna_search("random", t, s)}
        ways |= {"optuna, TPE": lambda t, s: optuna_search("tpe", t, s)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(options.repeats):  # in turn, so that a busy machine burdens all of them
        for name, measure in ways.items():
            trials = min(options.trials, 20) if name.startswith("a fresh") else options.trials
            times[name].append(1000 * measure(trials, seed) / trials)
    print(f"wall ms per trial, {options.trials} trials, {options.repeats} repeats: mean [95 % interval], lowest")
    for name, values in times.items():
        low, high = interval(list(zip(values, [1.0] * len(values), strict=True)))
        print(f"  {name:28}{statistics.mean(values):9.3f} [{low:.3f}, {high:.3f}] {min(values):9.3f}")
    for other in (name for name in times if name not in ("bilevel.optimize", "the function alone")):
        pairs = list(zip(times["bilevel.optimize"], times[other], strict=True))
        low, high = interval(pairs)
        print(f"  ratio bilevel.optimize / {other}: {ratio(pairs):.2f} [{low:.2f}, {high:.2f}]")
    starts = [1000 * start_up() for _ in range(options.repeats)]
    print(f"  the first call, with the start of the worker: {statistics.median(starts):.0f} ms (median)")


def direct(trials: int, seed: int) -> float:
    params = dict(START.params)
    began = time.perf_counter()
    for _ in range(trials):
        loss_seeded(params, seed)  # type: ignore[arg-type]
    return time.perf_counter() - began


def in_process() -> FunctionTask:
    return FunctionTask("loss", loss_seeded, SPACE, START, Objective("loss"), "Lower the loss.")  # type: ignore[arg-type]


def in_worker() -> WorkerTask:
    return WorkerTask("loss", Target.of(loss), SPACE, START, Objective("loss"), "Lower the loss.")


def search(task: FunctionTask | WorkerTask, trials: int, seed: int) -> float:
    spec = LoopSpec("inner", task, make("random"), budget=Budget(trials=trials), seed=seed, calibration=1)
    loop = Loop(spec, Lab())
    loop.step()  # the baseline, and the start of the worker
    began = time.perf_counter()
    loop.run()
    seconds = time.perf_counter() - began
    if isinstance(task, WorkerTask):
        task.pool.close()
    return seconds


def warm_call(trials: int, seed: int) -> float:
    task, bench = in_worker(), Bench(Lab(), "full", 0, seed)
    task.run(START, bench)
    began = time.perf_counter()
    for _ in range(trials):
        task.run(START, bench)
    seconds = time.perf_counter() - began
    task.pool.close()
    return seconds


def start_up() -> float:
    task = in_worker()
    began = time.perf_counter()
    task.run(START, Bench(Lab(), "full", 0, 0))
    seconds = time.perf_counter() - began
    task.pool.close()
    return seconds


def fresh(trials: int, seed: int) -> float:
    began = time.perf_counter()
    for _ in range(trials):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def has_optuna() -> bool:
    try:
        import optuna
    except ImportError:
        print("  (optuna is not installed: no comparison)")
        return False
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return True


def optuna_search(kind: str, trials: int, seed: int) -> float:
    import optuna

    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(sampler=samplers[kind](seed=seed))

    def objective(trial: optuna.Trial) -> float:
        rate, depth = trial.suggest_float("rate", 1e-4, 1.0, log=True), trial.suggest_int("depth", 1, 64)
        trial.suggest_categorical("shape", ("flat", "round"))
        return loss({"rate": rate, "depth": depth})

    study.optimize(objective, n_trials=1)
    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return time.perf_counter() - began


def ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.mean(a for a, _ in pairs) / statistics.mean(b for _, b in pairs)


def interval(pairs: list[tuple[float, float]], draws: int = 4000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the ratio of the means."""
    rng = random.Random(0)
    ratios = sorted(ratio(rng.choices(pairs, k=len(pairs))) for _ in range(draws))
    return ratios[int(0.025 * draws)], ratios[int(0.975 * draws) - 1]


if __name__ == "__main__":
    main()
