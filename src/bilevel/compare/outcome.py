"""What one run of a comparison came to: read from its folder, nothing that is not recorded there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bilevel.calls import CallSummary
from bilevel.compare.absent import optimum_of, seals_of
from bilevel.compare.folder import COMPARISON, Folder, Job
from bilevel.compare.plan import EXACT_ANSWERS, FAILED_ANSWERS
from bilevel.compare.rechecking import Again, Keep, Keeps, candidates, chosen, keeps_of
from bilevel.compare.running import ENDED, check_belongs, fresh_runs
from bilevel.compare.sealing import sealed_runs
from bilevel.errors import StoreError
from bilevel.facts import failure_reason, scoring_runs
from bilevel.fresh import COMPARISON as FRESH
from bilevel.fresh import AsMeasured, Measurements, deterministic, looks_at, score_of
from bilevel.guardrails import breach
from bilevel.lab import Records, Traces
from bilevel.levels import leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.objective import Objective
from bilevel.report import archive_best, own_trials, summarise
from bilevel.showing import to_show
from bilevel.store.folder import RunFolder
from bilevel.task import Patching
from bilevel.trace import top_scores
from bilevel.trial import Count, Run, Trial, merge


@dataclass(frozen=True)
class Spent:
    """What a run spent. `trials` are the innermost loop's, all arms of forks and refused ones counted; `measurements`
    without the baseline's calibration; `seconds` of wall time; `money` in US dollars, None where a price is unknown."""

    trials: int = 0
    measurements: int = 0
    seconds: float = 0.0
    tokens: int = 0
    money: float | None = 0.0


@dataclass(frozen=True)
class Repetitiveness:
    """How repetitive a search was. Candidates are compared along each line of the search, so that two arms of a fork
    that try the same are no repetition.

    `streak`: of one and the same first draft; `discards`: trials in a row of which none was kept; `duplicates`: the
    share of the drafts (those that were turned back too) that were drafted or measured before.
    """

    distinct: int = 0
    streak: int = 0
    discards: int = 0
    duplicates: float | None = None


@dataclass(frozen=True)
class Worked:
    """A mechanism in one run: what it was asked in all innermost trials, and whether it is in force at the end."""

    count: Count
    at_the_end: bool


@dataclass(frozen=True)
class Step:
    """From this much of the budget on, the best seen was so much better than the baseline."""

    spent: float
    gain: float


@dataclass(frozen=True)
class Outcome:
    """One run. `reason` says why it has no `gain`; it is empty where it has one.

    `gain` is on fresh seeds, or best seen where `fresh` is 0. `lost`: how the best candidate failed on a fresh seed;
    `gain` is 0 then, as what is left is the baseline. `baseline`: its scores by seed, and `start` its
    candidate's id. `whole`: the gain of the optimum over the baseline, as far as `gain` was measured; it and `regret`
    are None where the task does not know its optimum, or begins at it. `beyond`: seconds of measurements on fresh
    seeds.
    """

    job: Job
    reason: str = ""
    lost: str = ""
    ended: str = ""
    gain: float | None = None
    seen: float | None = None
    whole: float | None = None
    regret: float | None = None
    fresh: int = 0
    start: str = ""
    baseline: Mapping[int, float] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    spent: Spent = Spent()
    repetition: Repetitiveness = Repetitiveness()
    mechanisms: Mapping[str, Worked] = field(default_factory=dict)
    keeps: Keeps = Keeps()
    beyond: float = 0.0
    program: str = ""
    isolation: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()  # of the best candidate, in words
    failed: Mapping[str, int] = field(default_factory=dict)  # innermost trials without a score, by status
    patch: str = ""  # of the best candidate, from the baseline
    sealed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # baseline, best -> metric -> value
    seals: tuple[str, ...] = ()  # the names of the sealed metrics, where they were measured


def outcome_of(folder: Folder, job: Job) -> Outcome:
    """The outcome of a run, finished or not. Raises Diverged for a run that is no part of the comparison."""
    note = folder.failure_file(job)
    said = note.read_text("utf-8").strip() if note.is_file() else ""
    if not folder.exists(job):
        return Outcome(job, said or "it has not begun")
    opened = RunFolder.read(folder.run_folder(job))
    try:
        state, facts = str(opened.meta("state") or ""), opened.meta(COMPARISON) or {}
        if state not in ENDED or not facts.get("measured_again"):
            return Outcome(job, said or f"it is not finished ({state or 'killed at the start'})")
        check_belongs(folder, job)
        spec = to_show(opened).spec
        seconds = float(opened.store.get_meta("elapsed") or 0.0)
        measured = AsMeasured(opened.store, opened.meta("harness"))
        found = _read(folder, job, opened.store, measured, spec, state, seconds, facts)
        return _with_seal(found, opened, spec, facts)
    except StoreError as error:
        return Outcome(job, str(error))
    finally:
        opened.close()


