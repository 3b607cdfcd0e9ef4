"""What it costs a run that it can be steered: looking for acts and noting what is asked, per trial.

    python benchmarks/steering.py [--looks 2000] [--acts 100]

Prints microseconds of wall and CPU time, first with nobody steering, then with so many acts taken up before.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bilevel.acts import TAKEN, Act, Effect
from bilevel.lab import Lab
from bilevel.recipe import GateTable
from bilevel.steering.hearing import Hearing
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import append_act


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--looks", type=int, default=2000)
    parser.add_argument("--acts", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        opened = RunFolder.create(Path(folder) / "run", {})
        for acts in (0, asked.acts):
            for number in range(acts):
                act = append_act(opened.path, Act(0, "guide", text=f"look {number}", levels=("inner",), author="me"))
                opened.store.add_effect(Effect(act.number, "root", number, TAKEN))
            hearing = Hearing(opened, GateTable())
            hearing.lab = Lab(opened.store, persons=hearing)
            known = frozenset(act.number for act in opened.store.acts())
            print(f"{acts} acts, {asked.looks} looks each")
            timed_all(hearing, known, asked.looks)
        opened.close()


def timed_all(hearing: Hearing, known: frozenset[int], times: int) -> None:
    """Print what each look costs."""
    timed("between two trials (attend)", times, lambda number: hearing.attend("root", number))
    timed("what a trial takes up (due)", times, lambda number: hearing.due("inner", "root", number, known))
    timed("that it is asked for (asking)", times, lambda number: hearing.asking("root", number))


def timed(what: str, times: int, look: Callable[[int], object]) -> None:
    """Print how long one look takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(times):
        look(number)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"  {what:32} {wall / times * 1e6:8.1f} us wall  {cpu / times * 1e6:8.1f} us CPU")


if __name__ == "__main__":
    main()
