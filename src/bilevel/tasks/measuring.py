"""Measures a candidate of a folder task: a fresh working copy, one contained command, and a verdict on what it left."""

import contextlib
import functools
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.budget import Cost
from bilevel.codec import content_hash, plain
from bilevel.errors import HarnessError, InputError
from bilevel.execution import process
from bilevel.execution.environment import without_secrets
from bilevel.execution.metrics import Invalid, JsonFile, JsonLine, Line, Missing, Reader, Regex, read_metric
from bilevel.execution.process import Ending, Limits, Outcome
from bilevel.execution.tree import delete, facts
from bilevel.execution.workspace import IGNORED, Refusal, Workspace, matches, tree_hash
from bilevel.lab import Bench
from bilevel.space import Candidate, Value
from bilevel.tasks.cache import cache_folder, once
from bilevel.tasks.conditions import Conditions
from bilevel.tasks.model import PLACEHOLDER, TaskModel
from bilevel.tasks.repository import Tree
from bilevel.tasks.setup import MANIFEST, Outputs, keep
from bilevel.tasks.source import Source
from bilevel.tasks.tables import (
    WORKDIR,
    JsonLineMetric,
    JsonMetric,
    LineMetric,
    RegexMetric,
    RungTable,
    SecondsMetric,
    SeedTable,
)
from bilevel.trial import Run, Status

LOG_LINES = 40
SCORER_EXITS = {10: Status.REFUSED, 11: Status.DIVERGED, 12: Status.EXIT, 13: Status.INFRASTRUCTURE}
ENDINGS = {
    Ending.EXITED: Status.EXIT,
    Ending.CRASHED: Status.EXIT,
    Ending.NOT_STARTED: Status.EXIT,
    Ending.WALL_LIMIT: Status.TIME_OUT,
    Ending.CPU_LIMIT: Status.TIME_OUT,
    Ending.MEMORY_LIMIT: Status.OUT_OF_MEMORY,
    Ending.OUTPUT_LIMIT: Status.OUTPUT_LIMIT,
    Ending.FILE_LIMIT: Status.OUTPUT_LIMIT,
    Ending.KILLED: Status.INFRASTRUCTURE,
    Ending.CANCELLED: Status.INFRASTRUCTURE,
    Ending.DISK_FULL: Status.INFRASTRUCTURE,
}
PREPARE_SECONDS = 3600.0


@dataclass(frozen=True)
class Orders:
    """Which command of a task to run, the metrics to look for, and those without which the run counts for nothing."""

    command: Sequence[str]
    needed: Sequence[str]
    wanted: Sequence[str]


