"""`status`, `show`, `diff`, `best`: what a run folder says, read without disturbing the run."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from bilevel import confirming, events, notices
from bilevel.claiming import claimed
from bilevel.cli.ladders import print_retired
from bilevel.cli.printing import (
    LEVEL_TITLES,
    console,
    jsonable,
    print_advice,
    print_json,
    print_ledger,
    print_mechanism,
    print_summary,
    visible,
)
from bilevel.cli.progress import change_text
from bilevel.cli.steering import acts_of, show_acts, show_waiting
from bilevel.cli.trials import show_trial
from bilevel.cli.weighing import print_front
from bilevel.codec import derive_seed
from bilevel.errors import InputError
from bilevel.fronts import front_of
from bilevel.lab import Bench, Lab, Traces
from bilevel.levels import leaf, leaf_branch, level_named
from bilevel.loop import LoopSpec
from bilevel.recipe import Recipe
from bilevel.report import Summary, archive_best, own_trials, summarise
from bilevel.run import recorded
from bilevel.showing import to_show
from bilevel.steering.hearing import GATE
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.task import Sealing, Task
from bilevel.tasks.absent import Absent
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import TextTask, text_task
from bilevel.trial import Trial

ENDED = ("finished", "stopped", "limit", "interrupted", "waiting")  # a run that says so is not going on


@dataclass(frozen=True)
class Opened:
    """A run folder opened for reading, and the loops it belongs to; `gone`: see `showing.Shown`."""

    folder: RunFolder[Reader]
    recipe: Recipe
    spec: LoopSpec
    gone: str = ""

    @property
    def state(self) -> str:
        state = str(self.folder.meta("state") or "created")
        return state if state in ENDED or self.folder.has_writer() else "interrupted"

    def summary(self) -> Summary:
        return summarise(
            self.folder.store, self.spec, folder=str(self.folder.path), state=self.state, recipe=self.recipe.name,
            claim=claimed(self.folder, self.spec)[0], confirmed=confirming.confirmed(self.folder.path, self.spec),
        )  # fmt: skip


@contextmanager
def opened(path: Path, whole: bool = False) -> Iterator[Opened]:
    """A run folder for reading. Where its task is gone, that is said beside; `whole`: InputError is raised."""
    folder = RunFolder.read(path)
    try:
        run = Opened(folder, *(recorded(folder.config) if whole else to_show(folder)))
        if run.gone:
            print(f"note: {visible(run.gone)}", file=sys.stderr)
        yield run
    finally:
        folder.close()


def print_status(path: Path, as_json: bool) -> None:
    """The state of a run, its summary without sources, and its branches."""
    with opened(path) as run:
        summary = run.summary()
        acts = acts_of(run.folder.store)
        if as_json:
            facts = {name: run.folder.meta(name) for name in ("environment", "machines", "harness", "prompts")}
            print_json({**jsonable(summary), **facts, "acts": acts, "waits": run.folder.meta(GATE), "gone": run.gone})
            return
        out = console()
        out.print(f"{run.state} · {escape(str(path))}", highlight=False)
        _show_machines(run)
        show_waiting(out, run.folder.meta(GATE))
        print_summary(out, summary, sources=False)
        if acts:
            show_acts(out, acts)
        table = Table(box=None, pad_edge=False, padding=(0, 2), title="branches", title_justify="left")
        for name in ("branch", "level", "own trials", "forked from"):
            table.add_column(name)
        for branch in run.folder.store.branches():
            own = len(run.folder.store.trials(branch.id))
            origin = f"{branch.parent} after {branch.at} trials" if branch.parent else ""
            table.add_row(branch.id, LEVEL_TITLES.get(branch.level, branch.level), str(own), origin)
        out.print(table)
        _show_failed_commands(run)


def watch_run(path: Path) -> None:
    """The live view of a run that was started elsewhere."""
    from bilevel.cli.live import watch

    with opened(path) as run:
        watch(console(), run)


def print_show(path: Path, number: int | None, branch: str | None, mechanism: str | None, as_json: bool) -> None:
    """All trials of a branch, one trial in full, or one mechanism."""
    with opened(path) as run:
        if mechanism is not None:
            _show_mechanism(run, mechanism, as_json)
        elif number is not None:
            show_trial(run.folder.store, *_trial(run, branch, number), as_json=as_json)
        else:
            if not as_json:
                _show_machines(run)
            _show_trials(_trace(run, branch)[1], as_json)


def print_the_front(path: Path, as_json: bool) -> None:
    """The front of a run's objectives."""
    with opened(path) as run:
        found = front_of(run.folder.store, run.spec)
        if found is None:
            raise InputError(
                f"task {leaf(run.spec).task.name!r} has one objective only, so there is no front; name further ones in "
                "[[also]] of its task.toml (docs/tasks.md)"
            )
        if as_json:
            print_json(jsonable(found))
        else:
            print_front(console(), found)


