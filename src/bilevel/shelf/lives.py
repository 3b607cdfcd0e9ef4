"""A mechanism's whole life in one run: who proposed it, the rungs that it climbed, what it did, what it gained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bilevel.calls import CallSummary
from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.evidence import Verdict, beside
from bilevel.lab import Records
from bilevel.levels import levels_of
from bilevel.loop import LoopSpec
from bilevel.report import own_trials
from bilevel.shelf.measuring import Tested, in_force, judged, names, tested
from bilevel.standings import mechanism_levels, told_together
from bilevel.trial import Climb, Count, Fault, Trial, merge


@dataclass(frozen=True)
class Change:
    """A trial of an outer loop that added, replaced or removed the mechanism. `calls` are numbers for `bilevel show
    RUN --call N`: the session that wrote it. `source` is a hash."""

    level: str
    branch: str
    trial: int
    change: str
    source: str
    author: str
    why: str
    calls: tuple[int, ...]
    kept: bool
    reason: str


@dataclass(frozen=True)
class Climbed:
    """A rung that it climbed, or failed to; while which trial was asked for, or told."""

    level: str
    branch: str
    trial: int
    climb: Climb


@dataclass(frozen=True)
class Acted:
    """What it did in the trials of one branch in which it was asked."""

    branch: str
    level: str
    trials: int
    hooks: Mapping[str, Count]


@dataclass(frozen=True)
class Standing:
    """What the forks say of one source against one control on one loop (`on`: see Tested). `forks`: of those, the ones
    in which it was not inert."""

    source: str
    control: str
    forks: int
    inert: int
    said: Verdict
    on: str = ""


@dataclass(frozen=True)
class Life:
    """Everything that a run's records say of a mechanism. `sources`: text by hash. `recipe`: the levels on which the
    recipe put it in force from the first trial. `in_force`: (level, hash) at the end of what is recorded. `ladder`:
    whether the run recorded rungs at all."""

    name: str
    sources: Mapping[str, str]
    recipe: tuple[str, ...]
    changes: tuple[Change, ...]
    climbs: tuple[Climbed, ...]
    ledger: Mapping[str, Count]
    acted: tuple[Acted, ...]
    faults: tuple[Fault, ...]
    forks: tuple[Tested, ...]
    standing: tuple[Standing, ...]
    in_force: tuple[tuple[str, str], ...]
    ladder: bool


def life(records: Records, spec: LoopSpec, name: str, run: str) -> Life:
    """A mechanism's life in a run. Raises InputError where the run speaks of none of that name."""
    known = names(records, spec)
    if name not in known:
        raise InputError(f"run {run!r} has no mechanism {name!r}; it has: {', '.join(known) or 'none'}")
    static = {guest.source: loop.name for loop in levels_of(spec) for guest in loop.mechanisms if guest.name == name}
    acted = tuple(_acted(records, spec, name))
    forks = tuple(tested(records, spec, name))
    climbs = tuple(_climbs(records, spec))
    texts = [*static, *(text for _, text in in_force(records, spec, name)), *_texts(records, spec, name)]
    return Life(
        name=name,
        sources={content_hash(text): text for text in texts},
        recipe=tuple(static.values()),
        changes=tuple(_changes(records, spec, name)),
        climbs=tuple(climbed for climbed in climbs if climbed.climb.mechanism == name),
        ledger=merge(*({name: one.hooks} for one in acted)).get(name, {}),
        acted=acted,
        faults=tuple(
            fault
            for loop in levels_of(spec)
            for _, trial in own_trials(records, loop.name)
            for fault in trial.faults
            if fault.guest == name
        ),
        forks=forks,
        standing=tuple(_standings(name, forks, told_together(records, spec))),
        in_force=tuple((level, content_hash(text)) for level, text in in_force(records, spec, name)),
        ladder=bool(climbs),
    )


def _tried(records: Records, spec: LoopSpec, name: str) -> Iterator[tuple[str, str, Trial]]:
    """(level, branch, trial) of the outer loops' trials that changed the mechanism."""
    for loop in mechanism_levels(spec):
        for branch, trial in own_trials(records, loop.name):
            if name in trial.candidate.files_changed_from(trial.parent):
                yield loop.name, branch, trial


def _texts(records: Records, spec: LoopSpec, name: str) -> list[str]:
    sets = [files for _, _, t in _tried(records, spec, name) for files in (t.parent.files, t.candidate.files)]
    return [files[name] for files in sets if name in files]


def _changes(records: Records, spec: LoopSpec, name: str) -> Iterator[Change]:
    calls = records.calls()
    for level, branch, trial in _tried(records, spec, name):
        new, old = trial.candidate.files.get(name), trial.parent.files.get(name)
        yield Change(
            level=level,
            branch=branch,
            trial=trial.number,
            change="add" if old is None else "remove" if new is None else "replace",
            source=content_hash(new if new is not None else old),
            author=trial.proposal.author,
            why=trial.proposal.why,
            calls=_session(calls, level, branch, trial.number),
            kept=trial.decision.keep,
            reason=trial.decision.reason,
        )


def _session(calls: Sequence[CallSummary], level: str, branch: str, trial: int) -> tuple[int, ...]:
    place = (level, branch, trial)
    return tuple(call.number for call in calls if (call.level, call.branch, call.trial) == place)


def _climbs(records: Records, spec: LoopSpec) -> Iterator[Climbed]:
    for loop in levels_of(spec):
        for branch, trial in own_trials(records, loop.name):
            for climb in trial.climbs:
                yield Climbed(loop.name, branch, trial.number, climb)
        for opened in records.branches():
            if opened.level == loop.name:
                for pending in records.pendings(opened.id):
                    for climb in pending.climbs:
                        yield Climbed(loop.name, opened.id, pending.number, climb)


def _acted(records: Records, spec: LoopSpec, name: str) -> Iterator[Acted]:
    """By branch, its own trials only: so none is counted twice when it is summed."""
    levels = {loop.name for loop in levels_of(spec)}
    for branch in records.branches():
        found = [trial.ledger[name] for trial in records.trials(branch.id) if name in trial.ledger]
        if found and branch.level in levels:
            yield Acted(branch.id, branch.level, len(found), merge(*({name: hooks} for hooks in found))[name])


def _standings(name: str, forks: Sequence[Tested], told: Mapping[tuple[str, str], Verdict]) -> Iterator[Standing]:
    for source, control, on in dict.fromkeys((fork.source, fork.control, fork.on) for fork in forks):
        mine = [fork for fork in forks if (fork.source, fork.control, fork.on) == (source, control, on)]
        inert = sum(fork.inert for fork in mine)
        said = beside(judged(mine), told.get((name, source)))
        yield Standing(source, control, len(mine) - inert, inert, said, on)
