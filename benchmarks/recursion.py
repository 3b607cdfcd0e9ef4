"""Lifted against unlifted: `python benchmarks/recursion.py --task hpo:car hpo:phoneme --seeds 10 --trials 240`.

Runs the recipe `recursive` on each task and seed, and puts together every fork in which a mechanism was lifted onto
level 2: its gain over its unlifted twin in units of the spread that chance alone gives (tasks differ in scale), for
each mechanism and for all, with a 90 % interval by Student's t over forks; how often it was inert; and what level 2
itself came to. Forks in which both arms came to the same best count as 0. The spread of a task may be tiny, so median
and signs stand beside the mean. Nothing is left out for being negative.
"""

import argparse
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bilevel.overriding import override
from bilevel.quantiles import student
from bilevel.recipe import find
from bilevel.report import own_trials, summarise
from bilevel.run import start
from bilevel.yields import Yield

LEVEL_3 = "mechanisms-3"


def main() -> int:
    """Run, and print the table."""
    options = _options()
    gains: dict[str, list[float]] = defaultdict(list)
    inert: dict[str, int] = defaultdict(int)
    level_2: list[Yield] = []
    with tempfile.TemporaryDirectory(prefix="recursion-") as name:
        for number, (task, seed) in enumerate((t, s) for t in options.task for s in range(options.seeds)):
            level_2.append(_run(options, task, seed, Path(name) / str(number), gains, inert))
            print(f"{task}, seed {seed}: level 2: {'; '.join(level_2[-1].sentences)}", flush=True)
    candidates, kept = sum(one.candidates for one in level_2), sum(one.kept for one in level_2)
    print(f"\nlevel 2: {candidates} candidates in {len(level_2)} runs, {kept} kept")
    print("lifted mechanism: gain over its unlifted twin, in spreads of chance")
    for name in sorted(gains.keys() | inert.keys()):
        print(f"  {name}: {_interval(gains[name])}; inert in {inert[name]} forks more")
    print(f"  all: {_interval([gain for found in gains.values() for gain in found])}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", default=["landscape:rastrigin"])
    parser.add_argument("--recipe", default="recursive")
    parser.add_argument("--researcher", default="coordinate")
    parser.add_argument("--trials", type=int, default=100, help="measurements of a run")
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


def _run(
    options: argparse.Namespace, task: str, seed: int, path: Path, gains: dict[str, list[float]], inert: dict[str, int]
) -> Yield:
    recipe = override(find(options.recipe), task=task, researcher=options.researcher, trials=options.trials, seed=seed)
    recipe = recipe.model_copy(update={"claim": recipe.claim.model_copy(update={"on": False})})
    with start(recipe, path) as session:
        session.execute()
        records = session.folder.store
        for _, trial in own_trials(records, LEVEL_3):
            name, data = str(trial.proposal.notes.get("lifted", "")), trial.runs[-1].data if trial.runs else {}
            if not name or trial.score is None or not data.get("control"):
                continue
            if data.get("inert"):
                inert[name] += 1
            else:
                gains[name].append(trial.score / data["spread"] if data["spread"] else 0.0)
        return summarise(records, session.spec).yields[0]


def _interval(gains: list[float]) -> str:
    if not gains:
        return "no fork in which it decided anything"
    middle = statistics.fmean(gains)
    if len(gains) < 2:
        return f"{middle:+.2f} (one fork: no interval)"
    reach = student(0.95, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    signs = f"{better} better, {worse} worse, {len(gains) - better - worse} the same"
    interval = f"{middle:+.2f} [{middle - reach:+.2f}, {middle + reach:+.2f}], median {statistics.median(gains):+.2f}"
    return f"{interval}, {len(gains)} forks: {signs}"


if __name__ == "__main__":
    sys.exit(main())
