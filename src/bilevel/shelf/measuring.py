"""What a run says of a mechanism: its source, its author, and its forks put together into evidence.

A fork is a trial of an outer loop in which challenger and control searched from the same state, and the mechanism is
what made the difference between them. Searches without a control are no evidence, whatever they came to.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bilevel import confirming
from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.evidence import Fork, Verdict, beside, spread, verdict
from bilevel.helps import HARMFUL, PLAIN, Series
from bilevel.lab import Records, Traces
from bilevel.levels import LoopTask, aimed_at, leaf, leaf_branch, level_named, levels_of
from bilevel.loop import LoopSpec
from bilevel.objective import Objective
from bilevel.recipe import Recipe
from bilevel.report import own_trials
from bilevel.shelf.found import Found
from bilevel.shelf.record import Control, Measurement, Origin, Preconditions, Record
from bilevel.space import Space
from bilevel.standings import mechanism_levels, told_together
from bilevel.store.folder import RunFolder
from bilevel.trial import Trial


@dataclass(frozen=True)
class Tested:
    """One fork in which a mechanism was tried, or (sign -1) left out: `gain` is that of the arm with it over the one
    without. `on`: the loop that it worked on, "" for the innermost. `inert`: it changed no decision, so nothing is
    credited."""

    level: str
    branch: str
    trial: int
    source: str  # hash
    control: Control
    sign: int
    gain: float
    spread: float
    challenger: float | None
    against: float | None
    evaluations: int
    inert: bool
    arms: str  # a hash of what both arms measured
    on: str = ""

    @property
    def fork(self) -> Fork:
        return Fork(self.gain, self.spread)


@dataclass(frozen=True)
class Version:
    """A source that had the name in a run, and where it came from. `trial` is None for one of the recipe."""

    source: str
    level: str
    branch: str = ""
    trial: int | None = None
    author: str = ""
    why: str = ""
    calls: tuple[int, ...] = ()


def family(task: str) -> str:
    """A task's name without its options and remarks: what measurements are put together by."""
    return task.partition(":")[0].partition(" (")[0]


def versions(records: Records, spec: LoopSpec, name: str) -> list[Version]:
    """The sources that had a name in a run, those of the recipe first, then in the order in which they were tried."""
    found = [
        Version(guest.source, loop.name) for loop in levels_of(spec) for guest in loop.mechanisms if guest.name == name
    ]
    calls = records.calls()
    for loop in mechanism_levels(spec):
        for branch, trial in own_trials(records, loop.name):
            if name in trial.candidate.files_changed_from(trial.parent) and name in trial.candidate.files:
                place = (loop.name, branch, trial.number)
                numbers = tuple(call.number for call in calls if (call.level, call.branch, call.trial) == place)
                by, why = trial.proposal.author, trial.proposal.why
                found.append(Version(trial.candidate.files[name], *place, by, why, numbers))
    return found


def in_force(records: Records, spec: LoopSpec, name: str) -> list[tuple[str, str]]:
    """Where a mechanism is in force at the end of what is recorded: (level, source)."""
    now = {loop.name: {guest.name: guest.source for guest in loop.mechanisms} for loop in levels_of(spec)}
    traces, branch, loop = Traces(records), ("root" if records.branches() else None), spec
    while branch is not None and isinstance(loop.task, LoopTask):
        trace = traces.trace(branch, loop.task.objective)
        if loop in mechanism_levels(spec) and trace.current is not None:
            now[aimed_at(loop.task).name] = {str(n): trace.current.files[str(n)] for n in _order(trace.current.params)}
        branch, loop = trace.state, loop.task.inner
    return [(level, guests[name]) for level, guests in now.items() if name in guests]


def _order(params: Mapping[str, Any]) -> tuple[Any, ...]:
    order = params.get("order")
    return order if isinstance(order, tuple) else ()


