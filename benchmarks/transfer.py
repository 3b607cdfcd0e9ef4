"""Cold against warm on tasks that were never seen: `python benchmarks/transfer.py`.

Learns on some tasks: runs a recipe on each and puts every mechanism that had a fork into a library of its own, with its
evidence (the first text of a name stays). Then runs the recipe on other tasks of the same family, cold and with --warm,
on the same seeds with the same number of measurements, and prints for each task the paired difference of the gains over
the baseline, warm minus cold, as a share of the mean cold gain, with a 90 % interval by Student's t over seeds. With
few seeds the interval is wide: it shows whether there is anything to see, and a difference is claimed by nobody here.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.overriding import override
from bilevel.quantiles import student
from bilevel.recipe import Recipe, find
from bilevel.report import Summary, summarise
from bilevel.run import start
from bilevel.shelf.measuring import family, taken_out
from bilevel.shelf.places import user_folder
from bilevel.shelf.storing import store


def main() -> int:
    """Learn, run cold and warm, print the table. Returns the exit code."""
    options = _options()
    families = {family(task) for task in (*options.task, *options.unseen)}
    if len(families) > 1:
        print(f"evidence of one family is not used on another, and these are of {', '.join(sorted(families))}")
        return 2
    with tempfile.TemporaryDirectory(prefix="transfer-") as name:
        os.environ["BILEVEL_DATA"] = str(Path(name) / "data")  # a library of its own
        runs = Path(name) / "runs"
        learned = 0
        for task in options.task:
            for seed in range(options.seeds):
                learned += _learn(_recipe(options, task, 1000 + seed), runs / f"learn-{len(list(runs.glob('*')))}")
        known = len(list(user_folder().glob("*.py"))) if user_folder().is_dir() else 0
        print(f"learned on {', '.join(options.task)}: {learned} records of {known} mechanisms")
        shares: list[float] = []
        for task in options.unseen:
            shares += _unseen(options, task, runs)
        if len(options.unseen) > 1:
            print(f"all tasks: {_interval(shares)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", default=["landscape:rastrigin", "landscape:interaction"])
    parser.add_argument("--unseen", nargs="+", default=["landscape:cliff", "landscape:plateau"])
    parser.add_argument("--recipe", default="d")
    parser.add_argument("--researcher", default="coordinate")
    parser.add_argument("--trials", type=int, default=40, help="measurements of a run")
    parser.add_argument("--seeds", type=int, default=2)
    return parser.parse_args()


def _recipe(options: argparse.Namespace, task: str, seed: int, *, warm: bool = False) -> Recipe:
    recipe = override(
        find(options.recipe), task=task, researcher=options.researcher, trials=options.trials, seed=seed, warm=warm
    )
    return recipe.model_copy(update={"claim": recipe.claim.model_copy(update={"on": False})})


def _learn(recipe: Recipe, path: Path) -> int:
    """Put what had a fork in a run into the library. Returns how many records were written."""
    done = 0
    with start(recipe, path) as session:
        session.execute()
        records, spec = session.folder.store, session.spec
        summary = summarise(records, spec)
        tried = {
            (one.name, content_hash(one.source)): one.trial for one in summary.mechanisms if one.pairs and one.name
        }
        for (name, _), trial in tried.items():
            try:
                source, record = taken_out(records, spec, name, run=path, recipe=recipe.name, trial=trial)
                store(user_folder() / f"{name}.py", source, record)
            except InputError:  # another text of that name lies there, or it was left out in that trial
                continue
            done += 1
    return done


def _unseen(options: argparse.Namespace, task: str, runs: Path) -> list[float]:
    """One task, cold and warm, on each seed; prints its line and returns the differences as shares."""
    gains: dict[bool, list[float]] = {False: [], True: []}
    first = 0
    for seed in range(options.seeds):
        picks = []
        for warm in (False, True):
            summary = _ran(_recipe(options, task, seed, warm=warm), runs / f"{len(list(runs.glob('*')))}")
            gains[warm].append(summary.gain or 0.0)
            picks.append(next((one.name for one in summary.mechanisms if one.name), ""))
        first += picks[0] != picks[1]
    size = statistics.fmean(gains[False]) or 1.0
    shares = [(warm - cold) / abs(size) for cold, warm in zip(gains[False], gains[True], strict=True)]
    print(
        f"{task}: cold gains {statistics.fmean(gains[False]):.4g}, warm {statistics.fmean(gains[True]):.4g}; "
        f"{_interval(shares)}; another first mechanism in {first} of {options.seeds}"
    )
    return shares


def _ran(recipe: Recipe, path: Path) -> Summary:
    with start(recipe, path) as session:
        session.execute()
        return summarise(session.folder.store, session.spec)


def _interval(shares: list[float]) -> str:
    middle = statistics.fmean(shares)
    if len(shares) < 2:
        return f"warm - cold {middle:+.1%} of the cold gain (one pair: no interval)"
    reach = student(0.95, len(shares) - 1) * statistics.stdev(shares) / math.sqrt(len(shares))
    return (
        f"warm - cold {middle:+.1%} of the cold gain [{middle - reach:+.1%}, {middle + reach:+.1%}], "
        f"{len(shares)} pairs"
    )


if __name__ == "__main__":
    sys.exit(main())
