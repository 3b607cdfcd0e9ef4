"""The methods and tasks of `suite.py`, and one search: what a method would have returned at each number of evaluations.

Every method starts with the same candidate as its first evaluation and is given the same evaluation seed. An evaluation
is one measurement; of ours, each of the baseline's repeats, each repeat of a candidate or its parent, each arm of a
fork and each refused trial counts as one. What ours would return is what `bilevel best` would give then; what a peer
would, the best that it was told of.
"""

import functools
import importlib.metadata
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import bilevel
from bilevel.codec import content_hash, derive_seed
from bilevel.lab import Bench, Lab, MemoryStore
from bilevel.levels import LoopTask, leaf
from bilevel.loop import Loop, LoopSpec
from bilevel.overriding import override
from bilevel.recipe import Recipe, find
from bilevel.report import archive_best
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space, Value
from bilevel.tasks.catalog import find_seeded
from bilevel.tasks.function import FunctionTask
from bilevel.tasks.gpt_table import surrogate
from bilevel.tasks.known import KnownTask
from bilevel.trial import Trial
from bilevel.wiring import build

CHECKPOINTS = (10, 20, 40)
SHOWING = ("cli", "dashboard", "exports", "compare", "init")  # parts of the package that decide nothing

# The split was written down before any method was measured here. Whatever is tuned, is tuned on DEV.
DEV = ("hpo:protein_structure", "hpo:slice_localization", "hpo:vehicle", "hpo:phoneme")
UNSEEN = (
    "hpo:parkinsons_telemonitoring", "hpo:naval_propulsion", "hpo:segment", "hpo:cifar100", "hpo:australian",
    "hpo:car", "hpo:imagenet", "landscape:rastrigin", "landscape:interaction", "landscape:trap", "landscape:plateau",
    "landscape:cliff", "gpt-table",
)  # fmt: skip
STARTS = ("poor", "random")
BEST = "surrogate"  # the mechanism of the library that arm `best` has from its first trial

OURS: Mapping[str, tuple[str, str | None, tuple[str, ...]]] = {  # recipe, researcher, mechanisms
    "default": ("default", None, ()),
    "level 1": ("a", "bayesian", ()),
    "a": ("a", None, ()),
    "b": ("b", None, ()),
    "c": ("c", None, ()),
    "d": ("d", None, ()),
    "restart": ("restart", None, ()),
    "placebo": ("placebo", None, ()),
    "static": ("static", None, ()),
    "shuffle": ("shuffle", None, ()),
    "best": ("a", None, (BEST,)),
    "classical": ("classical", None, ()),
    "local-random": ("random", None, ()),
    "stuck": ("a", "stuck", ()),
    "stuck+default": ("default", "stuck", ()),
    "stuck+static": ("static", "stuck", ()),
    "stuck+orthogonal": ("a", "stuck", ("orthogonal",)),
}
PEERS = ("optuna-gp", "optuna-tpe", "optuna-cmaes", "optuna-random")
NEEDS = {
    "classical": ("optuna",),
    "optuna-gp": ("optuna", "torch", "scipy"),
    "optuna-tpe": ("optuna",),
    "optuna-cmaes": ("optuna", "cmaes"),
    "optuna-random": ("optuna",),
}


@dataclass(frozen=True)
class Job:
    """One search."""

    method: str
    task: str
    start: str
    seed: int
    evaluations: int

    @property
    def key(self) -> str:
        return f"{self.method} {self.task} {self.start} {self.seed} {self.evaluations}"


@dataclass(frozen=True)
class Step:
    """What so many evaluations (`charge`) were spent on, whether it was measured, and what the method would return now;
    None before it has anything."""

    params: Mapping[str, Value]
    returned: Mapping[str, Value] | None
    charge: int
    measured: bool