def tested(records: Records, spec: LoopSpec, name: str) -> list[Tested]:
    """All forks of a run that tested a mechanism of that name, whatever its source was."""
    objective = leaf(spec).task.objective
    return [
        replace(fork, on=_worked_on(spec, loop.name))
        for loop in mechanism_levels(spec)
        for branch, trial in own_trials(records, loop.name)
        for fork in _forks(loop.name, branch, trial, name, objective)
    ]


def _worked_on(spec: LoopSpec, level: str) -> str:
    """The loop that a level changes, "" for the innermost one."""
    task = level_named(spec, level).task
    aimed = aimed_at(task) if isinstance(task, LoopTask) else leaf(spec)
    return "" if aimed.name == leaf(spec).name else aimed.name


def _forks(level: str, branch: str, trial: Trial, name: str, objective: Objective) -> Iterator[Tested]:
    run = trial.runs[-1] if trial.runs else None
    if run is None or run.metrics is None or not run.data.get("control"):
        return
    arms = run.data["arms"]
    challenger, against = arms["challenger"], arms["control"]
    gain = float(run.metrics["gain"])
    scores = [[one["score"] for one in arm.get("trials", ())] for arm in (challenger, against)]
    by_chance = run.data.get("spread")
    chance = spread(objective, challenger["before"], *scores) if by_chance is None else float(by_chance)
    made = content_hash([[arm["before"], arm["best"], list(map(dict, arm.get("trials", ())))] for arm in arms.values()])
    idle = str(run.data.get("discredit", "")).startswith("inert")
    for source, sign, control in _tests(trial, name, run.data.get("tests")):
        yield Tested(
            level, branch, trial.number, source, control, sign, gain * sign, chance, challenger["best"],
            against["best"], run.cost.evaluations, idle and sign > 0, made,
        )  # fmt: skip


def _tests(trial: Trial, name: str, told: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, int, Control]]:
    """(source hash, sign, control): what a fork tested of a mechanism; -1 where the challenger is without it."""
    new, old = trial.candidate.files.get(name), trial.parent.files.get(name)
    if told is not None:
        return [
            (
                str(one["source"]),
                int(one["sign"]),
                "its earlier version" if None not in (new, old) and new != old and one["sign"] > 0 else "without it",
            )
            for one in told
            if one["mechanism"] == name
        ]
    if new == old:
        return []
    if new is None:
        return [(content_hash(old), -1, "without it")]
    return [(content_hash(new), 1, "without it" if old is None else "its earlier version")]


def judged(forks: Sequence[Tested]) -> Verdict:
    """What forks say together; those in which the mechanism was inert say nothing."""
    return verdict(fork.fork for fork in forks if not fork.inert)


def measurements(
    forks: Sequence[Tested], source: str, spec: LoopSpec, *, run: str, date: datetime.date, machine: str,
    told: Verdict | None,
) -> tuple[Measurement, ...]:  # fmt: skip
    """The forks that tested one source (its hash), put together for each control and each loop that it worked on.

    `told`: what all its forks say beside the other mechanisms of the run.
    """
    task, found = leaf(spec).task, []
    controls: tuple[Control, ...] = ("without it", "its earlier version")
    places = dict.fromkeys(fork.on for fork in forks)
    for on, control in ((on, control) for on in places for control in controls):
        mine = [fork for fork in forks if (fork.source, fork.control, fork.on) == (source, control, on)]
        alive = [fork for fork in mine if not fork.inert]
        if not mine:
            continue
        said = beside(judged(mine), told)
        found.append(
            Measurement(
                family=family(task.name), task=task.name, harness=task.harness, machine=machine,
                unit=task.objective.unit,
                control=control, effect=said.effect, low=said.low if said.forks else None,
                high=said.high if said.forks else None, forks=len(alive), told=said.forks,
                inert=len(mine) - len(alive), verdict=said.word, e_value=said.e_value,
                confirmed=said.confirmed, evaluations=sum(fork.evaluations for fork in mine), date=date, run=run,
                gains=tuple(fork.gain for fork in alive), spreads=tuple(fork.spread for fork in alive),
                arms=tuple(sorted(fork.arms for fork in mine)), on=on,
                kinds=tuple(kinds_of(level_named(spec, on or leaf(spec).name).task.space)),
            )
        )  # fmt: skip
    return tuple(found)