def _show_machines(run: Opened) -> None:
    """On which further machines the run went on."""
    for one in run.folder.meta("machines") or []:
        said = f"went on on another machine after {one['after']} trials: {'; '.join(one['differs'])}"
        console().print(said, highlight=False, markup=False, soft_wrap=True)


def _show_failed_commands(run: Opened) -> None:
    """Which events a person was not told of, since their command failed."""
    for _, event in run.folder.store.events():
        if event.kind == events.KIND and not event.text.endswith(notices.TOLD):
            console().print(f"command: {event.text}", highlight=False, markup=False, soft_wrap=True)


def print_diff(path: Path, as_json: bool) -> None:
    """The typed changes of the best candidate, and a unified diff where the task has files."""
    with opened(path) as run:
        summary, patch = run.summary(), _patch(run)
        if as_json:
            print_json({"changes": jsonable(dict(summary.changes)), "patch": patch})
            return
        for name, (old, new) in summary.changes.items():
            print(f"{name}: {old!r} -> {new!r}")
        if not summary.changes and not summary.files:
            print("the baseline is the best candidate so far: nothing has changed")
        if run.gone and summary.files:
            print(f"edited: {', '.join(summary.files)}; `bilevel best RUN --export best.json` writes their texts")
        if patch:
            print(visible(patch) if sys.stdout.isatty() else patch, end="")


def print_best(path: Path, apply: Path | None, export: Path | None, sealed: bool, as_json: bool) -> None:
    """The best candidate: printed, applied to a folder, exported, or measured on the sealed split."""
    with opened(path) as run:
        trial = _best(run)
        task = leaf(run.spec).task
        files = _with_files(task)
        if isinstance(task, Absent) and (apply is not None or sealed):
            task.refuse("the winning files cannot be put in place" if apply is not None else "nothing can be measured")
        if apply is not None:
            if files is None:
                raise InputError(f"task {task.name!r} has no files to apply; use --export to write its parameters")
            _written(apply, lambda: files.write_out(trial.candidate, apply))
            print(f"wrote the winning files into {apply}", file=sys.stderr)
        if export is not None:
            text = _patch(run) if files is not None else json.dumps(jsonable(trial.candidate), indent=2) + "\n"
            _written(export, lambda: export.write_text(text, "utf-8"))
            print(f"wrote {export}", file=sys.stderr)
        if sealed:
            _print_sealed(run, trial, as_json)
        elif as_json:
            print_json({"score": trial.score, "trial": trial.number, **jsonable(trial.candidate)})
        elif apply is None and export is None:
            print(f"{task.objective.name} {trial.score:.6g} {task.objective.unit} (trial {trial.number}, best seen)")
            for name, value in trial.candidate.params.items():
                print(f"  {name} = {value!r}")


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def _print_sealed(run: Opened, trial: Trial, as_json: bool) -> None:
    spec = leaf(run.spec)
    if not isinstance(spec.task, Sealing) or not spec.task.seals:
        raise InputError(f"task {spec.task.name!r} has no sealed split: its task.toml has no [seal]")
    rung = next(rung for rung in spec.task.rungs if rung.name == spec.top)
    bench = Bench(Lab(), spec.top, 0, derive_seed(spec.seed, "evaluation", 0), rung.options)
    found = {}
    for name, candidate in (("baseline", spec.task.baseline()), ("best", trial.candidate)):
        measured = spec.task.sealed(candidate, bench)
        found[name] = dict(measured.metrics) if measured.metrics else {"failed": measured.log[-300:]}
    if as_json:
        print_json(found)
        return
    for name, metrics in found.items():
        print(f"{name:9} " + "  ".join(f"{key} {value}" for key, value in metrics.items()))
    print("one measurement of each, on the rung that scored the run")


