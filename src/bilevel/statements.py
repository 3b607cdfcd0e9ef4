"""What a run claims, for other programs: each claim with its effect, what it rests on, and what it cost.

Computed from the records of a run folder and from nothing else, so `bilevel verify` can compute it again.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bilevel import confirming
from bilevel.budget import Cost
from bilevel.calls import CallSummary
from bilevel.claim import ONLY_CHANGE, Claimed, Said
from bilevel.claiming import baseline_in_all_rounds, claimed, question_of, stage_of
from bilevel.codec import content_hash, plain
from bilevel.evidence import Verdict, together
from bilevel.fresh import CLAIM, AsMeasured, fresh_seed, key_of
from bilevel.helps import PLAIN, WITH
from bilevel.lab import Records
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.mechanism_trials import MechanismTrial
from bilevel.report import Summary, own_trials, summarise
from bilevel.rollback import ANSWER, BASELINE, WITHOUT, KeptChange, Question
from bilevel.standings import MECHANISMS
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import mended
from bilevel.trial import Trial

FILE, FORMAT = "claims.json", 1
TOGETHER = 2  # the format of claims from which on what forks say of several mechanisms is judged together
LEVELS = 3  # the format from which on level 3 claims too, and all levels above it
PAIRED = 4  # ... from which on the two means of an answer are over the pairs of its effect
STATED = "stated"  # the fact of a run folder that the file is written
ANY_TIME = "the pairs leave it open at e = 20 on either side: 90 %, valid whenever one looks"
POSTERIOR = "central 90 % of the posterior over the forks"
COUNTS = ("calls", "touched", "decisive", "faults")
NO_CONTROL = "none: in force from the first trial"


@dataclass(frozen=True)
class Tries:
    """How much was tried before this was claimed.

    `candidates`: distinct ones that were measured, or drafts of a mechanism; `forks` and `pairs` that were compared;
    `together`: how many claims of its kind are judged together.
    """

    candidates: int = 0
    forks: int = 0
    pairs: int = 0
    together: int = 1


@dataclass(frozen=True)
class Spent:
    """What it took to find and to test. Seconds are those of measurements and of calls; money is in US dollars, None
    where the price of a call is unknown."""

    measurements: int = 0
    seconds: float = 0.0
    tokens: int = 0
    money: float | None = 0.0


@dataclass(frozen=True)
class RestsOn:
    """From which records a claim is computed: trials as branch#number, seeds as they were given to the task, and the
    ids of the candidates that were measured on them."""

    trials: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    candidates: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()  # of a comparison: the folders of its runs


@dataclass(frozen=True)
class Statement:
    """One claim. `kind` is answer, change, mechanism (what its forks say) or whole loops (what `bilevel confirm
    --mechanism` found of one); in a comparison difference or level 2.

    `status`: provisional, confirmed or refuted; of mechanisms and arms helped, hurt, undecided or confirmed; in whole
    loops provisional, confirmed, harmful or inert. `effect`
    and its interval are in `unit`, None where nothing was measured or a side is open. `value` and `control_value` are
    the means that the effect is the difference of, where there are such. `ledger`: the mechanism's counts by hook.
    """

    kind: str
    subject: str
    claim: str
    status: str
    control: str
    unit: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    e_value: float | None = None
    p: float | None = None
    value: float | None = None
    control_value: float | None = None
    tries: Tries = Tries()
    cost: Spent = Spent()
    rests_on: RestsOn = RestsOn()
    ledger: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Statements:
    """All that a run, or a comparison, claims. `seen` is the best seen gain, which is no claim: it flatters."""

    of: str  # "run" or "comparison"
    bilevel: str
    name: str
    task: str
    objective: str
    direction: str
    harness: str
    state: str
    plan: str = ""
    seen: float | None = None
    claims: tuple[Statement, ...] = ()
    format: int = FORMAT


def statements_of(
    folder: RunFolder[Any], spec: LoopSpec, state: str, form: int = PAIRED, summary: Summary | None = None
) -> Statements:
    """What the run in a folder claims so far. `form`: what older versions did, with 1 each mechanism is judged alone,
    up to 2 only level 2 claims, up to 3 the baseline's mean is over all rounds. `summary`: that of the same records,
    with its claims, where there is one already.
    """
    records, inner, config = folder.store, leaf(spec), folder.config
    summary = summary or summarise(records, spec, claim=claimed(folder, spec)[0])
    calls = records.calls()
    statements = [_answer(folder, spec, summary, calls, form), *_changes(folder, inner, summary.claim, summary.unit)]
    statements += [*_mechanisms(records, summary, calls, form), *_static(records, inner, summary)]
    statements += _in_whole_loops(folder.path, spec, summary.unit)
    return Statements(
        of="run",
        bilevel=str(config.get("bilevel", "")),
        name=str(config["recipe"]["name"]),
        task=summary.task,
        objective=summary.objective,
        direction=summary.direction,
        harness=str(folder.meta("harness") or ""),
        state=state,
        seen=summary.gain,
        claims=tuple(statements),
        format=form,
    )


def written(statements: Statements) -> Any:
    """The claims as JSON data."""
    return lists(plain(statements))


def write(folder: Path, statements: Statements) -> None:
    """Write the claims into a folder, whole or not at all. Raises StoreError where that cannot be."""
    beside, text = folder / f".{FILE}.new", json.dumps(written(statements), indent=2, ensure_ascii=False) + "\n"
    try:
        beside.write_text(text, "utf-8")
        os.replace(beside, folder / FILE)
    except OSError as error:
        raise mended(error, folder) from error


def lists(data: Any) -> Any:
    """JSON data with tuples as lists."""
    if isinstance(data, dict):
        return lists(data["()"]) if set(data) == {"()"} else {key: lists(item) for key, item in data.items()}
    return [lists(item) for item in data] if isinstance(data, list) else data


# ---- the answer, and each change ----


def _answer(
    folder: RunFolder[Any], spec: LoopSpec, summary: Summary, calls: Sequence[CallSummary], form: int
) -> Statement:
    claim, inner = summary.claim, leaf(spec)
    searched = [trial for _, trial in own_trials(folder.store, inner.name)]
    cost = sum((trial.cost for trial in searched), claim.cost if claim is not None else Cost())
    measured = {trial.candidate.id for trial in searched if trial.runs}
    common: dict[str, Any] = {
        "kind": "answer",
        "subject": claim.answer if claim is not None else summary.best_trial,
        "claim": f"the answer is better than the baseline in {summary.objective}",
        "control": "the baseline, on the same fresh seeds",
        "unit": summary.unit,
        "cost": _spent(cost, calls),
    }
    if claim is None:
        return Statement(
            **common, status="provisional", tries=Tries(candidates=len(measured)),
            rests_on=RestsOn((summary.best_trial,) if summary.best_trial else ()),
            note="no claim stage: the best candidate was not measured on fresh seeds",
        )  # fmt: skip
    pairs, seeds = claim.whole.pairs, _seeds(folder, inner, BASELINE)
    return Statement(
        **common,
        **_said(claim.whole),
        value=claim.mean if form < PAIRED else claim.paired,
        control_value=baseline_in_all_rounds(folder, spec) if form < PAIRED else claim.baseline,
        tries=Tries(candidates=len(measured), pairs=pairs),
        rests_on=RestsOn(_places(folder), seeds, (claim.answer,) if claim.skipped else _on(folder, seeds, inner)),
        note=claim.skipped or claim.whole.note,
    )


def _said(said: Said) -> dict[str, Any]:
    return {
        "status": said.status,
        "effect": said.effect,
        "low": said.low,
        "high": said.high,
        "interval": ANY_TIME if said.pairs else "",
        "e_value": said.e_value if said.pairs else None,
    }


def _changes(folder: RunFolder[Any], inner: LoopSpec, claim: Claimed | None, unit: str) -> Iterator[Statement]:
    stage = stage_of(folder)
    if claim is None or stage is None:
        return
    question = question_of(folder.store, inner, stage)
    for said, change in zip(claim.changes, question.changes, strict=True):
        role = WITHOUT + change.trial
        seeds = _seeds(folder, inner, role)
        if said.note == ONLY_CHANGE:  # the answer without it is the baseline
            role, seeds = "", _seeds(folder, inner, BASELINE)
        yield Statement(
            kind="change",
            subject=change.trial,
            claim=f"{_made(change, question)} helps",
            control="the answer without this change, on the same fresh seeds",
            unit=unit,
            **_said(said),
            tries=Tries(candidates=1, pairs=said.pairs, together=len(claim.changes)),
            cost=_spent(_role_cost(folder, inner, role or BASELINE), ()),
            rests_on=RestsOn((change.trial,), seeds, _on(folder, seeds, inner, role)),
            note=said.note,
        )


def _made(change: KeptChange, question: Question) -> str:
    old, new = question.baseline.params, question.incumbent.params
    return ", ".join([*(f"{name} {old[name]!r} -> {new[name]!r}" for name in change.params), *change.files])


def _places(folder: RunFolder[Any]) -> tuple[str, ...]:
    stage = stage_of(folder)
    return () if stage is None else (f"{stage.branch}#{stage.trial}",)


def _seeds(folder: RunFolder[Any], inner: LoopSpec, role: str) -> tuple[int, ...]:
    """The seeds of the rounds in which a role took part."""
    stage = stage_of(folder)
    rounds = () if stage is None else stage.rounds
    return tuple(fresh_seed(inner, CLAIM, each.seed) for each in rounds if role in each.arms)


def _on(folder: RunFolder[Any], seeds: Sequence[int], inner: LoopSpec, role: str = "") -> tuple[str, ...]:
    """The candidates that took part on seeds: those of one role, or of the answer and the baseline."""
    stage = stage_of(folder)
    wanted = {role} if role else {ANSWER, BASELINE}
    rounds = () if stage is None else stage.rounds
    found = [
        candidate
        for each in rounds
        if fresh_seed(inner, CLAIM, each.seed) in seeds
        for name, candidate in each.arms.items()
        if name in wanted
    ]
    return tuple(dict.fromkeys(found))


def _role_cost(folder: RunFolder[Any], inner: LoopSpec, role: str) -> Cost:
    stage = stage_of(folder)
    keys = [
        key_of(inner, each.arms[role], fresh_seed(inner, CLAIM, each.seed))
        for each in (() if stage is None else stage.rounds)
        if role in each.arms
    ]
    measured = AsMeasured(folder.store, folder.meta("harness"))
    return sum((run.cost for key in keys if (run := measured.find_run(key)) is not None), Cost())


def _spent(cost: Cost, calls: Sequence[CallSummary]) -> Spent:
    asked = sum((call.cost for call in calls), Cost())
    unknown = any(call.money is None for call in calls)
    return Spent(
        cost.evaluations,
        cost.seconds + asked.seconds,
        asked.tokens,
        None if unknown else asked.money,
    )


# ---- mechanisms ----


def _mechanisms(records: Records, summary: Summary, calls: Sequence[CallSummary], form: int) -> Iterator[Statement]:
    """One statement for each level's mechanism that had a trial, by the source that ran."""
    trials = {
        f"{branch.id}#{trial.number}": trial
        for branch in records.branches()
        if branch.level.startswith(MECHANISMS)
        for trial in records.trials(branch.id)
    }
    groups: dict[tuple[str, str, str], list[MechanismTrial]] = {}
    for one in summary.mechanisms:
        if one.name and (form >= LEVELS or one.level == MECHANISMS):
            groups.setdefault((one.level, one.name, content_hash(one.source)), []).append(one)
    told = {key: [one.verdict for one in forks if one.verdict is not None] for key, forks in groups.items()}
    verdicts = {key: found[-1] for key, found in told.items() if found}
    if form >= TOGETHER:
        verdicts = dict(zip(verdicts, together([*verdicts.values()]), strict=True))
    for key, forks in groups.items():
        verdict = verdicts.get(key, Verdict())
        beside = len(groups) if form < TOGETHER else len(verdicts) if key in verdicts else 1
        places = [f"{one.branch}#{one.trial}" for one in forks]
        own = [trials[place] for place in places]
        yield _mechanism(key[2], verdict, forks, own, places, summary, calls, beside)