def kinds_of(space: Space) -> list[str]:
    """The kinds of a space's parameters, each once."""
    return sorted({type(domain).__name__ for domain in space.domains.values()})


def _place_of(spec: LoopSpec, version: Version) -> LoopSpec:
    """The loop that a version worked on: that of the recipe, or the one that the level which tried it changes."""
    task = level_named(spec, version.level).task
    return (
        level_named(spec, version.level) if version.trial is None or not isinstance(task, LoopTask) else aimed_at(task)
    )


def preconditions(found: Found, kinds: Sequence[str]) -> Preconditions:
    advice = "advice" in found.needs or "advise" in found.hooks
    return Preconditions(needs=tuple(sorted(found.needs)), advice=advice, kinds=tuple(kinds))


def taken_out(
    records: Records, spec: LoopSpec, name: str, *, run: Path, recipe: str, trial: int | None = None
) -> tuple[str, Record]:
    """A mechanism out of a run: its source, and a record with what the run's forks say of that very source.

    It is the version in force at the end, else the one tried last; or that of one trial. Raises InputError where the
    run has none of that name.
    """
    there = versions(records, spec, name)
    version = _chosen(records, spec, name, there, run, trial)
    first = next(v for v in there if v.source == version.source)
    found = Found(name, "file", version.source, str(run))
    store = run / "run.sqlite3"
    date = datetime.datetime.fromtimestamp(store.stat().st_mtime, datetime.UTC).date()
    inner = leaf(spec)
    record = Record(
        source_hash=found.source_hash,
        title=found.title[:500],
        author=(first.author or "the recipe")[:500],
        created=date,
        origin=Origin(
            run=run.resolve().name, recipe=recipe, task=inner.task.name, seed=spec.seed, level=first.level,
            branch=first.branch, trial=first.trial, calls=first.calls,
        ),
        preconditions=preconditions(found, kinds_of(_place_of(spec, first).task.space)),
        parameters={key: repr(value)[:500] for key, value in found.parameters.items()},
        evidence=(
            *measurements(
                tested(records, spec, name), found.source_hash, spec, run=run.resolve().name, date=date,
                machine=_machine(run), told=told_together(records, spec).get((name, found.source_hash)),
            ),
            *fresh_measurements(run, spec, name, found.source_hash, date),
        ),
    )  # fmt: skip
    return version.source, record


def _machine(run: Path) -> str:
    """The fingerprint of the machine that a run was made on."""
    folder = RunFolder.read(run)
    try:
        elsewhere = any(one.get("differs") for one in folder.meta("machines") or [])
        return "several" if elsewhere else str((folder.meta("environment") or {}).get("fingerprint", ""))
    finally:
        folder.close()


def _chosen(
    records: Records, spec: LoopSpec, name: str, there: Sequence[Version], run: Path, trial: int | None
) -> Version:
    """The version in force at the end, else the one tried last; or that of one trial."""
    chosen = [version for version in there if trial is None or version.trial == trial]
    if not chosen:
        at = "" if trial is None else f" that was proposed in trial {trial}"
        raise InputError(
            f"run {str(run)!r} has no mechanism {name!r}{at}; it has: {', '.join(names(records, spec)) or 'none'}"
        )
    now = [source for _, source in in_force(records, spec, name)]
    return next((v for v in reversed(chosen) if not now or v.source in now), chosen[-1])


# ---- on fresh run seeds ----


