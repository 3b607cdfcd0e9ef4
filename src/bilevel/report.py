"""What a run came to: numbers read from its store, nothing computed that is not recorded there."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bilevel.arms import Best
from bilevel.beliefs import beliefs
from bilevel.budget import Cost
from bilevel.calls import CallSummary
from bilevel.claim import Claimed
from bilevel.fronts import Front, Guarded, front_of, guarded
from bilevel.guided import Guided, guided
from bilevel.helps import Confirmed
from bilevel.lab import Branch, Records, Traces
from bilevel.levels import leaf, levels_of, standing
from bilevel.loop import LoopSpec
from bilevel.mechanism_trials import (
    AdviceLedger,
    AsideCost,
    MechanismTrial,
    advice_ledger,
    aside_cost,
    mechanism_trial,
    numbers_of,
)
from bilevel.noise import Noise
from bilevel.rules import mean
from bilevel.shadow import aside_of
from bilevel.standings import Ladder, Retired, ladder_of, mechanism_levels, retirements
from bilevel.steered import key_of
from bilevel.steps import StepCount, steps_in
from bilevel.trace import Trace
from bilevel.trial import Trial, merge
from bilevel.yields import Yield, yields_of


@dataclass(frozen=True)
class LevelCost:
    """What one level spent. `trials` counts all arms; `calls` to language models are made once for all arms.

    `unpriced`: so many of the calls have no known price and are not in `money`, US dollars.
    """

    level: str
    trials: int
    kept: int
    evaluations: int
    seconds: float
    cpu_seconds: float
    calls: int = 0
    tokens: int = 0
    money: float = 0.0
    unpriced: int = 0
    call_seconds: float = 0.0


@dataclass(frozen=True)
class Repetition:
    """How repetitive the innermost researcher was over all its trials."""

    trials: int
    distinct: int
    longest_streak: int
    turned_back: int
    refused: int
    failed: int


@dataclass(frozen=True)
class Summary:
    """A run in numbers. Scores are in the objective's unit; `best` is a best-seen value, not a re-measured one."""

    task: str
    objective: str
    unit: str
    direction: str
    self_reported: bool
    recipe: str
    researcher: str
    folder: str
    state: str
    seed: int
    baseline: float | None
    best: float | None
    gain: float | None
    noise: Noise
    best_trial: str
    changes: Mapping[str, tuple[Any, Any]]
    files: tuple[str, ...]
    evaluations: int
    charged: int
    costs: tuple[LevelCost, ...]
    repetition: Repetition
    in_force: tuple[str, ...]
    mechanisms: tuple[MechanismTrial, ...]
    static: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    beliefs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what skills in force claim
    steps: Mapping[str, StepCount] = field(default_factory=dict)  # of a researcher that is a workflow; all arms
    guided: Guided | None = None  # of a run that measures addenda to such steps
    curve: tuple[float, ...] = ()
    advice: Mapping[str, AdviceLedger] = field(default_factory=dict)  # of mechanisms in force from the first trial
    asked_aside: AsideCost = AsideCost()
    ladder: Ladder | None = None  # of a run with level 2
    yields: tuple[Yield, ...] = ()  # what the levels that search mechanisms are worth themselves
    retired: tuple[Retired, ...] = ()
    front: Front | None = None  # of a task with further objectives
    guardrails: tuple[Guarded, ...] = ()
    isolation: Mapping[str, int] = field(default_factory=dict)  # what was in force -> in how many innermost trials
    claim: Claimed | None = None  # the final answer on fresh seeds, and what may be claimed
    confirmed: Confirmed | None = None  # what whole loops on fresh run seeds say of mechanisms


def own_trials(records: Records, level: str) -> list[tuple[str, Trial]]:
    """All trials that a level's branches added, branch by branch in the order of their opening."""
    return [(b.id, trial) for b in records.branches() if b.level == level for trial in records.trials(b.id)]


def archive_best(records: Records, spec: LoopSpec) -> tuple[str, Trial] | None:
    """The best trial of the innermost loop over all branches, and its branch.

    Under a keep rule the best of the branches' incumbents, compared on the seeds that two share; its score is the mean
    over all seeds that it was run on.
    """
    objective = leaf(spec).task.objective
    best: tuple[str, Trial] | None = None
    scored = Best()
    for branch, trial, found in _contenders(records, leaf(spec)):
        if found.score is not None and (best is None or scored.gain(objective, found) > 0):
            best, scored = (branch, replace(trial, score=found.score)), found
    return best


