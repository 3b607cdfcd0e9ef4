"""The claim stage of a run: what `claim` asks for is measured on fresh seeds, and the final answer on the seal.

Everything is a fact of the run folder before the next thing is measured: who takes part in a round is stored, then the
measurements one by one. So a stage that was killed goes on where it was, and a replay says which round differs.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from bilevel import codec
from bilevel.budget import Cost
from bilevel.claim import (
    PROVISIONAL,
    STANDS,
    Allowance,
    Claim,
    Claimed,
    Standing,
    changes_between,
    next_round,
    said,
    standing,
    who_may_be_asked,
)
from bilevel.errors import Diverged, InputError
from bilevel.facts import scoring_runs
from bilevel.fresh import (
    CLAIM,
    AsMeasured,
    Measurements,
    baseline_of,
    deterministic,
    fresh_seed,
    key_of,
    look,
    looks_at,
    measure,
    score_of,
    steady,
)
from bilevel.guardrails import breach
from bilevel.lab import Bench, Lab, Records, Traces
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.recipe import ClaimTable
from bilevel.report import archive_best, own_trials
from bilevel.rollback import ANSWER, BASELINE, GUARDED, VERSION, Question, Round, Score
from bilevel.space import Candidate, Value
from bilevel.store.folder import RunFolder
from bilevel.task import Sealing
from bilevel.tasks.external import External, ExternalFolder
from bilevel.trial import Run

FACT, SEALED = "claim", "sealed"  # facts of a run folder


@runtime_checkable
class KnowsTheTruth(Protocol):
    """A task whose noise-free value of any parameters is known (None: they fail), and the best there is."""

    def truth(self, params: Mapping[str, Value]) -> float | None: ...
    def optimum(self) -> "Optimum": ...


class Optimum(Protocol):
    @property
    def value(self) -> float: ...


@dataclass(frozen=True)
class Asked:
    """That the stage was begun, or was to go on: from which round, and how far."""

    begun: int
    allowed: Allowance


@dataclass(frozen=True)
class Stage:
    """The record of a claim stage. `branch` and `trial` say where the incumbent is; `first` is its first seed's place.

    `skipped`: why there is nothing to measure.
    """

    branch: str
    trial: int
    least: int
    skipped: str = ""
    first: int = 0
    asked: tuple[Asked, ...] = ()
    rounds: tuple[Round, ...] = field(default_factory=tuple)
    complete: bool = False
    version: int = 1  # of the rule by which changes are taken back; older stages do not say


def stage_of(folder: RunFolder[Any]) -> Stage | None:
    """The claim stage that a run folder holds, if there is one."""
    data = folder.meta(FACT)
    return None if data is None else codec.build(Stage, data)


def measures(spec: LoopSpec) -> bool:
    """Whether anything can be measured here: not where whoever drives the run does it."""
    return not isinstance(leaf(spec).task, External | ExternalFolder)


def claim(folder: RunFolder[Any], spec: LoopSpec, lab: Lab, table: ClaimTable, more: int | None = None) -> None:
    """Do what is left of a run's claim stage; `more` rounds, where they are asked for, are without other bounds.

    Raises Stopped where somebody asked to stop, LimitReached where a limit of the run is spent.
    """
    inner = leaf(spec)
    if not measures(spec):
        if more is not None:
            raise InputError(
                f"task {inner.task.name!r} is measured by whoever drives the run, so nothing is measured here"
            )
        return
    if more is None and not table.on:
        return
    stage = _opened(folder, spec, lab, table, more)
    if stage is None:
        return
    folder.set_meta(FACT, codec.plain(stage))
    if not stage.skipped:
        stage = _measured(folder, inner, lab, stage)
    folder.set_meta(FACT, codec.plain(replace(stage, complete=True)))
    _seal(folder, inner, lab)


def _opened(folder: RunFolder[Any], spec: LoopSpec, lab: Lab, table: ClaimTable, more: int | None) -> Stage | None:
    """The stage as it is to go on, or a new one for an incumbent that has none."""
    best, known = archive_best(folder.store, spec), stage_of(folder)
    if best is None:
        return None
    if known is not None and (known.branch, known.trial) == (best[0], best[1].number):
        if more is not None and not known.skipped and (known.complete or not known.asked):
            ask = Asked(len(known.rounds), Allowance(more))
            known = replace(known, asked=(*known.asked, ask), complete=False)
        for run in looks_at(folder.store, leaf(spec), best[1].candidate.id, CLAIM) if known.skipped else ():
            lab.meter.charge(run.cost)  # rounds charge theirs when they are measured again
        return known
    first = 0 if known is None else known.first + len(known.rounds)
    _look(folder, leaf(spec), lab, best[1].candidate)
    skipped = needless(folder.store, spec, best[1].candidate)
    if more is not None:
        allowed = Allowance(more)
    else:
        charged = sum(trial.cost.evaluations for _, trial in own_trials(folder.store, leaf(spec).name))
        allowed = Allowance(table.most, int(table.share * charged))
    asked = () if skipped else (Asked(0, allowed),)
    return Stage(best[0], best[1].number, table.least, skipped, first, asked, version=VERSION)


def _look(folder: RunFolder[Any], spec: LoopSpec, lab: Lab, incumbent: Candidate) -> None:
    """Where the baseline's repeats were all equal, see whether seeds change the incumbent's score."""
    if incumbent.id != spec.task.baseline().id and steady(spec, baseline_of(folder.store, spec)):
        lab.may_spend()
        for run in look(lab, spec, incumbent, CLAIM):
            lab.meter.charge(run.cost)


def needless(records: Records, spec: LoopSpec, incumbent: Candidate) -> str:
    """Why there is nothing to measure; empty where there is."""
    inner = leaf(spec)
    if incumbent.id == inner.task.baseline().id:
        return "the baseline is the best candidate"
    if deterministic(records, inner, baseline_of(records, inner), incumbent.id, CLAIM):
        return "the task is deterministic: one comparison says all"
    return ""


def _measured(folder: RunFolder[Any], spec: LoopSpec, lab: Lab, stage: Stage) -> Stage:
    """The stage with all rounds that are to be measured."""
    question, score = question_of(folder.store, spec, stage), score_in(folder.store, spec, stage)
    for number, done in enumerate(stage.rounds):  # what is there is charged again; what a kill left out is measured
        _measure_round(lab, spec, done, who_may_be_asked(question, stage.rounds[:number], score))
    while True:
        lab.hold("claim", len(stage.rounds))
        lab.check_limits()
        ask = stage.asked[-1]
        found = next_round(question, stage.rounds, ask.begun, score, ask.allowed)
        if found is None:
            return stage
        stage = replace(stage, rounds=(*stage.rounds, found))
        folder.set_meta(FACT, codec.plain(stage))
        _measure_round(lab, spec, found, who_may_be_asked(question, stage.rounds[:-1], score))


def _measure_round(lab: Lab, spec: LoopSpec, found: Round, known: Mapping[str, Candidate]) -> None:
    """Measure all that take part, several at once where the run has workers, and charge them."""
    seed = fresh_seed(spec, CLAIM, found.seed)
    wanted = [known[candidate] for candidate in dict.fromkeys(found.arms.values())]

    def charged(candidate: Candidate) -> None:
        """At once, so that what may be spent is looked at before the next one."""
        lab.meter.charge(measure(lab, spec, candidate, seed).cost)

    with ThreadPoolExecutor(min(lab.workers, len(wanted)), thread_name_prefix="claim") as pool:
        list(pool.map(charged, wanted))


def question_of(records: Records, spec: LoopSpec, stage: Stage) -> Question:
    """What a stage is to find out, from the records of the search."""
    trace = Traces(records).trace(stage.branch, spec.task.objective)
    incumbent, start = trace[stage.trial], baseline_of(records, spec)
    baseline = spec.task.baseline() if start is None else start.candidate  # the task's files may be others by now
    parent = incumbent.candidate

    def barred(candidate: Candidate) -> str:
        return "; ".join((*spec.task.space.problems(candidate), *spec.task.problems(candidate, parent)))

    changes = changes_between(trace, incumbent, stage.branch, stage.version)
    return Question(spec.task.objective, baseline, parent, changes, stage.least, stage.first, barred, stage.version)


def score_in(records: Measurements, spec: LoopSpec, stage: Stage) -> Score:
    """The stored score of a candidate in a round; None where it failed, or (but in older stages) broke a guardrail.

    Raises Diverged where nothing is stored.
    """

    def score(candidate: str, number: int) -> float | None:
        run = records.find_run(key_of(spec, candidate, fresh_seed(spec, CLAIM, number)))
        if run is None:
            raise Diverged(f"candidate {candidate!r} has no measurement on claim seed {number}")
        return score_of(spec, run, guarded=stage.version >= GUARDED)

    return score


# ---- the seal ----


def _seal(folder: RunFolder[Any], spec: LoopSpec, lab: Lab) -> None:
    """Measure the sealed metrics of the baseline and of the answer, once each; a fact of the folder and nothing else.

    No view, prompt or mechanism is made of such facts, and nothing below this module reads them.
    """
    task = spec.task
    if not isinstance(task, Sealing) or not task.seals:
        return
    stage = stage_of(folder)
    assert stage is not None
    answer = claimed(folder, spec)
    options = next(rung.options for rung in task.rungs if rung.name == spec.top)
    found: dict[str, Any] = dict(folder.meta(SEALED) or {})
    for candidate in (task.baseline(), answer[1]):
        if candidate.id not in found:
            lab.may_spend()
            run = task.sealed(candidate, Bench(lab, spec.top, 0, fresh_seed(spec, CLAIM, 0), options))
            lab.meter.charge(run.cost)
            found[candidate.id] = codec.plain(run)
            folder.set_meta(SEALED, found)


# ---- read again ----


def claimed(folder: RunFolder[Any], spec: LoopSpec) -> tuple[Claimed | None, Candidate]:
    """What the stage of a run folder came to so far, and the final answer."""
    inner, stage = leaf(spec), stage_of(folder)
    if stage is None:
        return None, inner.task.baseline()
    question, measured = question_of(folder.store, inner, stage), AsMeasured(folder.store, folder.meta("harness"))
    rounds, score = _whole_rounds(measured, inner, stage.rounds), score_in(measured, inner, stage)
    stands = standing(question, rounds, score)
    if stage.skipped:
        stands = replace(
            stands, whole=_exact(stands.whole, _seen(folder.store, inner)),
            changes=tuple(
                _exact(each, change.gain) for each, change in zip(stands.changes, question.changes, strict=True)
            ),
        )  # fmt: skip
    broken = _broken(folder, inner, measured, stage, stands, rounds) if stage.version >= GUARDED else ""
    stands = _held(stands, broken) if broken else stands
    whole, answer, base = stands.whole, stands.answer, question.baseline
    role = BASELINE if answer.id == base.id else ANSWER
    own = [score(answer.id, each.seed) for each in rounds if each.arms.get(role) == answer.id]
    pairs = pairs_of(rounds, base.id, score)[-len(whole.gains) :] if whole.gains else ()
    looked = looks_at(measured, inner, question.incumbent.id, CLAIM) if stage.skipped else ()
    cost = sum((run.cost for run in (*_runs(measured, inner, rounds), *looked)), Cost())
    return Claimed(
        incumbent=question.incumbent.id,
        answer=answer.id,
        skipped="; ".join(part for part in (stage.skipped, broken) if part) if stage.skipped else "",
        complete=stage.complete,
        mean=_mean(own),
        baseline=_mean([before for before, _ in pairs]),
        seeds=len([value for value in own if value is not None]),
        whole=said(whole, None, question.incumbent, base),
        changes=tuple(
            said(each, change, question.incumbent, base)
            for each, change in zip(stands.changes, question.changes, strict=True)
        ),
        kept={name: (change.old, change.new) for name, change in answer.changes_from(base).items()},
        kept_files=answer.files_changed_from(base),
        cost=cost + sum((run.cost for run in _sealed_runs(folder).values()), Cost()),
        regret=_regret(inner, answer),
        paired=_mean([after for _, after in pairs]),
        sealed=_sealed(folder, base, answer),
    ), answer


def pairs_of(rounds: Sequence[Round], baseline: str, score: Score) -> list[tuple[float, float]]:
    """The baseline and the answer of each round in which both have a score; the last ones are of the last answer."""
    found = [
        (score(baseline, each.seed), score(each.arms[ANSWER], each.seed))
        for each in rounds
        if BASELINE in each.arms and ANSWER in each.arms
    ]
    return [(before, after) for before, after in found if before is not None and after is not None]


def baseline_in_all_rounds(folder: RunFolder[Any], spec: LoopSpec) -> float | None:
    """The baseline's mean over all rounds, also those of answers that were rolled back: what older versions stated."""
    inner, stage = leaf(spec), stage_of(folder)
    if stage is None:
        return None
    measured, base = AsMeasured(folder.store, folder.meta("harness")), inner.task.baseline().id
    rounds, score = _whole_rounds(measured, inner, stage.rounds), score_in(measured, inner, stage)
    return _mean([score(base, each.seed) for each in rounds if BASELINE in each.arms])


