"""The claim that a mechanism helps, put to the test after a run: whole loops on fresh run seeds, with it and without.

The loops of all pairs are stored in a folder of their own within the run folder, as branches like those of a search;
nothing in the run's own records changes, and a replay does not see them. Whatever is to be done is a fact of that store
before it is begun, so what was killed goes on where it was, and more pairs add to the same evidence.

Seeds: pair n has the run seed `pair_seed(seed of the run, n)`, from which its evaluation seeds follow, and those of the
claim on which the bests are measured. Mechanisms that are tested with one budget share the arms without them.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bilevel import codec, mechanisms
from bilevel.arms import Control, ledger_of, numbers_of
from bilevel.budget import Cost
from bilevel.codec import content_hash, derive_seed
from bilevel.errors import Diverged, InputError, Stopped
from bilevel.fresh import CLAIM, deterministic, fresh_seed, key_of, look, looks_at, measure, score_of, steady
from bilevel.helps import (
    PLACEBO,
    PLAIN,
    RESTART,
    WITH,
    Ask,
    Begun,
    Confirmed,
    Help,
    Looped,
    Pair,
    Series,
    helps,
    pairs_of,
    wanted,
)
from bilevel.lab import Branch, Lab, Records, Traces
from bilevel.levels import leaf
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.store.reader import FILE, Reader
from bilevel.store.sqlite import SqliteStore
from bilevel.tasks.external import External, ExternalFolder

FOLDER = "confirm"  # within the run folder
PLAN = "confirm"  # the fact of its store that says which sources are tested, and what was asked for
FRESH = 3  # evaluation seeds on which a loop's best is measured again
Tell = Callable[[int, Sequence[Help]], object]  # the place of a pair that is done, and the claims with it


@dataclass(frozen=True)
class Entry:
    """A series, and the source text that it tests."""

    series: Series
    source: str


@dataclass(frozen=True)
class Plan:
    """The record of what is tested in a run folder.

    `guarded`: a best that breaks a guardrail on a fresh seed has failed there; older versions did not look.
    """

    entries: tuple[Entry, ...] = ()
    asks: tuple[Ask, ...] = ()
    guarded: bool = False

    def entry(self, series: Series) -> Entry:
        return next(entry for entry in self.entries if entry.series == series)


def pair_seed(spec: LoopSpec, index: int) -> int:
    """The run seed of a pair: of none of the searches of the run."""
    return derive_seed(spec.seed, "mechanism claim", index)


# ---- what the arms of a pair are ----


def arms_of(inner: LoopSpec, entry: Entry) -> dict[str, tuple[str, LoopSpec]]:
    """The arms of a pair, by what they are: the name of the arm's branch, and the loop before it has a seed.

    Without the mechanism is with the others of the recipe. A restart is no control of itself, nor a placebo.
    """
    name, source = entry.series.mechanism, entry.source
    there = any(guest.name == name for guest in inner.mechanisms)
    others = tuple(guest for guest in inner.mechanisms if guest.name != name)
    guest = Guest(name, source)
    own = tuple(guest if one.name == name else one for one in inner.mechanisms) if there else (*others, guest)
    plain, but = replace(inner, mechanisms=others), f" but {name}" if there else ""
    found = {
        WITH: (f"with {name} {entry.series.source[:16]}", replace(inner, mechanisms=own, watched=frozenset({name}))),
        PLAIN: (f"plain{but}", plain),
    }
    for control in (RESTART, PLACEBO):
        text = mechanisms.source(control)
        if name != control and source != text:
            found[control] = (f"{control}{but}", Control(control, Guest(control, text)).applied(plain))
    return found


def loops_of(inner: LoopSpec, entry: Entry, index: int) -> dict[str, tuple[Branch, LoopSpec]]:
    """The arms of one pair with their branches and its seed."""
    series = entry.series
    budget = inner.budget if inner.budget.trials is None else replace(inner.budget, trials=series.trials)
    return {
        role: (
            Branch(f"{series.trials}/{index}/{name}", inner.name),
            replace(spec, seed=pair_seed(inner, index), budget=budget),
        )
        for role, (name, spec) in arms_of(inner, entry).items()
    }


def looped(records: Records, traces: Traces, spec: LoopSpec, branch: str, series: Series, own: str = "") -> Looped:
    """What an arm came to, computed from its trials and the measurements of its best; `own` is the mechanism, in the
    arm with it.

    Raises Diverged where trials or measurements are missing: so a stored result can be checked.
    """
    trace = traces.trace(branch, spec.task.objective)
    if len(trace) != series.trials + 1:
        raise Diverged(f"branch {branch!r} has {len(trace)} trials, and a loop of it has {series.trials + 1}")
    best, again, instead, looked = trace.incumbent, Again(), Again(), Cost()
    value = None if best is None else best.score
    exact = best is not None and deterministic(records, spec, trace[0], best.candidate.id, CLAIM)
    if best is not None and exact:
        looked = sum((run.cost for run in looks_at(records, spec, best.candidate.id, CLAIM)), Cost())
    elif best is not None:
        again = _again(records, spec, best.candidate, series.fresh, planned(records).guarded)
        value = again.mean
    if value is None:
        instead = _again(records, spec, spec.task.baseline(), series.fresh)
        value = instead.mean
    ledgers = [ledger_of(trial).get(own, {}) for trial in trace]
    return Looped(
        branch=branch,
        candidate="" if best is None else best.candidate.id,
        seen=None if best is None else best.score,
        scores=again.scores,
        value=value,
        path=content_hash([[trial.candidate.id, trial.score] for trial in trace]),
        cost=sum((trial.cost for trial in trace), Cost()) + again.cost + instead.cost + looked,
        ledger={hook: tuple(numbers) for hook, numbers in numbers_of(_summed(ledgers)).items()} if own else {},
        shadows=tuple(trial.shadows for trial in trace if trial.shadows) if own else (),
    )


def _summed(ledgers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for ledger in ledgers:
        for hook, count in ledger.items():
            total[hook] = total[hook] + count if hook in total else count
    return total


@dataclass(frozen=True)
class Again:
    """What a candidate scored on fresh evaluation seeds (None: it failed), and what that cost."""

    scores: tuple[float | None, ...] = ()
    cost: Cost = Cost()

    @property
    def mean(self) -> float | None:
        """None where any failed: an answer that fails now and then is none."""
        known = [score for score in self.scores if score is not None]
        return sum(known) / len(known) if known and len(known) == len(self.scores) else None


def _again(records: Records, spec: LoopSpec, candidate: Candidate, fresh: int, guarded: bool = False) -> Again:
    runs = [records.find_run(key_of(spec, candidate.id, fresh_seed(spec, CLAIM, index))) for index in range(fresh)]
    there = [run for run in runs if run is not None]
    if len(there) < fresh:
        raise Diverged(f"candidate {candidate.id!r} is not measured on all of its {fresh} fresh seeds")
    return Again(tuple(score_of(spec, run, guarded) for run in there), sum((run.cost for run in there), Cost()))


# ---- the test ----


def confirm(
    folder: RunFolder[Any],
    spec: LoopSpec,
    lab: Lab,
    entries: Sequence[Entry],
    pairs: int | None,
    default: int,
    tell: Tell = lambda index, claims: None,
) -> None:
    """Test mechanisms with so many more pairs each at most, or finish what was asked for before and was interrupted.

    The lab is that of `laboratory`. Raises Stopped where somebody asked to stop, LimitReached where a limit is spent.
    """
    inner = leaf(spec)
    plan = _asked(folder, lab, inner, entries, pairs, default)
    evidence = {entry.series: pairs_in(lab.store, inner, entry) for entry in plan.entries}
    ask = plan.asks[-1]
    while (found := wanted(evidence, ask)) is not None:
        index, taking_part = found
        for series in taking_part:
            evidence[series] = _paired(lab, inner, plan.entry(series), index)
        tell(index, helps(evidence))
    _set(lab, PLAN, replace(plan, asks=(*plan.asks[:-1], replace(ask, complete=True))))


def laboratory(session_lab: Lab, folder: RunFolder[Any]) -> Lab:
    """A lab like that of the run, on a store of its own; limits count what is spent there."""
    path, draft = folder.path / FOLDER, folder.path / f".{FOLDER}"
    if not (path / FILE).is_file():
        shutil.rmtree(draft, ignore_errors=True)  # killed while it was made
        draft.mkdir()
        SqliteStore(draft).close()
        draft.rename(path)
    store = SqliteStore(path)
    return Lab(
        store, workers=session_lab.workers, models=session_lab.models, limits=session_lab.limits,
        redact=session_lab.redact, elapsed=float(store.get_meta("elapsed") or 0.0), isolation=session_lab.isolation,
    )  # fmt: skip


def planned(store: Any) -> Plan:
    """What is tested in a store, so far."""
    data = None if store is None else _fact(store, PLAN)
    return Plan() if data is None else codec.build(Plan, data)


def _asked(
    folder: RunFolder[Any], lab: Lab, inner: LoopSpec, entries: Sequence[Entry], pairs: int | None, default: int
) -> Plan:
    """The plan with what is asked for now; an ask for the same that was interrupted goes on."""
    if isinstance(inner.task, External | ExternalFolder):
        raise InputError(f"task {inner.task.name!r} is measured by whoever drives the run, so no loop can be run here")
    assert isinstance(lab.store, SqliteStore)
    plan = planned(lab.store)
    plan = plan if plan.entries else replace(plan, guarded=True)
    known = {entry.series for entry in plan.entries}
    plan = replace(plan, entries=(*plan.entries, *(entry for entry in entries if entry.series not in known)))
    wanted_now = {entry.series for entry in entries}
    last = plan.asks[-1] if plan.asks else None
    same = last is not None and not last.complete and {each.series for each in last.begun} == wanted_now
    if last is None or not same or (pairs is not None and pairs != last.pairs):
        begun = tuple(Begun(entry.series, len(pairs_in(lab.store, inner, entry))) for entry in entries)
        plan = replace(plan, asks=(*plan.asks, Ask(pairs or default, begun)))
    _set(lab, PLAN, plan)
    return plan


def _paired(lab: Lab, inner: LoopSpec, entry: Entry, index: int) -> tuple[Pair, ...]:
    """Run what is missing of a pair; gives all pairs of its series."""
    for role, (branch, spec) in loops_of(inner, entry, index).items():
        if _fact(lab.store, _key(branch.id)) is None:
            _loop(lab, spec, branch, entry.series, entry.series.mechanism if role == WITH else "")
    return pairs_in(lab.store, inner, entry)


def _loop(lab: Lab, spec: LoopSpec, branch: Branch, series: Series, own: str) -> None:
    """Run one arm, measure its best on fresh seeds, and store what it came to."""
    loop = Loop(spec, lab, branch)
    loop.run(until=series.trials + 1)
    if len(loop.trace) <= series.trials:
        raise Stopped(f"stopped within {branch.id}; the same command goes on with it")
    best, scores = loop.trace.incumbent, []
    if best is not None and steady(spec, loop.trace[0]):
        lab.check_limits()
        for run in look(lab, spec, best.candidate, CLAIM):
            lab.meter.charge(run.cost)
    if best is not None and not deterministic(lab.store, spec, loop.trace[0], best.candidate.id, CLAIM):
        scores = _measured(lab, spec, best.candidate, series.fresh, planned(lab.store).guarded)
    if best is None or None in scores:
        _measured(lab, spec, spec.task.baseline(), series.fresh)
    _set(lab, _key(branch.id), looped(lab.store, lab.traces, spec, branch.id, series, own))


def _measured(lab: Lab, spec: LoopSpec, candidate: Candidate, fresh: int, guarded: bool = False) -> list[float | None]:
    found = []
    for index in range(fresh):
        lab.check_limits()
        run = measure(lab, spec, candidate, fresh_seed(spec, CLAIM, index))
        lab.meter.charge(run.cost)
        found.append(score_of(spec, run, guarded))
    return found


def _key(branch: str) -> str:
    return f"arm {branch}"


def _set(lab: Lab, key: str, value: object) -> None:
    lab.store.put_meta(key, codec.dump(value))
    lab.save_seconds()


def _fact(store: Any, key: str) -> Any:
    text = store.get_meta(key)
    return None if text is None else json.loads(text)


# ---- read again ----


def arms_in(store: Any, inner: LoopSpec, entry: Entry) -> list[dict[str, Looped]]:
    """What the arms of each whole pair of a series came to, as it is stored, in the order of the pairs."""
    found: list[dict[str, Looped]] = []
    while True:
        loops = loops_of(inner, entry, len(found))
        facts = {role: _fact(store, _key(branch.id)) for role, (branch, _) in loops.items()}
        if None in facts.values():
            return found
        found.append({role: codec.build(Looped, data) for role, data in facts.items()})


def pairs_in(store: Any, inner: LoopSpec, entry: Entry) -> tuple[Pair, ...]:
    """The whole pairs of a series."""
    return pairs_of(inner.task.objective, arms_in(store, inner, entry))


def opened(path: Path) -> Reader | None:
    """The store of a run folder's pairs, for reading; None where it has none."""
    return Reader(path / FOLDER) if (path / FOLDER / FILE).is_file() else None


