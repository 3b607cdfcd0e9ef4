"""Where the mechanisms of a run stand on the ladder, and which rungs that run has: read from its records."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bilevel.climbing import FAILED
from bilevel.codec import build, content_hash
from bilevel.evidence import Verdict, together
from bilevel.lab import Records, Traces
from bilevel.ladder import BEFORE_THE_TRIAL
from bilevel.levels import LoopTask, levels_of
from bilevel.loop import LoopSpec
from bilevel.probation import AUTHOR, OnProbation
from bilevel.trial import LADDER, Climb, Trial

MECHANISMS = "mechanisms"  # the level that searches them
STARTS = LADDER[0]  # every climb begins there, also where that rung is off
LIVE = ("trial", "probation")


@dataclass(frozen=True)
class Attempt:
    """One source on its way up within a trial: its rungs in the order in which it climbed them."""

    mechanism: str
    source: str
    climbs: tuple[Climb, ...]

    @property
    def failed(self) -> Climb | None:
        """The rung that it failed, if any."""
        return next((climb for climb in self.climbs if climb.rung not in LIVE and climb.outcome in FAILED), None)


@dataclass(frozen=True)
class Retired:
    """A mechanism that a branch asks no more: in this trial of it came the last of too many faults."""

    mechanism: str
    level: str
    branch: str
    trial: int
    faults: int
    last: str

    def __str__(self) -> str:
        times = f"{self.faults} fault{'s' if self.faults > 1 else ''}"
        return f"retired after {times} in trial {self.trial} of branch {self.branch}: {self.last}"


@dataclass(frozen=True)
class Standing:
    """One source of a mechanism: the last rung that it reached, what its forks say, and where it is now; confirmed is
    what stands beside all others that were tested.

    `level`: the one that tried it. `since`: the trial of that loop from which on it is in force, 0 for one of the
    recipe; None if it is not. `ended`: why not.
    """

    mechanism: str
    source: str
    rung: str = ""
    outcome: str = ""
    forks: int = 0
    said: str = ""
    since: int | None = None
    ended: str = ""
    level: str = "mechanisms"

    def __str__(self) -> str:
        reached = f"{self.rung} {self.outcome}" if self.rung else "climbed no rung: the recipe put it in force"
        force = "" if self.since is None else f"in force since trial {self.since}"
        parts = [reached, "" if self.outcome in FAILED else self.said, force or self.ended]
        if self.said.startswith(self.outcome) and parts[1]:
            parts[0] = self.rung
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class Rehearsed:
    """The rehearsals of a run: how many, how many refused a mechanism, CPU `seconds` in all.

    `hits` of `told`: where both the first model and the fork with a control told the arms apart, how often their gains
    had the same sign. Mechanisms that were refused had no fork, so they are in neither.
    """

    races: int
    refused: int
    seconds: float
    told: int
    hits: int

    def __str__(self) -> str:
        races = f"{self.races} rehearsal{'s' if self.races != 1 else ''}"
        right = (
            f"right about the sign of {self.hits} of {self.told} live gains" if self.told else "no live gain to tell"
        )
        return f"{races} in {self.seconds:.2g} s, {self.refused} refused; {right}"


@dataclass(frozen=True)
class Ladder:
    """The ladder of a run: rungs that are off, each with the reason; whether live trials have a control; what climbed.

    `off` and `control` are those of level 2; `notes` says both in sentences, for each level that searches mechanisms.
    `rehearsed`: what rehearsals cost, and how often they were right.
    """

    off: Mapping[str, str]
    control: bool
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()
    rehearsed: Rehearsed | None = None


def mechanism_levels(spec: LoopSpec) -> list[LoopSpec]:
    """The loops of a nesting that search mechanisms, the lowest first: level 2, level 3 and so on."""
    return [
        loop
        for loop in levels_of(spec)
        if isinstance(loop.task, LoopTask) and loop.task.surface.name.startswith(MECHANISMS)
    ]


def rank_of(level: str) -> int:
    """The number by which a level that searches mechanisms is known: 2 for "mechanisms", 3 for "mechanisms-3"."""
    number = level.rpartition("-")[2]
    return int(number) if number.isdigit() else 2


def ladder_of(records: Records, spec: LoopSpec) -> Ladder | None:
    """The ladder of a run; None where no level searches mechanisms."""
    loop = next((one for one in levels_of(spec) if one.name == MECHANISMS), None)
    if loop is None or not isinstance(loop.task, LoopTask):
        return None
    off, control = _off(loop, loop.task), loop.task.start == "fork"
    levels = mechanism_levels(spec)
    notes = [
        f"level {rank_of(one.name)}: {note}" if len(levels) > 1 else note
        for one in levels
        if isinstance(one.task, LoopTask)
        for note in _notes(one, one.task)
    ]
    rehearsed = _rehearsed(records)
    if rehearsed is not None:
        notes.append(str(rehearsed))
    return Ladder(off, control, tuple(_standings(records, spec)), tuple(notes), rehearsed)


def _rehearsed(records: Records) -> Rehearsed | None:
    """What all rehearsals of a run came to; None where there was none."""
    trials = [t for branch in records.branches() if branch.level == MECHANISMS for t in records.trials(branch.id)]
    races = [
        climb for trial in trials for climb in trial.climbs if climb.rung == "rehearsal" and climb.outcome != "off"
    ]
    pairs = [
        (sum(race.evidence[min(race.evidence)]["placebo"]), climb.evidence["gain"])
        for trial in trials
        for climb in trial.climbs
        if climb.rung == "trial" and climb.evidence.get("control") and climb.evidence.get("gain")
        for race in races
        if race in trial.climbs and (race.mechanism, race.source) == (climb.mechanism, climb.source)
    ]
    told = [(foreseen, live) for foreseen, live in pairs if foreseen]
    if not races:
        return None
    refused, seconds = sum(race.outcome == "refused" for race in races), sum(race.seconds for race in races)
    hits = sum((foreseen > 0) == (live > 0) for foreseen, live in told)
    return Rehearsed(len(races), refused, round(seconds, 3), len(told), hits)


def _notes(loop: LoopSpec, task: LoopTask) -> Iterator[str]:
    """Which rungs a level leaves out, and whether its live trials have a control."""
    if off := _off(loop, task):
        yield "off in this run: " + "; ".join(f"{rung} ({why})" for rung, why in off.items())
    if task.start != "fork":
        yield "no live trial has a control: gains prove nothing"


def _off(loop: LoopSpec, task: LoopTask) -> dict[str, str]:
    off = {rung: "the recipe leaves it out" for rung in BEFORE_THE_TRIAL if rung not in task.ladder}
    if task.start != "fork":
        off["probation"] = "it needs forks"
    elif not isinstance(loop.researcher, OnProbation):
        off["probation"] = "proof_share is 0"
    return dict(sorted(off.items(), key=lambda pair: LADDER.index(pair[0])))


# ---- one trial ----


def attempts(climbs: Iterable[Climb]) -> list[Attempt]:
    """The climbs of one trial, source by source; a live rung belongs to the last attempt of that source."""
    found: list[Attempt] = []
    for climb in climbs:
        key = (climb.mechanism, climb.source)
        mine = [n for n, one in enumerate(found) if (one.mechanism, one.source) == key]
        if climb.rung == STARTS or not mine:
            found.append(Attempt(*key, (climb,)))
        else:
            old = found[mine[-1]]
            found[mine[-1]] = Attempt(*key, (*old.climbs, climb))
    return found


def verdict_in(climbs: Iterable[Climb]) -> Verdict | None:
    """What all forks said of a mechanism when the last of these live rungs was told; None where none has a verdict."""
    told = [climb.evidence for climb in climbs if climb.rung in LIVE and climb.evidence.get("control")]
    return _verdict(told[-1]) if told else None


def _verdict(evidence: Mapping[str, object]) -> Verdict:
    found: Verdict = build(Verdict, evidence)
    return found


def is_ablation(trial: Trial) -> bool:
    """Whether a mechanism in force was left out in this trial, because it is on probation."""
    return bool(trial.proposal.notes.get(AUTHOR))


# ---- a whole run ----


@dataclass
class _Story:
    """What is known of a source while the trials of an outer loop are gone through."""

    level: str
    mechanism: str
    source: str
    climbs: list[Climb] = field(default_factory=list)
    since: int | None = None
    ended: str = ""

    def told(self, verdict: Verdict | None) -> Standing:
        """`verdict`: what its forks say beside those of all others."""
        last, alone = (self.climbs[-1] if self.climbs else None), verdict_in(self.climbs)
        said = "" if verdict is None else verdict.sentence
        ended = self.ended.replace(alone.sentence, "").rstrip(" :;") if alone is not None else self.ended
        if last is None:
            return Standing(self.mechanism, self.source, since=self.since, ended=ended, level=self.level)
        forks = 0 if verdict is None else verdict.forks
        lost = last.outcome == "confirmed" and verdict is not None and not verdict.confirmed
        outcome = verdict.word if lost and verdict is not None else last.outcome
        place = (last.rung, outcome, forks, said, self.since, ended, self.level)
        return Standing(self.mechanism, self.source, *place)


def told_together(records: Records, spec: LoopSpec) -> dict[tuple[str, str], Verdict]:
    """What its forks say of each source beside all others that were tested in the run; by name and hash."""
    return {(name, source): found for (_, name, source), found in _judged(_all_stories(records, spec)).items()}


def _judged(stories: Mapping[tuple[str, str, str], _Story]) -> dict[tuple[str, str, str], Verdict]:
    alone = {key: found for key, one in stories.items() if (found := verdict_in(one.climbs)) is not None}
    return dict(zip(alone, together([*alone.values()]), strict=True))


def _all_stories(records: Records, spec: LoopSpec) -> dict[tuple[str, str, str], _Story]:
    return {
        (loop.name, *key): one
        for loop in mechanism_levels(spec)
        for key, one in _stories(records, loop.name, _line(records, spec, loop.name)).items()
    }


def _standings(records: Records, spec: LoopSpec) -> Iterator[Standing]:
    stories = _all_stories(records, spec)
    verdicts = _judged(stories)
    yield from (one.told(verdicts.get(key)) for key, one in stories.items())


def _stories(records: Records, level: str, line: Collection[tuple[str, int]]) -> dict[tuple[str, str], _Story]:
    """By name and source what a level's trials came to."""
    stories: dict[tuple[str, str], _Story] = {}

    def story(name: str, source: str | None) -> _Story | None:
        return None if source is None else stories.setdefault((name, source), _Story(level, name, source))

    for branch in records.branches():
        for trial in records.trials(branch.id) if branch.level == level else ():
            for climb in trial.climbs:
                key = (climb.mechanism, climb.source)
                one = stories.setdefault(key, _Story(level, *key))
                one.climbs.append(climb)
                if climb.outcome in FAILED and climb.rung not in LIVE:
                    one.ended = f"{climb.outcome} in trial {trial.number}: {climb.reason}"
            old, new = _sources(trial.parent.files), _sources(trial.candidate.files)
            old = {} if trial.number == 0 else old
            for name in sorted(old | new):
                if old.get(name) != new.get(name):
                    held = (branch.id, trial.number) in line
                    _changed(trial, story(name, old.get(name)), story(name, new.get(name)), held)
    return stories


