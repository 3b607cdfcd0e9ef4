"""What a trial costs apart from its measurement: CPU time, wall time and memory, beside peers in the same run.

    python benchmarks/overhead.py --trials 1000 --seeds 5
    python benchmarks/overhead.py --only peers --peer-trials 50 --repeats 3

The task is the sphere (microseconds), searched at random; that of the methods which ask a model is one number. Times
are CPU time of this process (`time.process_time`), for `startup` of a child process, and for `peers` of a process of
its own with all that it starts (`process_tree.py`). The model is a stub on loopback that answers at once
(`model_stub.py`). Peers need `pip install optuna 'ray[tune]' openevolve 'bilevel[llm]'`; those that are not installed
are left out. Intervals are 95 % bootstrap intervals over the seeds or repeats.
"""

import argparse
import gc
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from overhead_peers import beside_peers

from bilevel.budget import Budget
from bilevel.lab import Lab, MemoryStore, Store, Traces
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.researchers import make
from bilevel.store.sqlite import SqliteStore
from bilevel.tasks.sphere import SphereTask, sphere

EARLY, LATE = 10, 1000  # the trials that are compared, each with its neighbours
AROUND = 10
PARTS = ("trials", "growth", "startup", "memory", "peers")
GOAL_MS, GOAL_SHARE, GOAL_GROWTH = (
    2.0,
    0.1,
    1.1,
)  # CPU ms a trial; of Optuna's; what a trial adds, in units of its trace
T = TypeVar("T")
MECHANISMS = ("bandit", "crash_memory", "orthogonal", "placebo", "restart", "revert", "simpler", "tabu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer-trials", type=int, default=50, help="trials of each method in a process of its own")
    parser.add_argument("--repeats", type=int, default=3, help="of each method in a process of its own")
    parser.add_argument("--method", default="", help="of the peers' table, only methods with this in their names")
    parser.add_argument("--only", choices=PARTS, action="append", help="print this part; may be given several times")
    parser.add_argument(
        "--quick", action="store_true", help="few trials, one repeat: whether it works, not what it costs"
    )
    options = parser.parse_args()
    if options.quick:
        options.trials, options.seeds, options.peer_trials, options.repeats = 20, 1, 5, 1
    parts: dict[str, Callable[[], None]] = {
        "trials": lambda: per_trial(options.trials, options.seeds),
        "growth": lambda: growth(options.seeds),
        "startup": lambda: start_up(options.seeds),
        "memory": lambda: memory(options.trials, options.seeds),
        "peers": lambda: beside_peers(options.peer_trials, options.repeats, options.method),
    }
    for part in PARTS:
        if part in (options.only or PARTS):
            parts[part]()


def per_trial(trials: int, seeds: int) -> None:
    print(f"CPU ms per trial, {trials} trials, {seeds} seeds: mean [95 % interval], lowest")
    ours = {
        "bilevel, in memory": lambda seed: search(trials, seed, None),
        "bilevel, SQLite, durable": lambda seed: in_folder(lambda path: search(trials, seed, path)),
    }
    theirs: dict[str, Callable[[int], float]] = {}
    if has_optuna():
        theirs = {
            "optuna, in memory": lambda seed: optuna_search(trials, seed, None),
            "optuna, SQLite": lambda seed: in_folder(lambda path: optuna_search(trials, seed, path)),
        }
    times: dict[str, list[float]] = {name: [] for name in (*ours, *theirs)}
    for seed in range(seeds):  # in turn, so that a busy machine burdens all of them
        for name, measure in {**ours, **theirs}.items():
            times[name].append(1000 * measure(seed) / trials)
    for name, values in times.items():
        low, high = interval(list(zip(values, [1.0] * len(values), strict=True)))
        print(f"  {name:28}{statistics.mean(values):8.3f} [{low:.3f}, {high:.3f}] {min(values):8.3f}")
    for mine, other in zip(ours, theirs, strict=False):
        pairs = list(zip(times[mine], times[other], strict=True))
        low, high = interval(pairs)
        print(f"  ratio {mine} / {other}: {ratio(pairs):.2f} [{low:.2f}, {high:.2f}]")
    durable = statistics.mean(times["bilevel, SQLite, durable"])
    print(f"  goal: at most {GOAL_MS:g} ms with durable SQLite: {durable:.2f}, {met(durable <= GOAL_MS)}")
    if theirs:
        share = ratio(list(zip(times["bilevel, SQLite, durable"], times["optuna, SQLite"], strict=True)))
        print(f"  goal: at most {GOAL_SHARE:g} of Optuna with SQLite: {share:.3f}, {met(share <= GOAL_SHARE)}")


def memory(trials: int, seeds: int) -> None:
    """What the process keeps per trial, beside what the trace alone takes when it is read from the run folder."""
    print(f"KiB that a trial adds to what Python holds, from trial {trials} to {2 * trials}, SQLite, {seeds} seeds")
    pairs = [in_folder(lambda path, seed=seed: kept(path, trials, seed)) for seed in range(seeds)]
    low, high = interval(pairs)
    live, alone = (statistics.mean(pair[i] for pair in pairs) / 1024 for i in (0, 1))
    print(f"  in a run {live:.2f}, the trace alone {alone:.2f}, ratio {ratio(pairs):.2f} [{low:.2f}, {high:.2f}]")
    print(f"  goal: no growth beyond the trace (at most {GOAL_GROWTH:g}): {met(ratio(pairs) <= GOAL_GROWTH)}")