def _regret(spec: LoopSpec, answer: Candidate) -> float | None:
    if not isinstance(spec.task, KnowsTheTruth):
        return None
    value = spec.task.truth(answer.params)
    return None if value is None else spec.task.objective.gain(value, spec.task.optimum().value)


def _exact(seen: Claim, gain: float | None) -> Claim:
    """A claim of a deterministic task: a gain that was seen is one."""
    if gain is None or gain <= 0:
        return seen
    return replace(seen, status=STANDS, note=f"exactly {gain:.4g} better when it was tried")


def _broken(
    folder: RunFolder[Any],
    spec: LoopSpec,
    records: Measurements,
    stage: Stage,
    stands: Standing,
    rounds: Sequence[Round],
) -> str:
    """Which guardrail the answer breaks on the fresh seeds, and how; empty where it breaks none."""
    task, start, answer = spec.task, baseline_of(folder.store, spec), stands.answer.id
    own = [each for each in rounds if each.arms.get(ANSWER) == answer]
    if not task.objective.guardrails or start is None or answer == start.candidate.id:
        return ""
    after = [run for each in own if (run := _run(records, spec, answer, each)) is not None]
    pairs = [each for each in own if BASELINE in each.arms]
    before = [run for each in pairs if (run := _run(records, spec, start.candidate.id, each)) is not None]
    if stage.skipped:
        after, before = looks_at(records, spec, answer, CLAIM), list(start.runs)
    broken = breach(
        task.objective.guardrails, scoring_runs(after, spec.top), scoring_runs(before, spec.top), spec.rules
    )
    return f"on fresh seeds: {broken.reason}" if broken else ""