def _read(
    folder: Folder, job: Job, records: Records, measured: Measurements, spec: LoopSpec, state: str, seconds: float,
    facts: Mapping[str, Any],
) -> Outcome:  # fmt: skip
    """The outcome of a run that has ended; `measured` are its measurements, whatever measures its task now."""
    inner = leaf(spec)
    trials, best = own_trials(records, inner.name), archive_best(records, spec)
    summary, calls = summarise(records, spec), list(records.calls())
    first = trials[0][1] if trials else None
    if first is None or first.score is None or best is None or best[1].score is None:
        return Outcome(job, "its baseline has no score", ended=state)
    exact = deterministic(measured, inner, first, best[1].candidate.id, FRESH)
    count, guarded = 0 if exact else folder.plan.fresh, FAILED_ANSWERS in folder.plan.analysis
    old, new, reason, lost = first.score, best[1].score, "", ""
    seen: float | None = inner.task.objective.gain(old, new)
    gain: float | None = seen
    if count:
        start = fresh_runs(measured, spec, first.candidate, count)
        before = _mean(inner, start, (), guarded)
        after = _mean(inner, fresh_runs(measured, spec, best[1].candidate, count), start, guarded)
        gain, reason = None, before.reason or after.reason
        if before.score is not None and after.score is not None:
            old, new = before.score, after.score
            gain = inner.task.objective.gain(old, new)
        elif before.score is not None and after.failed and guarded:
            old, gain, reason, lost = before.score, 0.0, "", after.reason
    asked = exact and folder.plan.fresh and EXACT_ANSWERS in folder.plan.analysis
    if asked and best[1].candidate.id != first.candidate.id:
        looks = looks_at(measured, inner, best[1].candidate.id, FRESH)
        lost = _mean(inner, looks, scoring_runs(first.runs, inner.top), guarded=True).reason
        gain = 0.0 if lost else gain
    calibration, whole = first.cost.evaluations, _whole(inner, old, optimum_of(inner.task, facts))
    keeps = keeps_of(records, spec) if folder.plan.recheck else []
    again = chosen(keeps, spec, folder.plan.recheck) if count else []
    fresh = {one.id: one for one in (first.candidate, best[1].candidate, *candidates(again))}.values()
    beyond = [run for one in fresh for run in fresh_runs(measured, spec, one, count) if run is not None]
    return Outcome(
        job=job,
        reason=reason,
        lost=lost,
        ended=state,
        gain=gain,
        seen=seen,
        whole=whole,
        regret=None if gain is None or whole is None else (whole - gain) / whole,
        fresh=count,
        start=first.candidate.id,
        baseline=top_scores(first, inner.task.objective.name),
        steps=tuple(_steps(folder, trials, calls, inner.task.objective, levels_of(spec)[0].name)),
        spent=Spent(
            trials=summary.repetition.trials,
            measurements=summary.charged - calibration,
            seconds=seconds,
            tokens=sum(call.cost.tokens for call in calls),
            money=None if any(call.money is None for call in calls) else sum(call.cost.money for call in calls),
        ),
        repetition=_repetition(records, spec, summary.repetition.distinct, summary.repetition.longest_streak),
        mechanisms=_mechanisms([trial for _, trial in trials], summary.in_force),
        keeps=Keeps(len(keeps), tuple(_again(measured, spec, keep, count, guarded) for keep in again)),
        beyond=sum(run.cost.seconds for run in beyond),
        program=str(facts.get("program", "")),
        isolation=tuple(sorted(summary.isolation)),
        changes=(
            *(f"{name} {old!r} -> {new!r}" for name, (old, new) in summary.changes.items()),
            *(f"{name} edited" for name in summary.files),
        ),
        failed=Counter(trial.status.value for _, trial in trials if trial.score is None),
        patch=inner.task.patch(best[1].candidate) if isinstance(inner.task, Patching) else "",
    )


def _with_seal(outcome: Outcome, opened: RunFolder[Any], spec: LoopSpec, facts: Mapping[str, Any]) -> Outcome:
    """The outcome with the sealed scores of its baseline and its best candidate, where both were measured."""
    best = archive_best(opened.store, spec)
    runs = {} if best is None else sealed_runs(opened, outcome.start, best[1].candidate.id)
    if len(runs) < 2:
        return outcome
    beyond = outcome.beyond + sum(run.cost.seconds for run in runs.values())
    found = {who: dict(run.metrics or {}) for who, run in runs.items()}
    names = seals_of(leaf(spec).task, facts) or tuple(dict.fromkeys(name for one in found.values() for name in one))
    return replace(outcome, beyond=beyond, sealed=found, seals=names)


@dataclass(frozen=True)
class _Fresh:
    score: float | None
    reason: str = ""
    failed: bool = False