def confirmed(path: Path, spec: LoopSpec) -> Confirmed | None:
    """What the pairs of a run folder say; None where no mechanism was tested."""
    store, inner = opened(path), leaf(spec)
    if store is None:
        return None
    try:
        plan = planned(store)
        if not plan.entries:
            return None
        evidence = {entry.series: pairs_in(store, inner, entry) for entry in plan.entries}
        cost, calls = Cost(), store.calls()
        for entry in plan.entries:
            cost = sum((arm.cost for arm in _own_arms(store, inner, entry, plan)), cost)
        cost = sum((Cost(tokens=call.cost.tokens, money=call.cost.money) for call in calls), cost)
        complete = all(ask.complete for ask in plan.asks[-1:])
        return Confirmed(inner.researcher.name, inner.task.name, helps(evidence), cost, len(calls), complete)
    finally:
        store.close()


def _own_arms(store: Any, inner: LoopSpec, entry: Entry, plan: Plan) -> list[Looped]:
    """The arms of a series that no earlier one of the plan has shared."""
    before = plan.entries[: plan.entries.index(entry)]
    shared = {
        arm.branch for other in before for each in arms_in(store, inner, other) for arm in each.values()
    }  # fmt: skip
    return [arm for each in arms_in(store, inner, entry) for arm in each.values() if arm.branch not in shared]


def checked(path: Path, spec: LoopSpec) -> Iterator[tuple[str, Any, Any]]:
    """For each arm of the whole pairs: its branch, what is stored of it, and what its trials and measurements give.

    Everything beyond that (gains, e-values, statuses) is computed from the arms whenever it is shown.
    """
    store, inner = opened(path), leaf(spec)
    if store is None:
        return
    try:
        traces = Traces(store)
        for entry in planned(store).entries:
            name = entry.series.mechanism
            yield f"source of {name}", entry.series.source, content_hash(entry.source)
            for index, each in enumerate(arms_in(store, inner, entry)):
                for role, (branch, loop) in loops_of(inner, entry, index).items():
                    try:
                        given = looped(store, traces, loop, branch.id, entry.series, name if role == WITH else "")
                    except Diverged as missing:
                        yield branch.id, codec.plain(each[role]), str(missing)
                    else:
                        yield branch.id, codec.plain(each[role]), codec.plain(given)
    finally:
        store.close()