def _mechanism(
    source: str, verdict: Verdict, forks: Sequence[MechanismTrial], trials: Sequence[Trial], places: Sequence[str],
    summary: Summary, calls: Sequence[CallSummary], beside: int,
) -> Statement:  # fmt: skip
    name, lower = forks[0].name, forks[0].rank - 1
    written_in = {(one.level, one.branch, one.trial) for one in forks}
    own = [call for call in calls if (call.level, call.branch, call.trial) in written_in]
    control = any(one.pairs for one in forks)
    return Statement(
        kind="mechanism",
        subject=f"{name} {source[:12]}",
        claim=f"mechanism {name} helps {'the search' if lower == 1 else f'level {lower} to search mechanisms'}",
        status="confirmed" if verdict.confirmed else verdict.word,
        control="the same search without it, from the same state with the same seeds" if control else "none",
        unit=summary.unit,
        effect=verdict.effect if verdict.forks else None,
        low=verdict.low if verdict.forks else None,
        high=verdict.high if verdict.forks else None,
        interval=POSTERIOR if verdict.forks else "",
        e_value=verdict.e_value if verdict.forks else None,
        tries=Tries(sum(len(one.refused) + one.ran for one in forks), verdict.forks, sum(one.pairs for one in forks),
                    beside),
        cost=_spent(sum((trial.cost for trial in trials), Cost()), own),
        rests_on=RestsOn(tuple(places)),
        ledger=_summed([one.ledger for one in forks if one.ran and one.change != "leave out"]),
        note="" if control else "no control: a gain proves nothing" if any(one.ran for one in forks) else "never ran",
    )  # fmt: skip


