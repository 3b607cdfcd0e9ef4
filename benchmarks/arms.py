"""Arms side by side on one task at equal trials: `python benchmarks/arms.py --task gpt-table --researcher stuck`.

Each seed is shared by all arms. Nested arms are charged both arms of their forks. Prints, per arm, the mean gain of the
best seen over the baseline with a 95 % bootstrap interval over seeds, and the paired difference from the first arm. The
scores are best seen on one evaluation seed, not re-measured; on a noisy task they flatter every arm alike.
"""

import argparse
import random
import statistics
from collections.abc import Sequence

from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.overriding import override
from bilevel.recipe import Recipe, find
from bilevel.report import Summary, summarise
from bilevel.wiring import build


def main() -> None:
    """Run all arms on all seeds and print the table."""
    options = _options()
    arms = options.arms.split(",")
    found = {arm: [_run(_recipe(arm, options, seed)) for seed in range(options.seeds)] for arm in arms}
    first = _gains(found[arms[0]])
    print(f"{options.task}, researcher {options.researcher}, {options.trials} trials, {options.seeds} seeds")
    print(
        f"{'arm':10} {'trials':>6} {'measured':>8} {'distinct':>8}  gain [95 %]                 gain - {arms[0]} [95 %]"
    )
    for arm in arms:
        runs, gains = found[arm], _gains(found[arm])
        paired = [gain - other for gain, other in zip(gains, first, strict=True)]
        trials = statistics.mean(run.repetition.trials for run in runs)
        measured = statistics.mean(run.charged for run in runs)
        distinct = statistics.mean(run.repetition.distinct for run in runs)
        print(f"{arm:10} {trials:6.1f} {measured:8.1f} {distinct:8.1f}  {_interval(gains)}  {_interval(paired)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="gpt-table")
    parser.add_argument("--researcher", default="stuck")
    parser.add_argument("--arms", default="a,restart,placebo,static,shuffle,b,c,d,random")
    parser.add_argument("--trials", type=int, default=70)
    parser.add_argument("--inner-budget", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20)
    return parser.parse_args()


def _recipe(arm: str, options: argparse.Namespace, seed: int) -> Recipe:
    recipe = find(arm)
    researcher = None if arm in ("random", "classical") else options.researcher
    if not recipe.outer:
        return override(recipe, task=options.task, researcher=researcher, trials=options.trials, seed=seed)
    arms = 2 if recipe.outer[-1].start == "fork" else 1
    cycles = 1 + (options.trials - options.inner_budget) // (arms * options.inner_budget)
    return override(
        recipe,
        task=options.task,
        researcher=researcher,
        inner_budget=options.inner_budget,
        outer_cycles=cycles,
        seed=seed,
    )


def _run(recipe: Recipe) -> Summary:
    spec, lab = build(recipe), Lab()
    Loop(spec, lab).run()
    return summarise(lab.store, spec, recipe=recipe.name)


def _gains(runs: Sequence[Summary]) -> list[float]:
    return [run.gain if run.gain is not None else 0.0 for run in runs]


def _interval(values: Sequence[float], resamples: int = 2000) -> str:
    rng = random.Random(0)
    means = sorted(statistics.mean(rng.choices(values, k=len(values))) for _ in range(resamples))
    low, high = means[int(0.025 * resamples)], means[int(0.975 * resamples)]
    return f"{statistics.mean(values):+.4f} [{low:+.4f}, {high:+.4f}]"


if __name__ == "__main__":
    main()