def _line(records: Records, spec: LoopSpec, level: str) -> set[tuple[str, int]]:
    """The trials, as (branch, number), of a level that searches mechanisms on which the search stands now."""
    traces, branch = Traces(records), ("root" if records.branches() else None)
    while branch is not None and spec.name != level and isinstance(spec.task, LoopTask):
        branch, spec = traces.trace(branch, spec.task.objective).state, spec.task.inner
    found: set[tuple[str, int]] = set()
    end: int | None = None
    while branch is not None:
        owner = records.branch(branch)
        found |= {(branch, t.number) for t in records.trials(branch) if end is None or t.number < end}
        branch, end = owner.parent, owner.at
    return found


def _changed(trial: Trial, old: _Story | None, new: _Story | None, held: bool) -> None:
    """Takes in what a trial came to that put one source in the place of another, or of none. `held`: the search stands
    on it, not on another arm's branch."""
    reason = f"in trial {trial.number}: {trial.decision.reason}"
    if trial.decision.keep and not held:
        if new is not None and new.since is None:
            new.ended = f"kept {reason}; the search went on from another arm"
    elif trial.decision.keep:
        if old is not None:
            old.since, old.ended = None, f"{'removed' if new is None else 'replaced'} {reason}"
        if new is not None:
            new.since, new.ended = trial.number, ""
    elif new is not None and trial.runs:
        new.ended = f"discarded {reason}"


def _sources(files: Mapping[str, str]) -> dict[str, str]:
    return {name: content_hash(text) for name, text in files.items()}


def retirements(records: Records, spec: LoopSpec) -> tuple[Retired, ...]:
    """The mechanisms that were asked no more on some branch, since they had failed too often on it."""
    most = {loop.name: loop.settings.max_faults for loop in levels_of(spec)}
    return tuple(
        retired
        for branch in records.branches()
        if branch.level in most
        for retired in _retired(branch.id, branch.level, records.trials(branch.id), most[branch.level])
    )


def _retired(branch: str, level: str, trials: Iterable[Trial], most: int) -> Iterator[Retired]:
    counts = Counter[str]()
    for trial in trials:
        for fault in trial.faults:
            counts[fault.guest] += 1
            if counts[fault.guest] == most and not fault.guest.startswith("researcher "):
                yield Retired(fault.guest, level, branch, trial.number, most, f"{fault.hook}: {fault.message}")
