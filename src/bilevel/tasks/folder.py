"""A task that is a folder: `task.toml`, `brief.md`, `start/` (what is changed) and `harness/` (what measures it)."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bilevel.codec import content_hash, plain
from bilevel.errors import InputError
from bilevel.execution.workspace import tree_hash
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective
from bilevel.space import Candidate, Space
from bilevel.task import Rung
from bilevel.tasks.cache import cache_folder
from bilevel.tasks.checking import after_running, without_running
from bilevel.tasks.conditions import Conditions
from bilevel.tasks.function import score
from bilevel.tasks.interpreter import find_interpreter
from bilevel.tasks.measuring import Measuring, Orders
from bilevel.tasks.model import TASK_FILE, TaskModel, commands, problems_error, read_model, with_rungs
from bilevel.tasks.repository import take
from bilevel.tasks.sharing import shared_paths
from bilevel.tasks.source import Source, open_source
from bilevel.trial import Run
from bilevel.view import Below

MEASURES = {
    "objective",
    "metrics",
    "source",
    "setup",
    "command",
    "rungs",
    "env",
    "seal",
    "guardrails",
    "also",
}  # the tables of task.toml that decide a result


@dataclass(frozen=True)
class FolderTask:
    """The task over a folder; `FolderTask.open` makes it.

    A run is made in a fresh working copy with a fresh copy of the harness beside it, under the limits of its rung and
    with an environment by allow-list; the folder itself is only read, and a run that changed it, the harness copy or a
    protected file is refused. The scorer's exit codes: 0 ok, 10 refused, 11 diverged, 12 the candidate's code
    crashed, 13 infrastructure; where the task is `self_reported`, the exit code is the candidate's own and only says
    whether it failed. Not covered: code that leaves its working copy on purpose and undoes what it did.
    """

    folder: Path
    model: TaskModel
    source: Source
    measuring: Measuring
    opened_with: str  # the brief as it was when the task was opened

    @classmethod
    def open(cls, folder: Path) -> "FolderTask":
        """The task of a folder. Raises InputError with everything that is wrong with its files."""
        folder = folder.resolve()
        model = read_model(folder)
        harness = folder / "harness"
        tree = take(model.source, folder, cache_folder(model.name)) if model.source else None
        start, root = (tree.folder, tree.origin) if tree else (folder / "start", folder / "start")
        problems = [f"there is no folder {name}/" for name in _needed(model) if not (folder / name).is_dir()]
        brief, unreadable = _brief(folder / "brief.md")
        problems += unreadable
        source, wrong = open_source(start, model)
        shared, closed = shared_paths(model.command, root)
        taken = [shared.text for shared in shared if shared.work and (start / shared.work).exists()]
        closed += [f"command.read_paths: {text!r} is in the source already; name what lies below it" for text in taken]
        interpreter = None
        try:
            interpreter = find_interpreter(model.command.python, root)
        except InputError as error:
            problems.append(str(error))
        if problems or wrong or closed or interpreter is None:
            raise problems_error(folder / TASK_FILE, problems + wrong + closed)
        harness_hash = tree_hash(harness) if harness.is_dir() else ""
        conditions = Conditions(model, interpreter, tuple(shared))
        measuring = Measuring(folder, model, source, tree_hash(start), harness_hash, conditions, tree)
        return cls(folder, model, source, measuring, brief)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def brief(self) -> str:
        """brief.md as it is now; what it was at the start while it is missing or empty."""
        return _text(self.folder / "brief.md") or self.opened_with

    @property
    def guidance(self) -> str:
        """guidance.md as it is now, if there is one: what a person wants to say while the search goes on."""
        return _text(self.folder / "guidance.md")

    @functools.cached_property
    def editable_texts(self) -> dict[str, str]:
        """The texts of the files that a candidate may change, as the task begins with them, by path."""
        return self.source.editable_texts()

    @property
    def new_files(self) -> tuple[str, ...]:
        """Patterns of paths at which a candidate may make files."""
        return tuple(pattern for pattern in self.model.candidate.editable if "*" in pattern)

    @property
    def title(self) -> str:
        return self.model.title

    @functools.cached_property
    def objective(self) -> Objective:
        return self.model.aim

    @property
    def space(self) -> Space:
        return self.source.space

    @functools.cached_property
    def rungs(self) -> tuple[Rung, ...]:
        return tuple(Rung(rung.name, {"wall_seconds": rung.wall_seconds}) for rung in self.model.rungs)

    @property
    def self_reported(self) -> bool:
        return self.model.objective.self_reported

    @property
    def remembers(self) -> bool:
        return False

    @property
    def evaluations(self) -> int:
        return 1

    @functools.cached_property
    def harness(self) -> str:
        """Changes with the harness, the start, what task.toml says about measuring, and the variables passed on."""
        measuring, conditions = self.measuring, self.measuring.conditions
        text = json.dumps(self.model.model_dump(mode="json", include=MEASURES), sort_keys=True)
        facts = [measuring.harness_hash, measuring.start_hash, text, plain(conditions.passed())]
        facts += [] if conditions.interpreter.ours else [plain(conditions.interpreter.record())]
        return content_hash(facts)[:16]

    @property
    def network(self) -> str:
        """What holds for the network of a run here: `on`, `off`, or that off is asked and not enforceable."""
        return self.measuring.conditions.network

    def with_limits(
        self, *, wall_seconds: float | None = None, cpu_seconds: float | None = None, memory_bytes: int | None = None
    ) -> "FolderTask":
        """The same task with other limits on every rung: when a run is killed, not the time that a program is told.

        Its harness is another one, as results under other limits are not the same. Raises InputError for limits that
        cannot be.
        """
        given = {"wall_seconds": wall_seconds, "cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes}
        chosen = {name: value for name, value in given.items() if value is not None}
        model = with_rungs(self.folder, self.model, chosen)
        measuring = replace(self.measuring, model=model, conditions=replace(self.measuring.conditions, model=model))
        return replace(self, model=model, measuring=measuring)

    def baseline(self) -> Candidate:
        return Candidate(self.source.params)

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """Files that may not be edited, that cannot be parsed, or that change a locked constant."""
        return self.source.problems(candidate)

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure a candidate once, without the sealed metrics. Raises InputError and HarnessError."""
        hidden = self.model.seal.metrics if self.model.seal else ()
        wanted = [name for name in self.model.metrics if name not in hidden]
        return self.measuring.run(candidate, bench, Orders(self.model.command.run, [self.objective.name], wanted))

    @property
    def seals(self) -> tuple[str, ...]:
        """The metrics that are sealed."""
        return tuple(self.model.seal.metrics) if self.model.seal else ()

    def sealed(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure what no search may see; for reports only. Raises InputError where the task has no seal."""
        if self.model.seal is None:
            raise InputError(f"task {self.name!r} has no [seal] in its {TASK_FILE}: nothing is sealed")
        metrics = self.model.seal.metrics
        return self.measuring.run(candidate, bench, Orders(self.model.seal.command, metrics, metrics))

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None

    def evaluate(self, run: Run) -> float:
        """The objective's value. Raises InputError for a run that is not ok."""
        return score(run, self.objective)

    def patch(self, candidate: Candidate) -> str:
        """A unified diff from the start to the candidate."""
        return self.source.patch(candidate)

    def write_out(self, candidate: Candidate, folder: Path) -> None:
        """Write the start with the candidate's changes into a folder; see `Source.write_out`.

        Raises HarnessError if the start has changed since the task was opened.
        """
        self.measuring.check_unchanged()
        self.source.write_out(candidate, folder)

    def candidate(self, folder: Path) -> Candidate:
        """The candidate that an edited copy of the start stands for; see `Source.candidate`."""
        return self.source.candidate(folder)

    def check(self, run_baseline: bool = False) -> list[str]:
        """What is wrong beyond what `open` refuses; with `run_baseline`, after running it on the cheapest rung."""
        found = list(without_running(self.measuring))
        return found + (list(after_running(self, self.model)) if run_baseline and not found else [])

    def prepare(self) -> None:
        """Run the prepare command, once for a harness and the variables it sees. Raises InputError if it fails."""
        self.measuring.prepare()


def _needed(model: TaskModel) -> Iterator[str]:
    if model.source is None:
        yield "start"
    if any("{harness}" in part for command in commands(model).values() for part in command):
        yield "harness"


def _brief(path: Path) -> tuple[str, list[str]]:
    """The brief, and what is wrong with its file."""
    try:
        text = path.read_text("utf-8").strip() if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        return "", [f"brief.md: cannot be read as UTF-8 text: {error}"]
    return text, [] if text else ["brief.md: is missing or empty; say there what is to be improved and what is fixed"]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):  # not there, or just being written
        return ""