@dataclass(frozen=True)
class Measuring:
    """What a folder task measures with; the hashes are those of the folders when the task was opened."""

    folder: Path
    model: TaskModel
    source: Source
    start_hash: str
    harness_hash: str
    conditions: Conditions
    tree: Tree | None = None  # where the source is somebody's folder

    def run(self, candidate: Candidate, bench: Bench, orders: Orders) -> Run:
        """Measure once. Raises InputError and HarnessError for what is not the candidate's doing."""
        rung = self._rung(bench.rung)
        if found := self.source.problems(candidate):
            return _refused(bench, "; ".join(found))
        self.check_unchanged()
        outputs = self.setup()
        self._prepare(outputs)
        with contextlib.ExitStack() as stack:
            stamps = outputs.stamps() if outputs else {}
            files = self.source.seeded(self.source.changed(candidate), bench.seed)
            space = self._workspace(stack, files, outputs)
            if isinstance(space, Refusal):
                return _refused(bench, str(space))
            (space.folder / "result").mkdir()
            self._pass_on(candidate, space)
            env, arguments = self._seed(bench.seed)
            env |= {**rung.env, "BILEVEL_RUNG": rung.name}
            if rung.budget_seconds is not None:
                env["BILEVEL_BUDGET_SECONDS"] = f"{rung.budget_seconds:g}"
            full = self._filled(orders.command, space, candidate.params, rung) + arguments
            cpu = rung.cpu_seconds or rung.wall_seconds * (os.cpu_count() or 1)
            outcome = process.run(
                full,
                cwd=space.work,
                env=self._environment(space, env),
                limits=Limits(rung.wall_seconds, cpu, rung.memory_bytes, rung.output_bytes),
                cancel=bench.lab.cancel,
                offline=self.conditions.offline,
            )
            self._check_started(outcome, full[0], space)
            changed = outputs.changed_since(stamps) if outputs else ""
            return self._judged(bench, outcome, space, orders, self.record(outputs), changed)

    def record(self, outputs: Outputs | None) -> dict[str, object]:
        """What each run's data says about the source, the interpreter, the setup and what the run finds around it."""
        source = {"source": self.tree.record()} if self.tree else {}
        return {**source, **({"setup": outputs.hash} if outputs else {}), **self.conditions.record()}

    def _seed(self, seed: int) -> tuple[dict[str, str], list[str]]:
        """The variables and the arguments by which the evaluation seed reaches the command."""
        match self.model.command.seed:
            case None:
                return {"BILEVEL_SEED": str(seed)}, []
            case SeedTable(env=str(name)):
                return {name: str(seed)}, []
            case SeedTable(argument=str(name)):
                return {}, [f"{name}{seed}"] if name.endswith("=") else [name, str(seed)]
        return {}, []

    def _judged(
        self,
        bench: Bench,
        outcome: Outcome,
        space: Workspace,
        orders: Orders,
        record: Mapping[str, object],
        changed: str,
    ) -> Run:
        """The run that an outcome stands for: a status, and metrics only if every check holds."""
        cost = Cost(1, outcome.wall_seconds, outcome.cpu_seconds)
        log = self._log(outcome, space)
        data: dict[str, Any] = {
            **record,
            "ending": outcome.ending.value,
            "exit_code": outcome.exit_code,
            "peak_memory_bytes": outcome.peak_memory_bytes,
        }

        def failed(status: Status, reason: str = "") -> Run:
            reason = without_secrets(reason, self.conditions.secrets())
            facts = {**data, "reason": reason} if reason else data
            text = "\n".join(filter(None, (log, reason if reason not in log else "")))
            return Run(bench.rung, bench.seed, status, cost=cost, log=text, data=facts)

        if changed := space.tampering() or changed:
            return failed(Status.REFUSED, changed)
        if not outcome.ok:
            status = ENDINGS[outcome.ending]
            if outcome.ending is Ending.EXITED and not self.model.objective.self_reported:
                status = SCORER_EXITS.get(outcome.exit_code or 0, Status.EXIT)
            return failed(status, _reason(outcome, log, status))
        metrics: dict[str, float] = {}
        for name in orders.wanted:
            value = self._read(name, outcome, space)
            if isinstance(value, float):
                metrics[name] = value
            elif name in orders.needed:
                return failed(Status.INVALID_METRIC, f"metric {name!r}: {value.reason}")
        return Run(bench.rung, bench.seed, Status.OK, metrics, cost, log, data)

    def _read(self, name: str, outcome: Outcome, space: Workspace) -> float | Missing | Invalid:
        match self.model.metrics[name]:
            case SecondsMetric():
                return outcome.wall_seconds
            case LineMetric(label=label, after=after):
                reader: Reader = Line(label or name, after)
            case RegexMetric(pattern=pattern):
                reader = Regex(pattern)
            case JsonLineMetric(key=key, file=None):
                reader = JsonLine(key)
            case JsonMetric(file=str(file), key=key) | JsonLineMetric(file=str(file), key=key) as metric:
                kind = JsonFile if isinstance(metric, JsonMetric) else _json_line
                folder = space.work if file.startswith(WORKDIR) else space.folder / "result"
                return read_metric(kind(file.removeprefix(WORKDIR), key), stdout="", folder=folder)
        return read_metric(reader, stdout=outcome.stdout, folder=space.work)

    def _workspace(
        self, stack: contextlib.ExitStack, files: Mapping[str, str], outputs: Outputs | None
    ) -> Workspace | Refusal:
        """A fresh working copy, removed with the stack; the files with constants may always be written."""

        def furnish(space: Workspace) -> Refusal | None:
            if outputs is not None:
                outputs.place(space.work, files.keys())
            return self.conditions.furnish(space)

        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bilevel-")))
        harness = self.folder / "harness"
        space = Workspace.create(
            self.source.start,
            root,
            files,
            editable=(*self.source.editable, *self.source.texts),
            protected=self.source.protected,
            harness=harness if harness.is_dir() else None,
            furnish=furnish,
        )
        return space if isinstance(space, Refusal) else stack.enter_context(space)

    def _pass_on(self, candidate: Candidate, space: Workspace) -> None:
        """Parameters that are constants of no file go into params.json of the working copy."""
        loose = {name: value for name, value in candidate.params.items() if name not in self.source.places}
        if loose:
            (space.work / "params.json").write_text(json.dumps(loose, indent=2) + "\n", "utf-8")

    def _filled(
        self, command: Sequence[str], space: Workspace, params: Mapping[str, Value], rung: RungTable | None = None
    ) -> list[str]:
        """The command with its placeholders replaced."""
        budget = rung.budget_seconds if rung else None
        places = {
            "python": self.conditions.interpreter.path,
            "budget": "" if budget is None else f"{budget:g}",
            "harness": str(space.harness),
            "cache": str(self._cache()),
            "workdir": str(space.work),
            "result": str(space.folder / "result"),
            **{f"param:{name}": str(value) for name, value in params.items()},
        }
        return [PLACEHOLDER.sub(lambda found: places[found[1]], part) for part in command]

    def _environment(self, space: Workspace, more: Mapping[str, str]) -> dict[str, str]:
        ours = {"BILEVEL_CACHE": str(self._cache()), "BILEVEL_RESULT": str(space.folder / "result")}
        if space.harness is not None:
            ours["BILEVEL_HARNESS"] = str(space.harness)
        return self.conditions.environment(space, {**more, **ours})

    def _cache(self) -> Path:
        return cache_folder(self.model.name)

    def prepare(self) -> None:
        """Run the setup and the prepare command, each once for what it depends on. Raises InputError if one fails."""
        self._prepare(self.setup())

    def setup(self) -> Outputs | None:
        """What the setup command made; run once for a command, an interpreter, variables and inputs.

        Raises InputError if it fails, HarnessError if what it made is not what it was.
        """
        table = self.model.setup
        if table is None:
            return None
        passed = [self.conditions.passed(), self.model.env.give, self.model.command.env]
        interpreter = self.conditions.interpreter.record()
        about = [list(table.command), list(table.outputs), interpreter, self._inputs, passed]
        key = content_hash(plain(about))[:16]
        folder = self._cache() / f"setup-{key}"
        folder.mkdir(exist_ok=True)
        with once(folder / MANIFEST) as fresh, contextlib.ExitStack() as stack:
            if fresh:
                delete(folder / "files")
                space = self._workspace(stack, {}, None)
                assert isinstance(space, Workspace)
                self._run_once("[setup] of", table.command, space, space.work, table.seconds)
                keep(space.work, self.source.start, table.outputs, folder)
        return Outputs.read(folder, key)

    @functools.cached_property
    def _inputs(self) -> dict[str, str]:
        """The hashes of the files that the setup depends on; the source does not change while the task is open."""
        globs = self.model.setup.inputs if self.model.setup else ()
        return facts(self.source.start, IGNORED, lambda path: matches(path, globs))

    def _prepare(self, outputs: Outputs | None) -> None:
        if not self.model.command.prepare:
            return
        given = self.conditions.given() | {name: "" for name in self.conditions.secrets()}
        about = [self.harness_hash, list(self.model.command.prepare), plain(given)]
        about += [] if self.conditions.interpreter.ours else [plain(self.conditions.interpreter.record())]
        with once(self._cache() / f"prepared-{content_hash(about)[:16]}") as fresh, contextlib.ExitStack() as stack:
            if fresh:
                space = self._workspace(stack, {}, outputs)
                assert isinstance(space, Workspace)
                self._run_once("preparing", self.model.command.prepare, space, space.scratch, PREPARE_SECONDS)

    def _run_once(self, what: str, command: Sequence[str], space: Workspace, cwd: Path, seconds: float) -> None:
        """Run a command that is not a measurement, with the network. Raises InputError if it fails."""
        rung = self.model.rungs[-1]
        cpu = seconds * (os.cpu_count() or 1)
        limits = Limits(seconds, cpu, max(rung.memory_bytes, 4 * 2**30), max(rung.output_bytes, 2**20))
        full = self._filled(command, space, {})
        outcome = process.run(full, cwd=cwd, env=self._environment(space, {}), limits=limits)
        if not outcome.ok:
            raise InputError(
                f"{what} task {self.model.name!r} failed ({outcome.ending.value}, exit code {outcome.exit_code}); "
                f"the end of its output:\n{self._log(outcome, space)}"
            )

    def _log(self, outcome: Outcome, space: Workspace) -> str:
        """The end of what was printed, without the names of the temporary folders (the same for the same run) and
        without the values of secrets."""
        text = outcome.tail(LOG_LINES)
        for folder in (space.work, space.folder):
            text = text.replace(f"{folder}/", "").replace(str(folder), ".")
        return without_secrets(text, self.conditions.secrets())

    def _rung(self, name: str) -> RungTable:
        for rung in self.model.rungs:
            if rung.name == name:
                return rung
        known = ", ".join(rung.name for rung in self.model.rungs)
        raise InputError(f"task {self.model.name!r} has no rung {name!r}; its rungs are: {known}")

    def check_unchanged(self) -> None:
        """Raises HarnessError if start/ or harness/ is not what it was when the task was opened."""
        harness = self.folder / "harness"
        for name, now, before in (
            (
                "start/" if self.tree is None else "the copy of the source",
                tree_hash(self.source.start),
                self.start_hash,
            ),
            ("harness/", tree_hash(harness) if harness.is_dir() else "", self.harness_hash),
        ):
            if now != before:
                raise HarnessError(
                    f"{name} of task {self.model.name!r} in {str(self.folder)!r} has changed since the task was "
                    "opened, so new results could not be compared with the old; undo the change, or start a new run"
                )

    def _check_started(self, outcome: Outcome, program: str, space: Workspace) -> None:
        """Raises InputError if the task's command does not exist here; one that a candidate broke is its failure."""
        if outcome.ending is Ending.NOT_STARTED and not (space.work / program).exists():
            raise InputError(f"task {self.model.name!r}: its command cannot be run here: {outcome.stderr.strip()}")


def _refused(bench: Bench, reason: str) -> Run:
    return Run(bench.rung, bench.seed, Status.REFUSED, log=reason, data={"reason": reason})


def _json_line(path: str, key: str) -> JsonLine:
    return JsonLine(key, path)


def _reason(outcome: Outcome, log: str, status: Status) -> str:
    """The scorer's last line `WORD: reason`, or which limit it was."""
    if outcome.ending is not Ending.EXITED:
        return outcome.ending.value.replace("_", " ")
    lines: list[str] = re.findall(r"^(?:REFUSED|DIVERGED|CRASHED|INFRASTRUCTURE): .*$", log, re.MULTILINE)
    raised: list[str] = re.findall(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit)\b.*$", log, re.MULTILINE)
    if status is Status.EXIT and raised:
        return raised[-1]
    return lines[-1] if lines else f"exit code {outcome.exit_code}"