def _contenders(records: Records, inner: LoopSpec) -> Iterator[tuple[str, Trial, Best]]:
    if inner.rule is None:
        for name, trial in own_trials(records, inner.name):
            yield name, trial, Best(trial.score)
        return
    traces, branches = Traces(records), {branch.id: branch for branch in records.branches()}
    own = {name: traces.trace(name, inner.task.objective) for name, one in branches.items() if one.level == inner.name}
    out = frozenset(name for trace in own.values() for name in trace.out)  # in whichever arm of a fork it showed
    for branch, trace in ((branches[name], trace) for name, trace in own.items()):
        best = trace.incumbent
        best = trace.holding(out) if best is not None and best.candidate.id in out else best
        if best is not None and best.score is not None:
            scores = trace.scores(best.candidate.id)
            owner = next(owner for owner in _line(branches, branch) if best.number >= owner.at or not owner.parent)
            yield owner.id, best, Best(mean([*scores.values()]) if scores else best.score, scores)


def _line(branches: Mapping[str, Branch], branch: Branch) -> Iterator[Branch]:
    """A branch, and those that it goes on from, the newest first."""
    yield branch
    while branch.parent is not None:
        branch = branches[branch.parent]
        yield branch


def summarise(
    records: Records,
    spec: LoopSpec,
    *,
    folder: str = "",
    state: str = "",
    recipe: str = "",
    claim: Claimed | None = None,
    confirmed: Confirmed | None = None,
) -> Summary:
    """The summary of a run, finished or not."""
    task, objective = leaf(spec).task, leaf(spec).task.objective
    inner = own_trials(records, leaf(spec).name)
    first = inner[0][1] if inner else None
    best = archive_best(records, spec)
    baseline = first.score if first is not None else None
    found = None if best is None else best[1]
    gain = None if baseline is None or found is None or found.score is None else objective.gain(baseline, found.score)
    calls = records.calls()
    levels = [loop.name for loop in levels_of(spec)] + ["judge"] * any(call.level == "judge" for call in calls)
    shadowed = [(branch.id, t) for branch in records.branches() for t in records.trials(branch.id) if t.shadows]
    return Summary(
        task=task.name,
        objective=objective.name,
        unit=objective.unit,
        direction="minimize" if objective.minimize else "maximize",
        self_reported=task.self_reported,
        recipe=recipe,
        researcher=leaf(spec).researcher.name,
        folder=folder,
        state=state,
        seed=spec.seed,
        baseline=baseline,
        best=None if found is None else found.score,
        gain=gain,
        noise=_noise(first, spec),
        best_trial="" if best is None else f"{best[0]}#{best[1].number}",
        changes=_changes(first, found),
        files=() if found is None or first is None else found.candidate.files_changed_from(first.candidate),
        evaluations=len(_measured(trial for _, trial in inner)),
        charged=sum(trial.cost.evaluations for _, trial in inner),
        costs=tuple(_level_cost(records, level, calls) for level in levels),
        repetition=_repetition([trial for _, trial in inner]),
        in_force=in_force(records, spec),
        mechanisms=tuple(
            mechanism_trial(loop.name, branch, trial, calls, shadowed)
            for loop in mechanism_levels(spec)
            for branch, trial in own_trials(records, loop.name)
            if trial.number > 0
        ),
        static=_static(spec, inner),
        beliefs=beliefs(records, spec),
        steps=steps_in(trial for _, trial in inner),
        guided=guided(records, spec),
        curve=_curve(inner, objective.minimize),
        advice=_static_advice(spec, shadowed, calls),
        asked_aside=aside_cost([call for call in calls if aside_of(call.purpose)]),
        ladder=ladder_of(records, spec),
        yields=yields_of(records, spec, calls),
        retired=retirements(records, spec),
        front=front_of(records, spec),
        guardrails=guarded(records, spec),
        isolation=Counter(trial.isolation for _, trial in inner if trial.isolation),
        claim=claim,
        confirmed=confirmed,
    )