def search(job: Job) -> dict[str, Any]:
    """The record of one search: normalised regret x 100 at each checkpoint, and how repetitive it was."""
    began = time.perf_counter()
    task, regret = known(job.task, job.start, job.seed)
    steps = list(_ours(job, task) if job.method in OURS else _peer(job, task))
    taken = list[Step]()
    at = dict[int, float]()
    spent = 0
    for step in steps:
        if spent + step.charge > job.evaluations:
            break
        spent += step.charge
        taken.append(step)
        if step.returned is not None:
            found = 100 * regret(step.returned)
            at |= {mark: found for mark in CHECKPOINTS if spent <= mark <= job.evaluations}
    seen = [repr(sorted(step.params.items())) for step in taken if step.measured]
    return {
        **asdict(job),
        "harness": task.harness,
        "program": program(job.method),
        "regret": {str(mark): round(at[mark], 4) for mark in sorted(at)},
        "spent": spent,
        "distinct": len(set(seen)),
        "refused": sum(not step.measured for step in taken),
        "seconds": round(time.perf_counter() - began, 2),
    }


@functools.cache
def program(method: str) -> str:
    """What a method is, beside its name: a hash of the code of bilevel that can decide a search, or of a peer the
    versions of its packages. What only shows, serves and exports is left out."""
    if method not in OURS:
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in NEEDS[method])
    root = Path(bilevel.__file__).parent
    files = [path for path in sorted(root.rglob("*.py")) if path.relative_to(root).parts[0] not in SHOWING]
    mine = [(str(path.relative_to(root)), path.read_text("utf-8")) for path in [*files, *sorted(root.rglob("*.toml"))]]
    here = Path(__file__)  # what is called returned is decided here
    return content_hash([[name, text] for name, text in [*mine, (here.name, here.read_text("utf-8"))]])[:12]


def known(name: str, start: str, seed: int) -> tuple[FunctionTask, Callable[[Mapping[str, Value]], float]]:
    """A task with its start, and the normalised regret of parameters: 0 the best there is, 1 the space's median."""
    if name == "gpt-table":
        return _gpt_table(start, seed)
    task = find_seeded(f"{name},start={start}", seed)
    assert isinstance(task, KnownTask), name
    return task, task.regret


def reference(job: Job) -> str:
    """How the task is named in a recipe; gpt-table has no random start by name."""
    return job.task if job.task == "gpt-table" else f"{job.task},start={job.start}"


@functools.lru_cache(maxsize=64)
def _gpt_table(start: str, seed: int) -> tuple[FunctionTask, Callable[[Mapping[str, Value]], float]]:
    """The surrogate: the best is what a long local search of its noise-free value finds, from 20 random candidates."""
    task = find_seeded("gpt-table", seed)
    assert isinstance(task, FunctionTask)
    best, typical = _gpt_values()
    if start == "random":
        task = replace(task, start=_draw(task, random.Random(derive_seed(seed, "start", task.name))))
    return task, lambda params: (surrogate().predict(params) - best) / (typical - best)


def _draw(task: FunctionTask, rng: random.Random) -> Candidate:
    while True:
        candidate = task.space.sample(rng, task.start)
        if task.run(candidate, Bench(Lab(), "8s", 0, 0)).metrics:
            return candidate


@functools.cache
def _gpt_values() -> tuple[float, float]:
    """The best value found and the median of 501 random candidates that do not crash."""
    task = find_seeded("gpt-table", 0)
    assert isinstance(task, FunctionTask)
    space, rng, predict = task.space, random.Random(0), surrogate().predict
    drawn = sorted((_draw(task, rng) for _ in range(501)), key=lambda candidate: predict(candidate.params))
    typical, best = predict(drawn[250].params), predict(drawn[0].params)
    for here in drawn[:20]:
        value = predict(here.params)
        for _ in range(400):
            names = rng.sample(list(space.active), rng.choice((1, 1, 2)))
            move = here.with_params(**{name: space.draw(rng, name, here.params[name]) for name in names})
            if task.run(move, Bench(Lab(), "8s", 0, 0)).metrics and predict(move.params) < value:
                here, value = move, predict(move.params)
        best = min(best, value)
    return best, typical


# ---- ours ----


class Watched(MemoryStore):
    """A store that keeps the trials of the innermost loop in the order in which they were told, each with the best of
    all that was known then."""

    def __init__(self, spec: LoopSpec) -> None:
        super().__init__()
        self.spec, self.told = spec, list[tuple[Trial, Trial | None]]()

    def add_trial(self, branch_id: str, trial: Trial) -> None:
        super().add_trial(branch_id, trial)
        if self.branch(branch_id).level == leaf(self.spec).name:
            best = archive_best(self, self.spec)
            self.told.append((trial, None if best is None else best[1]))