def _mean(spec: LoopSpec, runs: Sequence[Run | None], baseline: Sequence[Run | None], guarded: bool) -> _Fresh:
    """The mean score over fresh seeds; none where one of them has no score, or a guardrail is broken there."""
    scores = [score_of(spec, run) for run in runs]
    failed = next((run for run in runs if run is not None and run.metrics is None), None)
    if failed is not None:
        return _Fresh(None, f"failed on a fresh seed: {failed.status.value}: {failure_reason(failed)}", failed=True)
    there, start = ([run for run in each if run is not None] for each in (runs, baseline))
    broken = breach(spec.task.objective.guardrails, there, start, spec.rules) if guarded else None
    if broken is not None:
        return _Fresh(None, f"failed on a fresh seed: {broken.reason}", failed=True)
    found = [score for score in scores if score is not None]
    return _Fresh(sum(found) / len(found)) if len(found) == len(runs) else _Fresh(None, "a fresh seed is missing")


def _again(measured: Measurements, spec: LoopSpec, keep: Keep, count: int, guarded: bool) -> Again:
    inner = leaf(spec)
    old = _mean(inner, fresh_runs(measured, spec, keep.parent, count), (), guarded)
    new = _mean(inner, fresh_runs(measured, spec, keep.candidate, count), (), guarded)
    if old.score is None or new.score is None:
        return Again(keep.claimed, None, old.reason or new.reason)
    return Again(keep.claimed, inner.task.objective.gain(old.score, new.score))


def _whole(spec: LoopSpec, baseline: float, optimum: float | None) -> float | None:
    if optimum is None:
        return None
    whole = spec.task.objective.gain(baseline, optimum)
    return whole if whole > 0 else None


# ---- the any-time curve ----


def _steps(
    folder: Folder, trials: Sequence[tuple[str, Trial]], calls: Sequence[CallSummary], objective: Objective, inner: str
) -> Iterator[Step]:
    """The steps of the best seen so far, over what of the budget was spent when each was told."""
    spends = _spends(folder.plan.equal, trials, calls, inner)
    base = trials[0][1].score
    best = spent = 0.0
    for (_, trial), cost in zip(trials, spends, strict=True):
        spent += cost
        if trial.score is not None and trial.contends and base is not None and objective.gain(base, trial.score) > best:
            best = objective.gain(base, trial.score)
            yield Step(min(spent, folder.plan.budget), best)


def _spends(
    equal: str, trials: Sequence[tuple[str, Trial]], calls: Sequence[CallSummary], inner: str
) -> Iterator[float]:
    """What each innermost trial took of the budget, with the calls that were made before it and for it.

    In trials: as many as it measured. Seconds are those of measurements and of calls only.
    """
    asked = [0.0] * len(trials)
    for call in calls:
        place = _place(call, trials, inner)
        if place is not None:
            cost = call.cost
            asked[place] += {"tokens": cost.tokens, "money": cost.money, "seconds": cost.seconds}.get(equal, 0.0)
    for (_, trial), extra in zip(trials, asked, strict=True):
        if equal == "trials":
            yield 0 if trial.number == 0 else trial.cost.evaluations
        else:
            yield extra + (trial.cost.seconds if equal == "seconds" else 0.0)


def _place(call: CallSummary, trials: Sequence[tuple[str, Trial]], inner: str) -> int | None:
    """The innermost trial that a call was made for, or before: a trial of an outer loop begins with its first one."""
    if call.level in (inner, "judge"):
        wanted = (call.branch, call.trial)
        return next((n for n, (branch, trial) in enumerate(trials) if (branch, trial.number) == wanted), None)
    within = f"{call.branch}/{call.trial}."
    return next((n for n, (branch, _) in enumerate(trials) if branch.startswith(within)), None)


# ---- how repetitive it was, and which mechanisms worked ----


def _repetition(records: Records, spec: LoopSpec, distinct: int, streak: int) -> Repetitiveness:
    traces, inner = Traces(records), leaf(spec)
    drafts = repeated = discards = 0
    for branch in [branch for branch in records.branches() if branch.level == inner.name]:
        trace = traces.trace(branch.id, inner.task.objective)
        known, row = set[str](), 0
        for trial in trace:
            wanted = _drafted(trial)
            if trial.number >= branch.at and trial.number > 0:
                drafts += len(wanted)
                repeated += sum(one in known or one in wanted[:n] for n, one in enumerate(wanted))
            known.update(wanted)
            row = 0 if trial.decision.keep else row + 1
            discards = max(discards, row)
    return Repetitiveness(distinct, streak, discards, repeated / drafts if drafts else None)


def _drafted(trial: Trial) -> list[str]:
    """The drafts of a trial in order; what a mechanism measures again on purpose is none."""
    back = [one.candidate for one in trial.turned_back]
    refused = not trial.runs and back and back[-1] == trial.candidate.id
    return back if refused or trial.proposal.repeats else [*back, trial.candidate.id]


def _mechanisms(trials: Sequence[Trial], in_force: Sequence[str]) -> dict[str, Worked]:
    ledger = merge(*(trial.ledger for trial in trials))
    return {name: Worked(sum(hooks.values(), Count()), name in in_force) for name, hooks in sorted(ledger.items())}