def _best(run: Opened) -> Trial:
    best = archive_best(run.folder.store, run.spec)
    if best is None:
        raise InputError(f"{run.folder.path} has no trial with a score yet")
    return best[1]


def _patch(run: Opened) -> str:
    files = _with_files(leaf(run.spec).task)
    return files.patch(_best(run).candidate) if files is not None else ""


def _with_files(task: Task) -> FolderTask | TextTask | None:
    return task if isinstance(task, FolderTask) else text_task(task)


def _trace(run: Opened, branch: str | None) -> tuple[str, list[Trial]]:
    """A branch, the innermost loop's newest one if none is named, and its trials with those that it goes on from."""
    store = run.folder.store
    names = [b.id for b in store.branches()]
    if branch is not None and branch not in names:
        raise InputError(f"there is no branch {branch!r}; the branches are: {', '.join(names)}")
    level = leaf(run.spec).name
    last = next((b.id for b in reversed(store.branches()) if b.level == level), None)
    chosen = branch or (leaf_branch(Traces(store), run.spec, "root") if names else None) or last
    if chosen is None:
        return "", []
    owner = next(b for b in store.branches() if b.id == chosen)
    spec = level_named(run.spec, owner.level)
    return chosen, list(Traces(store).trace(chosen, spec.task.objective))


def _trial(run: Opened, branch: str | None, number: int) -> tuple[str, list[Trial], int]:
    chosen, trials = _trace(run, branch)
    if not trials:
        raise InputError(f"there is no trial {number}: none is finished yet")
    if not 0 <= number < len(trials):
        raise InputError(f"there is no trial {number}; this branch has the trials 0 to {len(trials) - 1}")
    return chosen, trials, number


def _show_trials(trials: list[Trial], as_json: bool) -> None:
    if as_json:
        print_json([_row(trial) for trial in trials])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for name in ("trial", "by", "change", "status", "score", "decision"):
        table.add_column(name)
    for trial in trials:
        score = "" if trial.score is None else f"{trial.score:.6g}"
        verdict = ("keep: " if trial.decision.keep else "discard: ") + trial.decision.reason
        cells = (str(trial.number), trial.proposal.author, change_text(trial), trial.status.value, score, verdict)
        table.add_row(*map(escape, cells))
    console().print(table)


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "author": trial.proposal.author,
        "changes": {name: [jsonable(change.old), jsonable(change.new)] for name, change in trial.changes.items()},
        "status": trial.status.value,
        "score": trial.score,
        "keep": trial.decision.keep,
        "reason": trial.decision.reason,
    }


def _show_mechanism(run: Opened, name: str, as_json: bool) -> None:
    summary = run.summary()
    trials = [m for m in summary.mechanisms if m.name == name]
    if not trials and name not in summary.static:
        known = sorted({m.name for m in summary.mechanisms} | set(summary.static)) or ["none"]
        raise InputError(f"this run has no mechanism {name!r}; it has: {', '.join(known) or 'none'}")
    if as_json:
        ledger, advice = summary.static.get(name, {}), summary.advice.get(name)
        print_json({"trials": [jsonable(m) for m in trials], "ledger": jsonable(ledger), "advice": jsonable(advice)})
        return
    out = console()
    for mechanism in trials:
        print_mechanism(out, mechanism, summary.unit, source=True)
    if name in summary.static:
        out.print(f"mechanism {name}, in force from the first trial, no control", markup=False)
        print_ledger(out, summary.static[name])
        if name in summary.advice:
            print_advice(out, name, summary.advice[name])
    print_retired(out, [one for one in summary.retired if one.mechanism == name])
    faults = [f for _, t in own_trials(run.folder.store, leaf(run.spec).name) for f in t.faults if f.guest == name]
    for fault in faults[:10]:
        out.print(f"fault in {fault.hook}: {fault.message}", highlight=False, markup=False)