def recipe(job: Job) -> Recipe:
    name, researcher, mechanisms = OURS[job.method]
    found = find(name)
    chosen = override(
        found, task=reference(job), researcher=researcher, trials=job.evaluations, seed=job.seed
    )  # fmt: skip
    inner = chosen.inner.model_copy(update={"mechanisms": (*chosen.inner.mechanisms, *mechanisms)})
    return chosen.model_copy(update={"inner": inner})


def _ours(job: Job, task: FunctionTask) -> Iterator[Step]:
    spec = build(recipe(job))
    if job.task == "gpt-table":
        spec = starting(spec, task)
    store = Watched(spec)
    Loop(spec, Lab(store=store)).run()
    for trial, best in store.told:
        charge = len(trial.runs) + len(trial.parent_runs)
        yield Step(
            trial.candidate.params, None if best is None else best.candidate.params, max(charge, 1), bool(trial.runs)
        )


def starting(spec: LoopSpec, task: FunctionTask) -> LoopSpec:
    """The same nesting with another task at its bottom: gpt-table has no random start by name."""
    inner = spec.task
    if isinstance(inner, LoopTask):
        return replace(spec, task=replace(inner, inner=starting(inner.inner, task)))
    return replace(spec, task=task)


# ---- peers ----


def missing(method: str) -> str | None:
    """Why a method cannot run here; None where it can."""
    import importlib.util

    gone = [name for name in NEEDS.get(method, ()) if importlib.util.find_spec(name) is None]
    return f"{', '.join(gone)} not installed" if gone else None


def _peer(job: Job, task: FunctionTask) -> Iterator[Step]:
    """An Optuna sampler that is asked and told one candidate at a time; the start is its first."""
    import warnings

    import optuna

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    bench = Bench(Lab(), task.rungs[0].name, 0, derive_seed(job.seed, "evaluation", 0), task.rungs[0].options)
    study = optuna.create_study(
        direction="minimize" if task.objective.minimize else "maximize", sampler=_sampler(job.method, job.seed)
    )
    study.enqueue_trial({name: _inward(task.space, name, task.start.params[name]) for name in task.space.domains})
    best: tuple[float, Mapping[str, Value]] | None = None
    for _ in range(job.evaluations):
        trial = study.ask()
        candidate = Candidate({name: _suggest(trial, task.space, name) for name in task.space.domains})
        run = task.run(candidate, bench)
        score = task.evaluate(run) if run.metrics else None
        if score is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, score)
            if best is None or task.objective.better(score, best[0]):
                best = score, candidate.params
        yield Step(candidate.params, None if best is None else best[1], 1, True)


def _sampler(method: str, seed: int) -> Any:
    import optuna

    if method == "optuna-gp":
        import torch

        torch.set_num_threads(1)
        return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
    if method == "optuna-cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    samplers = {"optuna-tpe": optuna.samplers.TPESampler, "optuna-random": optuna.samplers.RandomSampler}
    return samplers[method](seed=seed)


def _suggest(trial: Any, space: Space, name: str) -> Value:
    domain = space.domains[name]
    if domain.locked:
        raise ValueError(f"{name} is locked; no task of the suite has such a parameter")
    if isinstance(domain, Float):
        return float(trial.suggest_float(name, domain.low, domain.high, log=domain.log))
    if isinstance(domain, Int) and domain.power_of_two:
        low, high = (domain.low - 1).bit_length(), domain.high.bit_length() - 1
        return 1 << int(trial.suggest_int(name, low, high))
    if isinstance(domain, Int):
        return int(trial.suggest_int(name, domain.low, domain.high, log=domain.log))
    if isinstance(domain, Choice):
        return domain.options[trial.suggest_categorical(name, range(len(domain.options)))]
    assert isinstance(domain, Bool)
    return bool(trial.suggest_categorical(name, (False, True)))


def _inward(space: Space, name: str, value: Value) -> Value:
    domain = space.domains[name]
    if isinstance(domain, Int) and domain.power_of_two:
        assert isinstance(value, int)
        return value.bit_length() - 1
    return domain.options.index(value) if isinstance(domain, Choice) else value