def _static(records: Records, inner: LoopSpec, summary: Summary) -> Iterator[Statement]:
    trials = len(own_trials(records, inner.name))
    for name, ledger in summary.static.items():
        yield Statement(
            kind="mechanism",
            subject=name,
            claim=f"mechanism {name} helps the search",
            status="undecided",
            control=NO_CONTROL,
            unit=summary.unit,
            rests_on=RestsOn((f"all {trials} trials of level {inner.name}",)),
            ledger=ledger,
            note="no control: a gain proves nothing",
        )


def _in_whole_loops(path: Path, spec: LoopSpec, unit: str) -> Iterator[Statement]:
    """What loops on fresh run seeds say of mechanisms. The trials are those of the store in the folder `confirm`."""
    inner, found, store = leaf(spec), confirming.confirmed(path, spec), confirming.opened(path)
    if found is None or store is None:
        return
    try:
        entries = {entry.series: entry for entry in confirming.planned(store).entries}
        for claim in found.helps:
            pairs = confirming.arms_in(store, inner, entries[claim.series])
            arms = [arm for each in pairs for arm in each.values()]
            against = claim.against.get(PLAIN)
            name, trials = claim.series.mechanism, claim.series.trials
            others = " and ".join(claim.against)
            yield Statement(
                kind="whole loops",
                subject=f"{name} {claim.series.source[:12]}",
                claim=f"mechanism {name} helps researcher {inner.researcher.name} within {trials} trials",
                status=claim.status,
                control=f"whole loops with the same fresh run seeds: {others}; the e-value is the smaller one",
                unit=unit,
                effect=None if against is None else against.effect,
                low=None if against is None else against.low,
                high=None if against is None else against.high,
                interval=ANY_TIME if against else "",
                e_value=claim.e_value if against else None,
                tries=Tries(pairs=claim.pairs, together=len(found.helps)),
                cost=_spent(sum((arm.cost for arm in arms), Cost()), ()),
                rests_on=RestsOn(
                    tuple(f"{confirming.FOLDER}:{arm.branch}" for arm in arms),
                    tuple(confirming.pair_seed(inner, index) for index in range(claim.pairs)),
                    tuple(dict.fromkeys(arm.candidate for arm in arms if arm.candidate)),
                ),
                ledger=_summed([_counts(each[WITH].ledger) for each in pairs]),
                note=claim.note,
            )  # fmt: skip
    finally:
        store.close()


def _counts(ledger: Mapping[str, Sequence[int]]) -> dict[str, dict[str, int]]:
    return {hook: dict(zip(COUNTS, counts, strict=True)) for hook, counts in ledger.items()}


def _summed(ledgers: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for ledger in ledgers:
        for hook, counts in ledger.items():
            mine = found.setdefault(hook, {})
            for name, count in counts.items():
                mine[name] = mine.get(name, 0) + count
    return found
