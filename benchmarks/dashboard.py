"""How long the dashboard takes with a long run: the server's first page of it, each view, and news of one more trial.

    python benchmarks/dashboard.py [--trials 5000] [--objectives]

Makes a run folder with so many trials (not by searching: the records are written), serves it from a fresh process, and
prints wall seconds per page and the size of each, and when the page `/` has its numbers. No browser is part of it.
With `--objectives` the task has two, and no candidate dominates another one: all of them are on the front.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bilevel.budget import Cost
from bilevel.lab import Branch
from bilevel.objective import Further, Objective
from bilevel.space import Candidate, Float, Space
from bilevel.stints import Stint
from bilevel.store.folder import RunFolder
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Decision, Proposal, Run, Status, Trial

HERE = Path(__file__).parent
WEIGHED = FunctionTask(
    "weighed",
    lambda params, seed: {"loss": params["x0"], "size": -params["x0"]},
    Space({"x0": Float(0.0, 10.1), "x1": Float(0.0, 10.1)}),
    Candidate({"x0": 5.0, "x1": 5.0}),
    Objective("loss", also=(Further("size"),)),
    "Make both small.",
)
VIEWS = (
    "",
    "/trials",
    "/timeline",
    "/lineage",
    "/parameters",
    "/mechanisms",
    "/calls",
    "/costs",
    "/steering",
    "/claims",
    "/objectives",
)


def trial_of(number: int, parent: Candidate, best: float) -> Trial:
    """A trial of the task `sphere`; one in eight fails, a better one is kept."""
    candidate = parent.with_params(x0=1e-4 * (number * 7919 % 100003), x1=1e-4 * (number * 104729 % 100019))
    score = None if number % 8 == 7 else 2.0 / (1 + number % 977) + number % 13 / 10
    status = Status.EXIT if score is None else Status.OK
    metrics = None if score is None else {"loss": score, "size": -score}
    run = Run("full", 0, status, metrics, Cost(1, 0.1), log="x" * 200)
    keep = score is not None and (number == 0 or score < best)
    proposal = Proposal(candidate if number else parent, why="drawn", author="random")
    decision = Decision(keep, "better than its parent" if keep else "not better than its parent")
    changes = candidate.changes_from(parent) if number else {}
    return Trial(number, parent, proposal, (run,), status, score, decision, changes)


def make(folder: Path, trials: int, task: str) -> None:
    """A run folder with so many trials."""
    small = ("run", "a", "--task", task, "--trials", "1", "--folder", str(folder / "small"))
    subprocess.run([sys.executable, "-m", "bilevel", *small], check=True, stdout=subprocess.DEVNULL)
    run = RunFolder.create(folder / "long", json.loads((folder / "small" / "run.json").read_text()))
    first = RunFolder.read(folder / "small")
    parent = first.store.trials("root")[0].candidate
    first.close()
    run.set_meta("state", "finished")
    run.store._connection.execute("PRAGMA synchronous = OFF")
    run.store.open_branch(Branch("root", "inner"))
    best = float("inf")
    for number in range(trials):
        made = trial_of(number, parent, best)
        run.store.worked(Stint("root", number, number % 4, 0.25 * number, 0.25 * number + 0.9))
        run.store.add_trial("root", made)
        if made.decision.keep:
            parent, best = made.candidate, made.score or best
    run.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--objectives", action="store_true")
    chosen = parser.parse_args()
    trials = chosen.trials
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, trials, "python:dashboard:WEIGHED" if chosen.objectives else "sphere")
        server = subprocess.Popen(
            [sys.executable, "-m", "bilevel", "serve", str(folder / "long"), "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split(" at ")[1].split()[0].rstrip("/")
            print(f"{trials} trials")
            started = time.perf_counter()
            for what in ("first time", "second time"):
                for view in VIEWS:
                    began = time.perf_counter()
                    with urllib.request.urlopen(f"{address}/run/long{view}") as answer:
                        size = len(answer.read())
                    seconds = time.perf_counter() - began
                    print(f"{what:12} {view or '/':12} {seconds:6.2f} s  {size / 1000:6.0f} kB")
            while "being brought up to date" in urllib.request.urlopen(f"{address}/run/long").read().decode():
                time.sleep(0.1)
            print(f"summed up by {time.perf_counter() - started:6.2f} s")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