def entries(
    records: Records, recipe: Recipe, spec: LoopSpec, wanted: str, trials: int | None, run: Path
) -> list[confirming.Entry]:
    """What is to be tested: "A,B" are names in the run, "all" what is in force on level 1 at its end.

    A loop gets as many trials as the run gave its own innermost one, or `trials`. Raises InputError where there is no
    such mechanism, or it works on another level.
    """
    inner, known = leaf(spec), names(records, spec)
    force = [one for one in known if inner.name in [level for level, _ in in_force(records, spec, one)]]
    chosen = force if wanted == "all" else list(dict.fromkeys(one.strip() for one in wanted.split(",") if one.strip()))
    if not chosen:
        said = ", ".join(known) or "none"
        raise InputError(f"no mechanism is in force at the end of {str(run)!r}; name one of those it has: {said}")
    if trials is not None and trials < 1:
        raise InputError(f"--trials {trials}: a loop needs at least one trial beside its baseline")
    length = trials or _length(records, recipe, spec)
    found = []
    for name in chosen:
        above = [loop.name for loop in levels_of(spec)[1:] if name in [guest.name for guest in loop.mechanisms]]
        if above:
            raise InputError(
                f"mechanism {name!r} works on level {above[0]!r}; what can be tested on fresh run seeds is what works "
                "on the innermost loop"
            )
        source = _chosen(records, spec, name, versions(records, spec, name), run, None).source
        series = Series(name, content_hash(source), length, confirming.FRESH)
        found.append(confirming.Entry(series, source))
    return found


def _length(records: Records, recipe: Recipe, spec: LoopSpec) -> int:
    """How many trials the run gave its innermost loop, on the line on which the search ended."""
    if not recipe.nested:
        return recipe.inner.trials
    traces = Traces(records)
    branch = leaf_branch(traces, spec, "root" if records.branches() else None)
    return max(1, len(traces.trace(branch, leaf(spec).task.objective)) - 1) if branch is not None else 1


def fresh_measurements(run: Path, spec: LoopSpec, name: str, source: str, date: datetime.date) -> Iterator[Measurement]:
    """What the pairs on fresh run seeds say of one source (its hash), for each budget."""
    inner, store, said = leaf(spec), confirming.opened(run), confirming.confirmed(run, spec)
    if store is None or said is None:
        return
    try:
        by_series = {entry.series: entry for entry in confirming.planned(store).entries}
        for claim in said.helps:
            if (claim.series.mechanism, claim.series.source) != (name, source) or not claim.pairs:
                continue
            arms = confirming.arms_in(store, inner, by_series[claim.series])
            pairs = confirming.pairs_in(store, inner, by_series[claim.series])
            gains = tuple(pair.counted(PLAIN) for pair in pairs)
            against = claim.against[PLAIN]
            yield Measurement(
                family=family(inner.task.name), task=inner.task.name, harness=inner.task.harness,
                machine=_machine(run), unit=inner.task.objective.unit, control="without it", effect=against.effect,
                low=against.low, high=against.high, forks=claim.live, told=sum(1 for gain in gains if gain),
                inert=claim.pairs - claim.live,
                verdict="helped" if claim.confirmed else "hurt" if claim.status == HARMFUL else "undecided",
                e_value=claim.e_value, confirmed=claim.confirmed,
                evaluations=sum(arm.cost.evaluations for each in arms for arm in each.values()), date=date,
                run=run.resolve().name, gains=gains, trials=claim.series.trials,
                kinds=tuple(kinds_of(inner.task.space)),
                arms=tuple(sorted(content_hash({role: arm.path for role, arm in each.items()}) for each in arms)),
            )  # fmt: skip
    finally:
        store.close()


def names(records: Records, spec: LoopSpec) -> list[str]:
    """The mechanisms that a run speaks of: of its recipe, tried, or only climbing."""
    found = {guest.name for loop in levels_of(spec) for guest in loop.mechanisms}
    for loop in levels_of(spec):
        for _, trial in own_trials(records, loop.name):
            found |= {climb.mechanism for climb in trial.climbs}
            if loop in mechanism_levels(spec):
                found |= set(trial.candidate.files) | set(trial.parent.files)
    return sorted(found)
