"""A run rebuilt from its records: no model is asked, nothing is measured, and the first difference ends it.

Everything that decides is computed again, from the recipe, the texts and the seed: proposals from the recorded replies,
scores from the recorded measurements, decisions, ledgers, rounds of the claim stage. Each trial must then be the
recorded one, byte for byte. What depended on the machine is taken from the record: the door's verdicts, and the faults
of `mishaps`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bilevel.acts import ANSWERS, Act
from bilevel.budget import Cost
from bilevel.call import Event, Reply, Request, Watch
from bilevel.claiming import stage_of
from bilevel.errors import Diverged, Stopped
from bilevel.hosting import Hosting
from bilevel.lab import Bench, Branch, Lab, MemoryStore, Nobody, Question
from bilevel.levels import LoopTask, leaf
from bilevel.loop import Loop, LoopSpec
from bilevel.models import names_of
from bilevel.recipe import Recipe, resolve
from bilevel.run import FORMAT, keep_mishaps, recorded, verdicts_of
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.store.records import dump_record
from bilevel.task import Task
from bilevel.tasks.delegating import Delegating
from bilevel.trial import Climb, Pending, Run, Status, Trial
from bilevel.verifying.stage import check_stage
from bilevel.verifying.tally import Tally

ASKED_FOR = ("parent", "proposal", "turned_back", "told", "learned", "shadows", "acts")  # of a trial, before it runs
PATIENCE = 10.0  # times the run's limits of time: what went beyond those is in the record
CAME_OF_IT = (
    "late",
    "status",
    "score",
    "decision",
    "runs",
    "parent_runs",
    "rule",
    "beside",
    "fallen",
    "ledger",
    "faults",
)


@dataclass(frozen=True)
class Replayed:
    """What a replay reproduced: how many trials on how many branches, from how many recorded calls.

    `mishaps`: how many faults of mechanisms were taken from the record, since they depended on the machine.
    """

    trials: int
    branches: int
    calls: int
    state: str
    mishaps: int = 0
    rounds: int = 0  # of the claim stage, each decided again from the stored measurements


def replay(path: Path) -> Replayed:
    """Rebuild a run from its folder, which is only read. Raises Diverged at the first difference."""
    folder = RunFolder.read(path)
    try:
        return _replay(folder)
    finally:
        folder.close()


def _replay(folder: RunFolder[Reader]) -> Replayed:
    recipe = resolve(folder.config["recipe"])
    if recipe.nested and folder.config.get("format", 1) < FORMAT:
        raise Diverged(
            f"{folder.path} was made by an older version, whose records of outer levels hold less than what a replay "
            "makes now; it can be shown, resumed and exported here, and replayed by the version that made it "
            f"(bilevel {folder.config.get('bilevel', 'of unknown number')} from before there was a ladder)"
        )
    hosting = Hosting(recipe.sandbox, verdicts_of(folder), patience=PATIENCE)
    try:
        recipe, spec = recorded(folder.config, hosting)
        keep_mishaps(hosting, folder)
        hosting.mishaps.closed = True
        done = _again(folder, recipe, spec)
        return replace(done, mishaps=len(hosting.mishaps.met), rounds=_claims_again(folder, recipe, spec))
    finally:
        hosting.close()


def _again(folder: RunFolder[Reader], recipe: Recipe, spec: LoopSpec) -> Replayed:
    record = Record(folder.store)
    harness = folder.meta("harness")
    if harness is not None and harness != leaf(spec).task.harness:
        raise Diverged(
            f"the harness of task {leaf(spec).task.name!r} is not the one that measured {folder.path}; put it back to "
            "replay the run"
        )
    store = Verifying(record)
    models = {level: Silent(name, store) for level, name in names_of(recipe).items()}
    lab = Lab(store, workers=recipe.workers, models=models, recorded=folder.store, words=record.words, persons=record)
    store.lab = lab
    ended = ""
    try:
        Loop(_with_task(spec, Measured(leaf(spec).task, record)), lab).run()
    except Stopped as stopped:  # where the record ends, so does the replay
        ended = f" ({stopped})"
    if store.left:
        raise Diverged(f"the replay of {folder.path} ended{ended}, and {store.left} recorded trials did not come again")
    state = str(folder.meta("state") or "created")
    return Replayed(record.trials, len(record.branches), len(store.calls()), state)


def _claims_again(folder: RunFolder[Reader], recipe: Recipe, spec: LoopSpec) -> int:
    """How many rounds the claim stage has, once each is decided again. Raises Diverged at the first difference."""
    tally, stage = Tally(), stage_of(folder)
    if not check_stage(tally, folder, recipe, spec):
        raise Diverged(f"the claim stage of {folder.path} differs: {tally.differences[0]}")
    return 0 if stage is None else len(stage.rounds)


class Record(Nobody):
    """The trials of a run by branch and number, finished or asked for."""

    def __init__(self, reader: Reader) -> None:
        self.branches = {branch.id: branch for branch in reader.branches()}
        self._finished = {(b, trial.number): trial for b in self.branches for trial in reader.trials(b)}
        self._pending = {(b, asked.number): asked for b in self.branches for asked in reader.pendings(b)}

    @property
    def trials(self) -> int:
        return len(self._finished)

    def trial(self, branch: str, number: int) -> Trial:
        """A finished trial. Raises Stopped where the run was ended within it, or before it."""
        if (branch, number) not in self._finished:
            raise Stopped(f"trial {number} of branch {branch!r} is not finished in the record")
        return self._finished[branch, number]

    def asked(self, branch: str, number: int) -> Trial | Pending:
        """A trial as it was asked for, finished or not. Raises Stopped where the run was ended before it."""
        known = self._finished.get((branch, number)) or self._pending.get((branch, number))
        if known is None:
            raise Stopped(f"trial {number} of branch {branch!r} is not in the record")
        return known

    def due(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """What the record says was taken up with a trial; nothing where the search ended before it."""
        found = self._finished.get((branch, number)) or self._pending.get((branch, number))
        return () if found is None else tuple(act for act in found.acts if act.kind not in ANSWERS)

    def late(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """What the record says was said while a trial ran."""
        return tuple(act for act in self.trial(branch, number).late if act.kind not in ANSWERS)

    def answer(self, question: Question) -> Act | None:
        """What the record says that a person answered."""
        asked = self.asked(question.branch, question.number)
        acts = (*asked.acts, *(asked.late if isinstance(asked, Trial) else ()))
        return next((act for act in acts if act.kind in ANSWERS and act.what == question.id), None)

    def words(self, brief: str, guidance: str, branch: str, number: int) -> Mapping[str, str]:
        """What a person had written for a trial; what is left unsaid stood as before. Raises Stopped as `asked`."""
        return self.asked(branch, number).told


@dataclass(frozen=True)
class Silent:
    """A model that cannot be asked: a replay has the recorded replies only. `store` knows what is being asked for."""

    name: str
    store: "Verifying"

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        last = request.messages[-1].text if request.messages else ""
        raise Diverged(
            f"the replay asks what the record does not hold, {self.store.asking}; the question begins: {last[:200]!r}"
        )


class Verifying(MemoryStore):
    """A store that lets through only what the record says, and asks to stop when all of it came again."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record
        self.left = record.trials
        self.lab: Lab | None = None
        self.asking = "a model"

    def add_event(self, event: Event) -> None:
        if event.kind == "asking":
            self.asking = f"level {event.level!r}, {event.text}"

    def open_branch(self, branch: Branch) -> None:
        known = self.record.branches.get(branch.id)
        if known != branch and self.left:
            raise Diverged(f"the replay opens branch {branch.id!r}, and the record has {known!r}")
        super().open_branch(branch)

    def add_pending(self, branch_id: str, pending: Pending) -> None:
        old = self.record.asked(branch_id, pending.number)
        if found := _first_difference(old, pending, ASKED_FOR):
            raise Diverged(f"trial {pending.number} of branch {branch_id!r} differs: {found}")
        super().add_pending(branch_id, pending)

    def add_trial(self, branch_id: str, trial: Trial) -> None:
        old = self.record.trial(branch_id, trial.number)
        if dump_record(_here(old)) != dump_record(_here(trial)):
            raise Diverged(f"trial {trial.number} of branch {branch_id!r} differs: {_difference(old, trial)}")
        super().add_trial(branch_id, trial)
        self.left -= 1
        if self.left == 0 and self.lab is not None:
            self.lab.stop.set()


