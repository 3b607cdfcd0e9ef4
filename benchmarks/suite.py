"""Methods on tasks that nobody here made, beside peers: `python benchmarks/suite.py`.

Each method searches each task for 40 evaluations, from a poor default and from random starts, on the same seeds. It
prints the mean normalised regret x 100 of the candidate that each method would return (0 the best there is, 100 the
median of the space; on values without noise) at 10, 20 and 40 evaluations, with 95 % bootstrap intervals over seeds
within tasks; average ranks over tasks, Friedman's p and Nemenyi's critical difference (Demsar 2006). The intervals
speak of these tasks; the ranks of tasks like these. Records are lines of JSON: a run that was killed goes on, and
`--methods a,c --again --all-methods` measures some methods anew and prints them beside the stored ones. A record says
which version of the program made it (a hash of the code, of peers the versions of their packages): those of another
version are kept and never printed beside those of this one; `--print-only --program VERSION` prints theirs. SMAC3 and
HEBO are not among the peers: SMAC3's random forest comes as source to be compiled, HEBO was not tried.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy and torch are imported

from suite_methods import (  # noqa: E402
    BEST,
    CHECKPOINTS,
    DEV,
    OURS,
    PEERS,
    STARTS,
    UNSEEN,
    Job,
    missing,
    program,
    search,
)

from bilevel.compare.ranks import ranked  # noqa: E402

RESAMPLES = 2000
SETS = {"dev": DEV, "unseen": UNSEEN, "all": (*DEV, *UNSEEN)}
QUICK_TASKS, QUICK_METHODS = ("landscape:cliff", "landscape:plateau"), ("a", "static", "stuck", "optuna-random")


def main() -> None:
    """Measure what is not stored yet, then print the table."""
    options = _options()
    methods = _methods(options)
    tasks = [task for part in options.tasks.split(",") for task in SETS.get(part, (part,))]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = [
        Job(method, task, start, seed, options.evaluations)
        for task in tasks for seed in seeds for start in options.starts.split(",") for method in methods
    ]  # fmt: skip
    file = Path(options.out)
    stored = read(file)
    if options.again:
        stored = {key: row for key, row in stored.items() if row["method"] not in methods or not _is_this(row)}
        _write(file, stored.values())
    if not options.print_only:
        have = {job_of(row).key for row in stored.values() if _is_this(row)}
        _measure([job for job in jobs if job.key not in have], file, min(options.processes, 2))
        stored = read(file)
    asked = [row for row in stored.values() if row["task"] in tasks and row["seed"] in seeds]
    shown = of_one_version(asked, methods if not options.all_methods else None, options.program, options.print_only)
    shown = [row for row in shown if row["evaluations"] == options.evaluations]
    for start in options.starts.split(","):
        print_table([row for row in shown if row["start"] == start], start, options.all_methods or methods)
    print(f"best: recipe a with the mechanism {BEST}; the development tasks are {', '.join(DEV)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="all", help="all, ours, peers, or names with commas between them")
    parser.add_argument("--tasks", default="all", help="dev, unseen, all, or names of tasks")
    parser.add_argument("--starts", default=",".join(STARTS))
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="at most 2")
    parser.add_argument("--out", default="experiments/suite/records.jsonl")
    parser.add_argument("--again", action="store_true", help="forget what is stored of these methods first")
    parser.add_argument("--print-only", action="store_true", help="measure nothing")
    parser.add_argument("--program", default="", help="with --print-only: the version whose records are printed")
    parser.add_argument("--all-methods", action="store_true", help="print every stored method, not only those named")
    parser.add_argument("--quick", action="store_true", help="two landscapes, four methods, two seeds; seconds")
    options = parser.parse_args()
    if options.quick:
        options.tasks, options.methods, options.seeds = ",".join(QUICK_TASKS), ",".join(QUICK_METHODS), 2
    return options


def _methods(options: argparse.Namespace) -> list[str]:
    """The methods asked for that can run here; the reason is printed for those that cannot."""
    groups = {"all": (*OURS, *PEERS), "ours": tuple(OURS), "peers": PEERS}
    asked = [name for part in options.methods.split(",") for name in groups.get(part, (part,))]
    unknown = [name for name in asked if name not in groups["all"]]
    if unknown:
        sys.exit(f"there is no method {unknown[0]!r}; there are: {', '.join(groups['all'])}")
    for name in asked:
        if missing(name):
            print(f"skipped: {name}: {missing(name)}")
    return [name for name in asked if not missing(name)]


def job_of(row: Mapping[str, Any]) -> Job:
    """The search that a record is of."""
    return Job(*(row[name] for name in ("method", "task", "start", "seed", "evaluations")))


def version_of(row: Mapping[str, Any]) -> str:
    """Which version of the program made a record; older ones do not say."""
    return str(row.get("program", "unknown"))


def _is_this(row: Mapping[str, Any]) -> bool:
    """Whether a record is of this version. Of peers, one that does not say is taken for it."""
    if row["method"] not in OURS:
        return missing(row["method"]) == "" and version_of(row) in ("unknown", program(row["method"]))
    return version_of(row) == program(row["method"])


def of_one_version(
    rows: Sequence[Mapping[str, Any]], methods: Sequence[str] | None, wanted: str, print_only: bool
) -> list[Mapping[str, Any]]:
    """The records of peers, and those of ours that one version made: the wanted one, or this one, or with `print_only`
    the only one there is. What is left out is said. Exits where several versions could be meant."""
    asked = [row for row in rows if methods is None or row["method"] in methods]
    ours = Counter(version_of(row) for row in asked if row["method"] in OURS)
    this = program(next(iter(OURS)))
    if print_only and not wanted and len(ours) > 1 and this not in ours:
        found = ", ".join(f"{name} ({count} searches)" for name, count in sorted(ours.items()))
        sys.exit(f"the records are of several versions of the program: {found}; name one with --program")
    version = wanted or (next(iter(ours)) if print_only and len(ours) == 1 else this)
    if print_only and wanted and wanted not in ours:
        sys.exit(f"no records of version {wanted!r} of the program; there are: {', '.join(sorted(ours)) or 'none'}")
    if version != this and ours:
        print(f"made by version {version} of the program; this one is {this}")
    for name, count in sorted(ours.items()):
        if name != version:
            print(f"left out: {count} searches by version {name} of the program")
    peers = {(row["method"], version_of(row)) for row in asked if row["method"] not in OURS}
    for name in sorted({name for name, _ in peers}):
        made = sorted(version for method, version in peers if method == name)
        if len(made) > 1:
            print(f"not to be compared: {name} was measured with {' and '.join(made)}; use --again")
    return [row for row in asked if row["method"] not in OURS or version_of(row) == version]


def read(file: Path) -> dict[str, dict[str, Any]]:
    """The stored records by key and version. A last line that a kill cut off is left out."""
    found = {}
    for line in file.read_text("utf-8").splitlines() if file.is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[f"{job_of(row).key} {version_of(row)}"] = row
    return found


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _measure(jobs: Sequence[Job], file: Path, processes: int) -> None:
    _write(file, read(file).values())  # drops a line that was cut off
    with multiprocessing.get_context("spawn").Pool(processes) as pool, file.open("a", encoding="utf-8") as out:
        for count, row in enumerate(pool.imap_unordered(search, jobs), 1):
            out.write(json.dumps(row) + "\n")
            out.flush()
            if count % 50 == 0:
                print(f"{count} of {len(jobs)} searches", file=sys.stderr)


def print_table(rows: Sequence[Mapping[str, Any]], start: str, only: Sequence[str] | bool) -> None:
    """One table: methods that have every task and seed that any has, the best at the last checkpoint first."""
    by: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        if only is True or row["method"] in only:  # type: ignore[operator]
            by.setdefault(row["method"], {}).setdefault(row["task"], {})[row["seed"]] = row
    cells = {(task, seed) for tasks in by.values() for task, seeds in tasks.items() for seed in seeds}
    for task, seed in sorted(cells):
        harnesses = {tasks[task][seed]["harness"] for tasks in by.values() if seed in tasks.get(task, {})}
        if len(harnesses) > 1:
            print(f"not to be compared: {task}, seed {seed}, was measured by {len(harnesses)} harnesses; use --again")
    whole = {m for m, tasks in by.items() if sum(map(len, tasks.values())) == len(cells)}
    if not cells:
        return
    for name in sorted(by.keys() - whole):
        print(f"left out: {name} has {sum(map(len, by[name].values()))} of {len(cells)} searches")
    marks = [str(mark) for mark in CHECKPOINTS if all(str(mark) in row["regret"] for row in rows)]
    last = marks[-1]
    mean = {name: _mean(by[name], last) for name in whole}
    names = sorted(whole, key=lambda name: mean[name])
    tasks = sorted({task for task, _ in cells})
    scores = {task: {name: -_mean({task: by[name][task]}, last) for name in names} for task in tasks}
    ranks = ranked(scores, 0)
    seeds = len({seed for _, seed in cells})
    print(f"\nstart {start}: {len(tasks)} tasks, {seeds} seeds; normalised regret x 100 [95 %] after evaluations")
    head = "".join(f"{mark:>24}" for mark in marks)
    print(f"{'method':18}{head}{'rank':>7}{'distinct':>10}{'refused':>9}{'seconds':>9}")
    for name in names:
        own = [row for seeds_of in by[name].values() for row in seeds_of.values()]
        cols = "".join(f"{_interval(by[name], mark):>24}" for mark in marks)
        rank = f"{ranks.average[name]:.2f}" if ranks else "-"
        rest = [statistics.mean(row[key] for row in own) for key in ("distinct", "refused", "seconds")]
        print(f"{name:18}{cols}{rank:>7}{rest[0]:10.1f}{rest[1]:9.1f}{rest[2]:9.2f}")
    if ranks:
        print(
            f"Friedman p {ranks.p:.4f}; ranks closer than {ranks.critical_difference:.2f} cannot be told apart at 5 %"
        )
    for ours in [name for name in names if name in OURS][:1]:
        for peer in [name for name in names if name not in OURS]:
            print(f"{ours} less {peer} at {last}, paired by task and seed: {_difference(by[ours], by[peer], last)}")
    print(f"by task at {last}: " + ", ".join(names[:4]))
    for task in tasks:
        print(f"  {task:32}" + "".join(f"{-scores[task][name]:9.1f}" for name in names[:4]))


def _mean(tasks: Mapping[str, Mapping[int, Mapping[str, Any]]], mark: str) -> float:
    return statistics.mean(
        statistics.mean(row["regret"][mark] for row in seeds.values()) for seeds in tasks.values()
    )  # fmt: skip


def _interval(tasks: Mapping[str, Mapping[int, Mapping[str, Any]]], mark: str) -> str:
    mean, low, high = _bootstrapped([[row["regret"][mark] for row in seeds.values()] for seeds in tasks.values()])
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _difference(
    a: Mapping[str, Mapping[int, Mapping[str, Any]]], b: Mapping[str, Mapping[int, Mapping[str, Any]]], mark: str
) -> str:
    """How much higher the regret of a is than that of b; both have the same tasks and seeds."""
    mean, low, high = _bootstrapped(
        [
            [row["regret"][mark] - b[task][seed]["regret"][mark] for seed, row in seeds.items()]
            for task, seeds in a.items()
        ]
    )
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _bootstrapped(values: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The mean over tasks of their means over seeds, and a percentile bootstrap over the seeds within each."""
    rng = random.Random(0)
    means = sorted(
        statistics.mean(statistics.fmean(rng.choices(own, k=len(own))) for own in values) for _ in range(RESAMPLES)
    )
    low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
    return statistics.mean(map(statistics.fmean, values)), low, high


if __name__ == "__main__":
    main()