def _held(stands: Standing, broken: str) -> Standing:
    """The claims where the answer breaks a guardrail on the fresh seeds: none of them is confirmed."""
    note = "; ".join(part for part in (stands.whole.note, broken) if part)
    return replace(stands, whole=replace(_unsure(stands.whole), note=note), changes=tuple(map(_unsure, stands.changes)))


def _unsure(claim: Claim) -> Claim:
    return replace(claim, status=PROVISIONAL) if claim.status == STANDS else claim


def _run(records: Measurements, spec: LoopSpec, candidate: str, each: Round) -> Run | None:
    return records.find_run(key_of(spec, candidate, fresh_seed(spec, CLAIM, each.seed)))


def _seen(records: Records, spec: LoopSpec) -> float | None:
    trials, best = own_trials(records, spec.name), archive_best(records, spec)
    if not trials or best is None or trials[0][1].score is None or best[1].score is None:
        return None
    return spec.task.objective.gain(trials[0][1].score, best[1].score)


def _whole_rounds(records: Measurements, spec: LoopSpec, rounds: Sequence[Round]) -> tuple[Round, ...]:
    """The rounds whose measurements are all there: of one that is under way nothing is said yet."""
    return tuple(
        each
        for each in rounds
        if all(
            records.find_run(key_of(spec, candidate, fresh_seed(spec, CLAIM, each.seed))) is not None
            for candidate in each.arms.values()
        )
    )


def _runs(records: Measurements, spec: LoopSpec, rounds: Sequence[Round]) -> list[Run]:
    keys = [
        key_of(spec, candidate, fresh_seed(spec, CLAIM, each.seed))
        for each in rounds
        for candidate in dict.fromkeys(each.arms.values())
    ]
    return [run for key in keys if (run := records.find_run(key)) is not None]


def _sealed_runs(folder: RunFolder[Any]) -> Mapping[str, Run]:
    return {candidate: codec.build(Run, data) for candidate, data in (folder.meta(SEALED) or {}).items()}


def _sealed(folder: RunFolder[Any], baseline: Candidate, answer: Candidate) -> dict[str, Mapping[str, float]]:
    runs = _sealed_runs(folder)
    named = {"baseline": baseline.id, "answer": answer.id}
    return {name: dict(runs[one].metrics or {}) for name, one in named.items() if one in runs}


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [value for value in scores if value is not None]
    return sum(known) / len(known) if known else None