@dataclass(frozen=True)
class Measured(Delegating):
    """A task whose measurements are those of a record."""

    record: Record
    _failed: set[tuple[str, int, str, int, bool]] = field(default_factory=set)

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """The recorded measurement. Raises Diverged where the record has another candidate, or none."""
        trial = self.record.trial(bench.branch, bench.number)
        of_parent = candidate.id == trial.parent.id != trial.candidate.id
        if trial.candidate.id != candidate.id and not of_parent:
            raise Diverged(
                f"trial {bench.number} of branch {bench.branch!r} proposes another candidate than the recorded one: "
                f"{_changes(trial.parent, trial.candidate)} was, {_changes(trial.parent, candidate)} is"
            )
        runs = trial.parent_runs if of_parent else trial.runs
        found = next((r for r in runs if (r.rung, r.seed) == (bench.rung, bench.seed_index)), None)
        if found is None:
            whose = " of the parent" if of_parent else ""
            raise Diverged(
                f"trial {bench.number} of branch {bench.branch!r} has no run{whose} on {bench.rung}, seed "
                f"{bench.seed_index}"
            )
        place = (bench.branch, bench.number, bench.rung, bench.seed_index, of_parent)
        if found.status is Status.INFRASTRUCTURE and place not in self._failed:
            self._failed.add(place)  # the machine's failure is tried twice, and the record holds the cost of both
            return replace(found, cost=Cost())
        return found


def _here(trial: Trial) -> Trial:
    """A trial without what belongs to the machine that ran it: its isolation, and how long the ladder took."""
    return replace(trial, isolation="", climbs=tuple(map(_climb, trial.climbs)))


def _climb(climb: Climb) -> Climb:
    """A rung without its seconds, and without the reason that one was off, which older versions said otherwise."""
    return replace(climb, seconds=0.0, reason="" if climb.outcome == "off" else climb.reason)


def _with_task(spec: LoopSpec, task: Task) -> LoopSpec:
    if isinstance(spec.task, LoopTask):
        return replace(spec, task=replace(spec.task, inner=_with_task(spec.task.inner, task)))
    return replace(spec, task=task)


def _changes(parent: Candidate, candidate: Candidate) -> str:
    params = [f"{name} {change.old!r} -> {change.new!r}" for name, change in candidate.changes_from(parent).items()]
    return ", ".join([*params, *candidate.files_changed_from(parent)]) or "no change"


def _difference(old: Trial, new: Trial) -> str:
    """The first field that differs, as it was and as it is."""
    return _first_difference(old, new, (*ASKED_FOR, *CAME_OF_IT)) or "in a field that decides nothing"


def _first_difference(old: Trial | Pending, new: Trial | Pending, names: tuple[str, ...]) -> str:
    for name in names:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            return f"{name} was {str(was)[:300]}, and is {str(now)[:300]}"
    return ""