def _measured(trials: Iterable[Trial]) -> set[tuple[str, str, int]]:
    """The measurements of some trials, each named once: candidate, rung, seed."""
    return {
        (candidate.id, run.rung, run.seed)
        for trial in trials
        for candidate, runs in ((trial.candidate, trial.runs), (trial.parent, trial.parent_runs))
        for run in runs
    }


def _noise(first: Trial | None, spec: LoopSpec) -> Noise:
    trace = Trace(leaf(spec).task.objective)
    return (trace + first).noise if first is not None else trace.noise


def _changes(first: Trial | None, best: Trial | None) -> dict[str, tuple[Any, Any]]:
    if first is None or best is None:
        return {}
    return {name: (c.old, c.new) for name, c in best.candidate.changes_from(first.candidate).items()}


def _level_cost(records: Records, level: str, calls: Sequence[CallSummary]) -> LevelCost:
    trials = [trial for _, trial in own_trials(records, level)]
    cost = sum((trial.cost for trial in trials), Cost())
    kept = sum(trial.decision.keep for trial in trials)
    own = [call for call in calls if call.level == level]
    asked = sum((call.cost for call in own), Cost())
    return LevelCost(
        level, len(trials), kept, cost.evaluations, cost.seconds, cost.cpu_seconds, len(own), asked.tokens, asked.money,
        sum(call.money is None for call in own), asked.seconds,
    )  # fmt: skip


def _repetition(trials: list[Trial]) -> Repetition:
    """Counts every proposal, those that were turned back included: they are what the researcher wanted to try."""
    tried = [t for t in trials if t.number > 0]
    wanted = [back.candidate for t in tried for back in t.turned_back] + [t.candidate.id for t in tried]
    longest = streak = 0
    previous = ""
    for trial in tried:
        first = trial.turned_back[0].candidate if trial.turned_back else trial.candidate.id
        streak = streak + 1 if first == previous else 1
        previous, longest = first, max(longest, streak)
    return Repetition(
        trials=len(tried),
        distinct=len({t.candidate.id for t in tried if t.runs}),
        longest_streak=longest,
        turned_back=len(wanted) - len(tried),
        refused=sum(t.status.value == "refused" for t in tried),
        failed=sum(t.score is None and bool(t.runs) for t in tried),
    )


def in_force(records: Records, spec: LoopSpec) -> tuple[str, ...]:
    """The innermost loop's mechanisms, as the levels above, and persons, have set them by now."""
    branch, traces = "root" if records.branches() else None, Traces(records)
    inmost, branch = standing(traces, spec, branch, len(levels_of(spec)) - 1)
    retired = frozenset() if branch is None else traces.trace(branch, inmost.task.objective).steering.retired
    return tuple(guest.name for guest in inmost.mechanisms if key_of(guest) not in retired)


def _static(spec: LoopSpec, inner: list[tuple[str, Trial]]) -> dict[str, dict[str, dict[str, int]]]:
    """The ledgers of mechanisms that were in force from the first trial, without a control of their own."""
    names = {guest.name for guest in leaf(spec).mechanisms}
    ledger = merge(*(trial.ledger for _, trial in inner))
    return {name: numbers_of(hooks) for name, hooks in ledger.items() if name in names}


def _static_advice(
    spec: LoopSpec, shadowed: Sequence[tuple[str, Trial]], calls: Sequence[CallSummary]
) -> dict[str, AdviceLedger]:
    found = {guest.name: advice_ledger(guest.name, shadowed, calls) for guest in leaf(spec).mechanisms}
    return {name: ledger for name, ledger in found.items() if ledger is not None}


def _curve(inner: list[tuple[str, Trial]], minimize: bool) -> tuple[float, ...]:
    """The best score so far after each trial that has one, in the order in which branches were opened."""
    best: float | None = None
    curve: list[float] = []
    for _, trial in inner:
        if trial.score is not None and trial.contends:
            best = trial.score if best is None else (min if minimize else max)(best, trial.score)
            curve.append(best)
    return tuple(curve)


def sparkline(values: tuple[float, ...], minimize: bool, width: int = 40) -> str:
    """The values as a line of blocks; higher is better whatever the direction."""
    if not values:
        return ""
    step = max(1, -(-len(values) // width))
    shown = [v if not minimize else -v for v in values[::step]]
    low, high = min(shown), max(shown)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[int((v - low) / (high - low) * 7) if high > low else 0] for v in shown)
