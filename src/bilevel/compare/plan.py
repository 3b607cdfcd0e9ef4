"""The plan of a comparison: everything that decides it, hashed before anything runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bilevel import __version__
from bilevel.codec import build, content_hash, derive_seed, plain
from bilevel.compare.budgets import Equal, at_budget
from bilevel.compare.paired import DRAWS, FEWEST, LEVEL, MOST_EXACT, POWER
from bilevel.compare.resampling import CONFIDENCE, RESAMPLES
from bilevel.errors import InputError
from bilevel.overriding import override
from bilevel.recipe import ClaimTable, Recipe, find, resolve
from bilevel.task import Sealing
from bilevel.tasks.catalog import find as find_task
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.karpathy import KarpathyTask
from bilevel.wiring import build as wire
from bilevel.wiring import uses_models

Recheck = int | Literal["all"]

DEFAULT_ARMS = ("a", "d", "restart", "static", "shuffle", "random")
MEANING: Mapping[Equal, str] = {
    "trials": "measurements at most, those of all arms of forks counted; the baseline's calibration is not, and what "
    "is refused before it is measured costs nothing",
    "tokens": "tokens of all models together",
    "seconds": "seconds of wall time, the baseline's measurements among them",
    "money": "US dollars for all models together",
}
# Keys of the analysis that older plans do not have, so that their comparisons say what they said.
FAILED_ANSWERS, EXACT_ANSWERS, ONE_SIDED = "failed answers", "exact answers", "one-sided gaps"
ANALYSIS: Mapping[str, Any] = {
    "metric": "improvement: the gain of the best candidate found over the baseline, in the objective's unit, both as "
    "means over fresh seeds that no search used and that all arms of a replicate share; best seen where the task is "
    "deterministic, or where there are no fresh seeds",
    "averages": "mean, median and interquartile mean over replicates",
    "intervals": f"{CONFIDENCE:.0%} percentile bootstrap of {RESAMPLES} resamples, stratified by task (one here)",
    "curve": "best seen so far over the budget spent, and its mean over the budget (area)",
    "regret": "(optimum - found) / (optimum - baseline) where the task knows its optimum",
    "test": f"two-sided sign-flip permutation test of the paired differences from the reference: exact up to "
    f"{MOST_EXACT} pairs, else {DRAWS} random patterns",
    "correction": "Holm over the arms; over all pairs of a level-2 arm and its controls for the claims",
    "effects": "Cohen's d of the differences, and the probability of superiority",
    "power": f"replicates needed for {POWER:.0%} at {LEVEL:.0%}, normal approximation on the paired differences, "
    f"and at least {FEWEST}, with which the test can find anything",
    "missing": "runs that failed are left out with their pairs and reported; never counted as 0",
    FAILED_ANSWERS: "a best candidate that fails on a fresh seed, or breaks a guardrail there, where the baseline has "
    "a score on all, is no answer: its run counts as the baseline (improvement 0), is reported, and is no missing run",
    EXACT_ANSWERS: "where the task is deterministic, what the best candidate shows on the first fresh seeds is held "
    "against the guardrails, beside the baseline's repeats in the search: one that breaks them is a failed answer",
    ONE_SIDED: "a difference for which runs of one arm are missing where the other has a number is no claim",
}
OVER_TASKS: Mapping[str, Any] = {
    "score": "the improvement as a share of the way from the baseline to the optimum; where a task does not know its "
    "optimum, to the best that any run of this comparison found on it",
    "intervals": f"{CONFIDENCE:.0%} percentile bootstrap of {RESAMPLES} resamples, stratified by task",
    "averages over tasks": "of the scores of all runs; tasks have the same weight where no run is missing",
    "seeds": "each pair of task and replicate has its own, shared by all arms",
    "test over tasks": "the signs of the score differences are flipped pair by pair of task and replicate: it speaks "
    "of these tasks, not of others",
    "ranks": "of the arms' mean scores on each task, averaged over tasks; Friedman's test by permutation of the ranks "
    "within tasks, and Nemenyi's critical difference at 5 % (Demsar 2006)",
}
RECHECKS: Mapping[str, Any] = {
    "keeps": "kept trials of the innermost loop that looked better than the candidate they started from, each step "
    "once; so many per run, drawn by the run's seed, are measured again after the search, with their parents, on the "
    "fresh seeds; a keep survives where its mean gain there is above 0 (one without effect does in half of the cases)",
    "keeps, intervals": "runs are drawn again with all their keeps; where all keeps survived, or none, the exact bound "
    "that counts each run as one observation",
    "keeps, missing": "a keep that fails on a fresh seed, or whose parent does, is left out and reported",
}
SEALED: Mapping[str, Any] = {
    "sealed": "after each run, the sealed metrics of the baseline and of its best candidate are measured once, for the "
    "documents alone; the baseline's are shared by the arms of a replicate; no test or claim rests on them",
}
# Fields that older plans do not have: left out where they say nothing.
LATER: Mapping[str, Any] = {"tasks": {}, "recheck": 0, "sealed": False}


@dataclass(frozen=True)
class Wishes:
    """What a person asks for. `reference`: the arm that all others are compared with ("a" where it is among them, else
    the first); `fresh`: on how many fresh seeds the best candidate is measured again; `recheck`: how many keeps of each
    run are, with their parents; `most_trials` bounds runs whose budget is not in trials (0: 1000 where time is
    equal)."""

    arms: tuple[str, ...] = DEFAULT_ARMS
    tasks: tuple[str, ...] = ("gpt-table",)
    replicates: int = 10
    equal: Equal = "trials"
    budget: float = 30
    reference: str = ""
    seed: int = 0
    fresh: int = 3
    recheck: Recheck = 0
    researcher: str | None = None
    models: tuple[str, ...] = ()
    inner_budget: int | None = None
    rung: str | None = None
    most_trials: int = 0


@dataclass(frozen=True)
class Plan:
    """A comparison before it runs. `arms` are resolved recipes by name, without a seed; `seeds` has one per replicate.

    `harness` is that of the task: what measures may not change within a comparison. `tasks`: the harness of each task
    where there are several; `task` then lists them and `harness` is a hash of all. `sealed`: whether the best of each
    run is measured on what the task seals, when the run has ended.
    """

    task: str
    harness: str
    arms: Mapping[str, Any]
    reference: str
    equal: Literal["trials", "tokens", "seconds", "money"]
    budget: float
    most_trials: int
    seed: int
    seeds: tuple[int, ...]
    fresh: int
    bilevel: str = __version__
    analysis: Mapping[str, Any] = field(default_factory=lambda: ANALYSIS)
    tasks: Mapping[str, str] = field(default_factory=dict)
    recheck: Recheck = 0
    sealed: bool = False

    @property
    def hash(self) -> str:
        return content_hash(written(self))

    @property
    def harnesses(self) -> Mapping[str, str]:
        """What measures each task."""
        return self.tasks or {self.task: self.harness}

    def recipe(self, arm: str, replicate: int, task: str) -> Recipe:
        """The recipe of one run; replicates count from 1."""
        seed = self.seeds[replicate - 1]
        own = derive_seed(seed, "task", task) if self.tasks else seed
        return resolve(plain(self)["arms"][arm]).model_copy(update={"seed": own, "task": task})


def written(plan: Plan) -> Any:
    """The plan as it is stored and hashed: what an older version did not know is left out where it says nothing."""
    return {key: value for key, value in plain(plan).items() if key not in LATER or value != LATER[key]}


def make(wishes: Wishes) -> Plan:
    """The plan of what is asked for. Raises InputError where arms, task or budget cannot be used together."""
    _check(wishes)
    harnesses = _harnesses(wishes.tasks)
    arms: dict[str, Recipe] = {}
    for arm in wishes.arms:
        recipe = _arm(find(arm), wishes, list(harnesses))
        if recipe.name in arms:
            raise InputError(f"two arms are named {recipe.name!r}; give one recipe another name")
        arms[recipe.name] = recipe
    reference = wishes.reference or ("a" if "a" in arms else next(iter(arms)))
    if reference not in arms:
        raise InputError(f"the reference {reference!r} is not among the arms: {', '.join(arms)}")
    _check_alike(arms)
    several, sealed = len(harnesses) > 1, any(map(_seals, harnesses))
    extra = {**(OVER_TASKS if several else {}), **(RECHECKS if wishes.recheck else {}), **(SEALED if sealed else {})}
    return Plan(
        task=", ".join(harnesses),
        harness=content_hash(harnesses) if several else next(iter(harnesses.values())),
        arms={arm: recipe.model_dump(mode="json") for arm, recipe in arms.items()},
        reference=reference,
        equal=wishes.equal,
        budget=wishes.budget,
        most_trials=wishes.most_trials,
        seed=wishes.seed,
        seeds=tuple(derive_seed(wishes.seed, "replicate", number) for number in range(1, wishes.replicates + 1)),
        fresh=wishes.fresh,
        analysis={**ANALYSIS, **extra},
        tasks=harnesses if several else {},
        recheck=wishes.recheck,
        sealed=sealed,
    )


def _seals(name: str) -> bool:
    """Whether a task has metrics that no search may see."""
    task = find_task(name)
    return isinstance(task, Sealing) and bool(task.seals)


def _harnesses(tasks: tuple[str, ...]) -> dict[str, str]:
    """What measures each task, by the name under which a run finds it again."""
    found: dict[str, str] = {}
    for wanted in tasks:
        task, name = find_task(wanted), wanted
        if isinstance(task, FolderTask) and task.folder == Path(wanted).resolve():
            name = str(task.folder)
        if isinstance(task, KarpathyTask):
            name = task.reference
        if name in found:
            raise InputError(f"task {name!r} is given twice")
        found[name] = task.harness
    return found


def load(data: Any) -> Plan:
    """The plan that `plain` turned into `data`."""
    made: Plan = build(Plan, data)
    return made


def _check(wishes: Wishes) -> None:
    if wishes.equal not in get_args(Equal):
        raise InputError(f"--equal {wishes.equal!r}: what can be equal is {', '.join(get_args(Equal))}")
    if not 0 < wishes.budget < math.inf or (
        wishes.equal in ("trials", "tokens") and wishes.budget != int(wishes.budget)
    ):
        raise InputError(f"--budget {wishes.budget:g}: a number of {wishes.equal} above 0 is needed")
    for name, value, least in (("replicates", wishes.replicates, 1), ("fresh", wishes.fresh, 0)):
        if value < least:
            raise InputError(f"--{name} {value}: at least {least} is needed")
    if wishes.recheck != "all" and wishes.recheck < 0:
        raise InputError(f"--recheck {wishes.recheck}: a number of keeps per run, or all, is needed")
    if wishes.recheck and not wishes.fresh:
        raise InputError("--recheck measures keeps on fresh seeds, and --fresh 0 has none; give --fresh 3")
    if not wishes.tasks:
        raise InputError("a comparison needs a task: --task gpt-table")
    if len(wishes.arms) < 2:
        raise InputError("a comparison needs at least two arms: --arms a,random")


def _arm(recipe: Recipe, wishes: Wishes, tasks: Sequence[str]) -> Recipe:
    """The recipe at the budget, with the options that change it; an arm that names its own researcher keeps it.

    It is built for every task, so that what cannot be is said before anything runs."""
    own = "researcher" in recipe.inner.model_fields_set
    chosen = override(
        recipe,
        task=tasks[0],
        researcher=None if own else wishes.researcher,
        inner_budget=wishes.inner_budget if recipe.nested else None,
        seed=0,
        rung=wishes.rung,
        models=() if own and not recipe.nested and not uses_models(recipe) else wishes.models,
        noise="own" if recipe.inner.noise == "stored" else None,  # what is stored may change between two runs
    )
    for task in tasks[1:]:
        wire(chosen.model_copy(update={"task": task}))
    chosen = chosen.model_copy(update={"claim": ClaimTable(on=False)})  # a comparison measures on fresh seeds itself
    return at_budget(chosen, wishes.equal, wishes.budget, wishes.most_trials)


def _check_alike(arms: Mapping[str, Recipe]) -> None:
    """Raises InputError where the arms could not have identical baselines."""
    for what, values in (
        ("inner.rung", {arm: recipe.inner.rung for arm, recipe in arms.items()}),
        ("inner.calibration", {arm: recipe.inner.calibration for arm, recipe in arms.items()}),
    ):
        if len(set(values.values())) > 1:
            said = ", ".join(f"{arm} {value!r}" for arm, value in values.items())
            raise InputError(f"the arms measure different baselines: {what} is {said}; make it the same in all")
