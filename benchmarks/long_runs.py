"""What `bilevel report` and the live view take with runs of any length: seconds, and the memory of their process.

    python benchmarks/long_runs.py [--trials 100,1000,5000]

Makes run folders with so many trials of level 1: one with that level alone, and one whose level 2 forks every ten
trials (not by searching: the records of one fork are written again and again, with other candidates). Prints:

    report      the whole command `bilevel report RUN --no-plots`
    first look  what the live view (`bilevel status RUN --watch`) does before its first picture
    look        taking in one trial more; `idle`: finding that there is nothing new, which it does four times a second
    picture     drawing it at 130 x 40 characters
"""

import argparse
import io
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bilevel.lab import Branch
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.trial import Trial
from dashboard import make

CYCLE = 10  # trials of an arm of a fork
TIMES = 20  # looks and pictures, of which the mean is taken


def make_nested(folder: Path, trials: int) -> None:
    """A run folder whose second cycle, a fork, is there again and again until there are so many innermost trials."""
    path = folder / "nested"
    small = ("run", "d", "--task", "gpt-table", "--inner-budget", CYCLE, "--outer-cycles", 2, "--folder", path)
    subprocess.run([sys.executable, "-m", "bilevel", *map(str, small)], check=True, stdout=subprocess.DEVNULL)
    run = RunFolder.open(path)
    run.store._connection.execute("PRAGMA synchronous = OFF")
    fork = {branch.id: branch for branch in run.store.branches() if branch.id.startswith("root/1.")}
    arms = {name: run.store.trials(name) for name in fork}
    end = str(run.store.trials("root")[1].state)
    cycles = range(2, max(2, (trials - CYCLE - 1) // (2 * CYCLE) + 1))
    for cycle in cycles:
        begin = fork[end].at + len(arms[end]) * (cycle - 1)
        for name, found in arms.items():
            branch, known = name.replace("/1.", f"/{cycle}."), dict[str, Candidate]()
            run.store.open_branch(Branch(branch, "inner", end.replace("/1.", f"/{cycle - 1}."), begin))
            for place, trial in enumerate(found):
                run.store.add_trial(branch, _again(trial, begin + place, cycle, known))
    run.close()
    with closing(sqlite3.connect(path / "run.sqlite3")) as store, store:
        (outer,) = store.execute("SELECT record FROM trials WHERE branch = 'root' AND number = 1").fetchone()
        for cycle in cycles:
            record = {**json.loads(outer.replace("root/1.", f"root/{cycle}.")), "number": cycle, "sees": cycle}
            store.execute("INSERT INTO trials VALUES ('root', ?, ?)", (cycle, json.dumps(record)))


def _again(trial: Trial, number: int, cycle: int, known: dict[str, Candidate]) -> Trial:
    """A trial with another number, and another candidate; `known`: those of its arm before, by what they were."""
    rate = trial.candidate.params["EMBEDDING_LR"]
    assert isinstance(rate, float)
    candidate = trial.candidate.with_params(EMBEDDING_LR=rate * (1 + 1e-6 * cycle))
    parent = known.get(trial.parent.id, trial.parent)
    known[trial.candidate.id] = candidate
    return replace(
        trial,
        number=number,
        sees=number,
        parent=parent,
        parent_runs=(),
        proposal=replace(trial.proposal, candidate=candidate),
        changes=candidate.changes_from(parent),
    )


# ---- what is measured, each in a process of its own ----


def view(path: Path) -> dict[str, float]:
    """The live view's parts in CPU seconds."""
    from rich.console import Console

    from bilevel.cli.board import board
    from bilevel.cli.inspecting import opened
    from bilevel.cli.progress import Progress
    from bilevel.store.reader import Reader

    console = Console(file=io.StringIO(), force_terminal=True, width=130, height=40)
    with opened(path) as run:
        reader, progress = Reader(path), Progress(run.spec, None)

        def look() -> None:
            progress.hear(reader)
            progress.update(reader)

        found = {"first look": _cpu(look), "idle": sum(_cpu(look) for _ in range(TIMES)) / TIMES}
        found["picture"] = (
            sum(_cpu(lambda: console.print(board(progress, "a run", "running", 40, 130))) for _ in range(TIMES)) / TIMES
        )
        writer = RunFolder.open(path)
        branch = writer.store.branches()[-1]
        last = list(writer.store.trials(branch.id))[-1]
        spent = 0.0
        for number in range(last.number + 1, last.number + 1 + TIMES):
            writer.store.add_trial(branch.id, replace(last, number=number))
            spent += _cpu(look)
        writer.close()
        return {**found, "look": spent / TIMES}


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measured(*command: object) -> tuple[float, float, float, str]:
    """Wall and CPU seconds of a process, its peak memory in MB, and what it printed."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    unit = 1e6 if sys.platform == "darwin" else 1e3  # of ru_maxrss: bytes there, kilobytes here
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / unit, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", default="100,1000,5000")
    parser.add_argument("--view", type=Path, help=argparse.SUPPRESS)  # what the process of the live view measures
    given = parser.parse_args()
    if given.view is not None:
        print(json.dumps(view(given.view)))
        return
    print(f"{'levels':>6} {'trials':>6}  {'what':10} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    for trials in map(int, given.trials.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make(folder, trials)
            make_nested(folder, trials)
            for levels, run in ((1, folder / "long"), (2, folder / "nested")):
                wall, cpu, peak, _ = measured("-m", "bilevel", "report", run, "--no-plots", "--to", folder / "report")
                print(f"{levels:6} {trials:6}  {'report':10} {wall:8.2f} {cpu:8.2f} {peak:8.0f}", flush=True)
                _, _, peak, said = measured(__file__, "--view", run)
                for what, seconds in json.loads(said).items():
                    print(f"{levels:6} {trials:6}  {what:10} {'':8} {seconds:8.4f} {peak:8.0f}", flush=True)


if __name__ == "__main__":
    main()