def kept(folder: Path, trials: int, seed: int) -> tuple[float, float]:
    """Bytes per trial: of the whole run, and of the trace alone, made from its records."""
    tracemalloc.start()
    try:
        loop = Loop(spec_of(2 * trials, seed), Lab(SqliteStore(folder)))
        loop.run(until=trials)
        before = held()
        loop.run(until=2 * trials)
        grown = held() - before
        objective = loop.spec.task.objective
        del loop
        store = SqliteStore(folder)
        before = held()
        trace = Traces(store).trace("root", objective)
        alone = held() - before
        return grown / trials, alone / len(trace)
    finally:
        tracemalloc.stop()


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def met(reached: bool) -> str:
    return "met" if reached else "missed"


def growth(seeds: int) -> None:
    print(f"CPU ms of a trial with mechanisms in force, in memory, {seeds} seeds")
    chosen = {
        "none": (),
        "8 placebos": tuple(Guest(f"placebo_{n}", source("placebo")) for n in range(8)),
        f"{len(MECHANISMS)} of the library": tuple(Guest(name, source(name)) for name in MECHANISMS),
    }
    for title, guests in chosen.items():
        pairs = []
        for seed in range(seeds):
            times = [1000 * seconds for seconds in each_trial(guests, LATE + AROUND, seed)]
            pairs.append((around(times, LATE), around(times, EARLY)))
        low, high = interval(pairs)
        early, late = (statistics.mean(pair[i] for pair in pairs) for i in (1, 0))
        figures = (
            f"trial {EARLY}: {early:.3f}  trial {LATE}: {late:.3f}  ratio {ratio(pairs):.2f} [{low:.2f}, {high:.2f}]"
        )
        print(f"  {title:28}{figures}")


def around(times: list[float], trial: int) -> float:
    """The median of the trials around one."""
    return statistics.median(times[trial - AROUND // 2 : trial + AROUND // 2])


def start_up(repeats: int) -> None:
    print(f"CPU ms of a fresh process, {repeats} repeats: median")
    commands = {
        "python -c pass": ["-c", "pass"],
        "import bilevel": ["-c", "import bilevel"],
        "import bilevel.levels": ["-c", "import bilevel.levels"],
        "bilevel --help": ["-m", "bilevel", "--help"],
    }
    for name, arguments in commands.items():
        times = [1000 * child(arguments) for _ in range(repeats)]
        print(f"  {name:28}{statistics.median(times):8.0f}")


def child(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spec_of(trials: int, seed: int, guests: tuple[Guest, ...] = ()) -> LoopSpec:
    task = sphere(noise=0.01, crash=False)
    return LoopSpec("inner", task, make("random"), guests, budget=Budget(trials=trials), seed=seed, calibration=1)


def search(trials: int, seed: int, folder: Path | None) -> float:
    store: Store = MemoryStore() if folder is None else SqliteStore(folder)
    loop = Loop(spec_of(trials, seed), Lab(store))
    loop.step()  # the baseline, and whatever is made once
    began = time.process_time()
    loop.run()
    return time.process_time() - began


def each_trial(guests: tuple[Guest, ...], trials: int, seed: int) -> list[float]:
    loop, times = Loop(spec_of(trials, seed, guests), Lab()), []
    for _ in range(trials):
        began = time.process_time()
        loop.step()
        times.append(time.process_time() - began)
    return times


def has_optuna() -> bool:
    try:
        import optuna
    except ImportError:
        print("  (optuna is not installed: no comparison)")
        return False
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return True


def optuna_search(trials: int, seed: int, folder: Path | None) -> float:
    import optuna

    task = sphere(noise=0.01, crash=False)
    storage = None if folder is None else f"sqlite:///{folder / 'study.db'}"
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=seed))

    def objective(trial: optuna.Trial) -> float:
        return task.function(suggested(trial, task), seed)

    study.optimize(objective, n_trials=1)
    began = time.process_time()
    study.optimize(objective, n_trials=trials)
    return time.process_time() - began


def suggested(trial, task: SphereTask) -> dict[str, object]:  # type: ignore[no-untyped-def]
    from bilevel.space import Choice, Float, Int

    values: dict[str, object] = {}
    for name, domain in task.space.domains.items():
        if domain.locked:
            values[name] = task.start.params[name]
        elif isinstance(domain, Float):
            values[name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        elif isinstance(domain, Int) and domain.power_of_two:
            power = trial.suggest_int(name, domain.low.bit_length() - 1, domain.high.bit_length() - 1)
            values[name] = 2**power
        elif isinstance(domain, Int):
            values[name] = trial.suggest_int(name, domain.low, domain.high, log=domain.log)
        else:
            options = domain.options if isinstance(domain, Choice) else (False, True)
            values[name] = trial.suggest_categorical(name, options)
    return values


def in_folder(measure: Callable[[Path], T]) -> T:
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder))


def ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.mean(a for a, _ in pairs) / statistics.mean(b for _, b in pairs)


def interval(pairs: list[tuple[float, float]], draws: int = 4000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the ratio of the means."""
    rng = random.Random(0)
    ratios = sorted(ratio(rng.choices(pairs, k=len(pairs))) for _ in range(draws))
    return ratios[int(0.025 * draws)], ratios[int(0.975 * draws) - 1]


if __name__ == "__main__":
    main()
