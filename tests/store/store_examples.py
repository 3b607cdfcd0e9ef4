"""Trials that are a function of their number, so that another process can tell whether what it reads is what was
written; and a writer for that other process: `python store_examples.py FOLDER [COUNT]`."""

import sys
from pathlib import Path

from bilevel.budget import Cost
from bilevel.lab import Branch, RunKey
from bilevel.space import Candidate, Change
from bilevel.store.folder import RunFolder
from bilevel.trial import Count, Decision, Pending, Proposal, Run, Status, Step, Trial

ROOT = Branch("root", "inner")


def candidate(number: int) -> Candidate:
    files = {"train.py": f"# version {number // 5}\n" + "x = 1\n" * 99}
    return Candidate({"depth": number, "sizes": (1, number)}, files)


def proposal(number: int) -> Proposal:
    return Proposal(candidate(number), "deeper", "example", {"seen": (number, True)})


def run(number: int) -> Run:
    return Run("full", 0, Status.OK, {"loss": 1 / (number + 1)}, Cost(1, 2.5), f"step {number}\n" * 30)


def key(number: int) -> RunKey:
    return RunKey("harness", candidate(number).id, "full", 0)


def pending(number: int) -> Pending:
    return Pending(number, number, candidate(max(number - 1, 0)), proposal(number), (Step("full"),))


def trial(number: int) -> Trial:
    runs = (run(number),)
    changes = {"depth": Change(max(number - 1, 0), number)}
    ledger = {"tabu": {"propose": Count(1, number % 2)}}
    decision = Decision(True, "better")
    parent = candidate(max(number - 1, 0))
    return Trial(number, parent, proposal(number), runs, Status.OK, 1 / (number + 1), decision, changes, ledger=ledger)


def main(path: str, count: str = "1000000") -> None:
    """Write as fast as it goes, from where the folder stands; prints each number once its trial is stored."""
    folder = RunFolder.open(Path(path))
    start = len(folder.store.trials("root"))
    for number in range(start, start + int(count)):
        folder.store.add_pending("root", pending(number))
        folder.store.add_run(key(number), run(number))
        folder.store.add_trial("root", trial(number))
        print(number, flush=True)
    folder.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
