"""The part of `overhead.py` where each method is a process of its own: CPU time, wall time and memory beside peers."""

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import process_tree
from model_stub import ModelStub
from overhead_methods import METHODS, missing
from process_tree import Highest, Sample

WARM = 5  # trials before the clock starts
TIMES = {
    "bilevel, in memory": 10,
    "bilevel, SQLite": 10,
    "optuna, in memory": 10,
}  # cheap ones: so many times the trials
PAIRS = (
    ("bilevel, in memory", "optuna, in memory"),
    ("bilevel, SQLite", "optuna, SQLite"),
    ("bilevel, SQLite", "ray tune"),
    ("bilevel llm, values", "openevolve"),
    ("bilevel llm, program", "openevolve, processes"),
)
FIGURES = {"cpu": "CPU time", "wall": "wall time", "memory": "memory"}
MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """Milliseconds per trial, and the highest memory in MiB."""

    cpu: float
    wall: float
    memory: float


def beside_peers(trials: int, repeats: int, only: str = "") -> None:
    """Print the table; with `only`, of the methods whose names contain it."""
    print(f"each method in a process of its own, {trials} trials, {repeats} repeats: mean [95 % interval]")
    if not process_tree.supported():
        print("  (needs Linux's /proc: left out)")
        return
    process_tree.adopt()
    chosen = [method for method in METHODS if only in method]
    for method in [method for method in chosen if missing(method)]:
        print(f"  ({method} left out: {missing(method)} is not installed)")
        chosen.remove(method)
    found: dict[str, list[Measured]] = {method: [] for method in chosen}
    for repeat in range(repeats):  # in turn, so that a busy machine burdens all of them
        for method in chosen:
            found[method].append(measured(method, trials * TIMES.get(method, 1), repeat))
    show(found)


def show(found: dict[str, list[Measured]]) -> None:
    from overhead import interval, ratio

    print(f"  {'':24}{'CPU ms a trial':>28}{'wall ms a trial':>28}{'peak MiB':>26}")
    for method, values in found.items():
        cells = [_cell([getattr(value, figure) for value in values]) for figure in FIGURES]
        print(f"  {method:24}{cells[0]:>28}{cells[1]:>28}{cells[2]:>26}")
    for ours, theirs in PAIRS:
        if not (found.get(ours) and found.get(theirs)):
            continue
        parts = []
        for figure, title in FIGURES.items():
            pairs = [(getattr(b, figure), getattr(a, figure)) for a, b in zip(found[ours], found[theirs], strict=True)]
            low, high = interval(pairs)
            parts.append(f"{title} {ratio(pairs):.2f} [{low:.2f}, {high:.2f}]")
        print(f"  {theirs} / {ours}: {', '.join(parts)}")


def _cell(values: list[float]) -> str:
    from overhead import interval

    if len(values) == 1:
        return f"{values[0]:.2f} [no interval]"
    low, high = interval([(value, 1.0) for value in values])
    return f"{statistics.mean(values):.2f} [{low:.2f}, {high:.2f}]"


def measured(method: str, trials: int, seed: int) -> Measured:
    """Run a method once; from the end of its trial WARM to that of trial WARM + `trials`. Raises RuntimeError."""
    asks = METHODS[method].asks
    marks = (WARM + 1, WARM + trials + 1) if asks else (1, 2)
    samples = list[Sample]()

    def passed(number: int) -> None:
        if number in marks:
            samples.append(process_tree.sample())
            highest.note(samples[-1].memory)

    stub = ModelStub(passed)
    program = Path(__file__).with_name("overhead_methods.py")
    arguments = [method, str(trials), str(WARM), str(seed), str(stub.port)]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    try:
        with Highest() as highest:
            done = subprocess.run(
                [sys.executable, str(program), *arguments],
                capture_output=True,
                text=True,
                env=environment,
                start_new_session=True,
            )
    finally:
        process_tree.end_what_is_left()
        stub.close()
    if done.returncode != 0 or len(samples) != 2:
        raise RuntimeError(
            f"{method!r} ended with {done.returncode} after {stub.count} questions or marks:\n{done.stderr[-3000:]}"
        )
    succeeded = int(done.stdout.split()[-1])
    if succeeded < 0.9 * (WARM + trials):
        raise RuntimeError(
            f"only {succeeded} of {WARM + trials} trials of {method!r} succeeded, so its times say little"
        )
    first, last = samples
    each = 1000 / trials
    return Measured(each * (last.cpu - first.cpu), each * (last.wall - first.wall), highest.memory / MIB)
