"""Measures a candidate of a folder task: a fresh working copy, one contained command, and a verdict on what it left."""

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.budget import Cost
from bilevel.codec import content_hash, plain
from bilevel.errors import HarnessError, InputError
from bilevel.execution import process
from bilevel.execution.environment import allowed
from bilevel.execution.metrics import Invalid, JsonFile, Line, Missing, Reader, Regex, read_metric
from bilevel.execution.process import Ending, Limits, Outcome
from bilevel.execution.workspace import Refusal, Workspace, tree_hash
from bilevel.lab import Bench
from bilevel.space import Candidate, Value
from bilevel.tasks.cache import cache_folder, once
from bilevel.tasks.model import PLACEHOLDER, WORKDIR, JsonMetric, LineMetric, RegexMetric, RungTable, TaskModel
from bilevel.tasks.source import Source
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

    def run(self, candidate: Candidate, bench: Bench, orders: Orders) -> Run:
        """Measure once. Raises InputError and HarnessError for what is not the candidate's doing."""
        rung = self._rung(bench.rung)
        if found := self.source.problems(candidate):
            return _refused(bench, "; ".join(found))
        self.check_unchanged()
        self.prepare()
        with contextlib.ExitStack() as stack:
            space = self._workspace(stack, self.source.changed(candidate))
            if isinstance(space, Refusal):
                return _refused(bench, str(space))
            (space.folder / "result").mkdir()
            self._pass_on(candidate, space)
            env = self._environment(space, {**rung.env, "BILEVEL_SEED": str(bench.seed), "BILEVEL_RUNG": rung.name})
            full = self._filled(orders.command, space, candidate.params)
            limits = Limits(
                rung.wall_seconds, rung.cpu_seconds or rung.wall_seconds, rung.memory_bytes, rung.output_bytes
            )
            outcome = process.run(full, cwd=space.work, env=env, limits=limits, cancel=bench.lab.cancel)
            self._check_started(outcome, full[0], space)
            return self._judged(bench, outcome, space, orders)

    def _judged(self, bench: Bench, outcome: Outcome, space: Workspace, orders: Orders) -> Run:
        """The run that an outcome stands for: a status, and metrics only if every check holds."""
        cost = Cost(1, outcome.wall_seconds, outcome.cpu_seconds)
        log = _log(outcome, space)
        data: dict[str, Any] = {
            "ending": outcome.ending.value,
            "exit_code": outcome.exit_code,
            "peak_memory_bytes": outcome.peak_memory_bytes,
        }

        def failed(status: Status, reason: str = "") -> Run:
            facts = {**data, "reason": reason} if reason else data
            text = "\n".join(filter(None, (log, reason if reason not in log else "")))
            return Run(bench.rung, bench.seed, status, cost=cost, log=text, data=facts)

        if changed := space.tampering():
            return failed(Status.REFUSED, changed)
        if not outcome.ok:
            status = ENDINGS[outcome.ending]
            if outcome.ending is Ending.EXITED and not self.model.objective.self_reported:
                status = SCORER_EXITS.get(outcome.exit_code or 0, Status.EXIT)
            return failed(status, _reason(outcome, space, status))
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
            case LineMetric(label=label):
                reader: Reader = Line(label or name)
            case RegexMetric(pattern=pattern):
                reader = Regex(pattern)
            case JsonMetric(file=file, key=key):
                inside = file.startswith(WORKDIR)
                reader = JsonFile(file.removeprefix(WORKDIR), key)
                folder = space.work if inside else space.folder / "result"
                return read_metric(reader, stdout="", folder=folder)
        return read_metric(reader, stdout=outcome.stdout, folder=space.work)

    def _workspace(self, stack: contextlib.ExitStack, files: Mapping[str, str]) -> Workspace | Refusal:
        """A fresh working copy, removed with the stack; the files with constants may always be written."""
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bilevel-")))
        harness = self.folder / "harness"
        space = Workspace.create(
            self.source.start,
            root,
            files,
            editable=(*self.source.editable, *self.source.texts),
            protected=self.source.protected,
            harness=harness if harness.is_dir() else None,
        )
        return space if isinstance(space, Refusal) else stack.enter_context(space)

    def _pass_on(self, candidate: Candidate, space: Workspace) -> None:
        """Parameters that are constants of no file go into params.json of the working copy."""
        loose = {name: value for name, value in candidate.params.items() if name not in self.source.places}
        if loose:
            (space.work / "params.json").write_text(json.dumps(loose, indent=2) + "\n", "utf-8")

    def _filled(self, command: Sequence[str], space: Workspace, params: Mapping[str, Value]) -> list[str]:
        """The command with its placeholders replaced."""
        places = {
            "python": sys.executable,
            "harness": str(space.harness),
            "cache": str(self._cache()),
            "workdir": str(space.work),
            "result": str(space.folder / "result"),
            **{f"param:{name}": str(value) for name, value in params.items()},
        }
        return [PLACEHOLDER.sub(lambda found: places[found[1]], part) for part in command]

    def _given(self, more: Mapping[str, str]) -> dict[str, str]:
        """The variables that come from the task: taken over from the host by name, set by it, set by the rung."""
        taken = {name: os.environ[name] for name in self.model.env.take if name in os.environ}
        return {**taken, **self.model.env.give, **more}

    def _environment(self, space: Workspace, more: Mapping[str, str]) -> dict[str, str]:
        ours = {"BILEVEL_CACHE": str(self._cache()), "BILEVEL_RESULT": str(space.folder / "result")}
        if space.harness is not None:
            ours["BILEVEL_HARNESS"] = str(space.harness)
        return allowed(self.model.env.take, self._given({**more, **ours}), scratch=space.scratch)

    def _cache(self) -> Path:
        return cache_folder(self.model.name)

    def prepare(self) -> None:
        """Run the prepare command, once for a harness and the variables it sees. Raises InputError if it fails."""
        if not self.model.command.prepare:
            return
        cache = self._cache()
        key = content_hash([self.harness_hash, list(self.model.command.prepare), plain(self._given({}))])[:16]
        with once(cache / f"prepared-{key}") as fresh, contextlib.ExitStack() as stack:
            if not fresh:
                return
            space = self._workspace(stack, {})
            assert isinstance(space, Workspace)
            rung = self.model.rungs[-1]
            limits = Limits(PREPARE_SECONDS, PREPARE_SECONDS, max(rung.memory_bytes, 4 * 2**30), rung.output_bytes)
            command = self._filled(self.model.command.prepare, space, {})
            outcome = process.run(command, cwd=space.scratch, env=self._environment(space, {}), limits=limits)
            if not outcome.ok:
                raise InputError(
                    f"preparing task {self.model.name!r} failed ({outcome.ending.value}, exit code "
                    f"{outcome.exit_code}); the end of its output:\n{_log(outcome, space)}"
                )

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
            ("start", tree_hash(self.source.start), self.start_hash),
            ("harness", tree_hash(harness) if harness.is_dir() else "", self.harness_hash),
        ):
            if now != before:
                raise HarnessError(
                    f"{name}/ of task {self.model.name!r} in {str(self.folder)!r} has changed since the task was "
                    "opened, so new results could not be compared with the old; undo the change, or start a new run"
                )

    def _check_started(self, outcome: Outcome, program: str, space: Workspace) -> None:
        """Raises InputError if the task's command does not exist here; one that a candidate broke is its failure."""
        if outcome.ending is Ending.NOT_STARTED and not (space.work / program).exists():
            raise InputError(f"task {self.model.name!r}: its command cannot be run here: {outcome.stderr.strip()}")


def _refused(bench: Bench, reason: str) -> Run:
    return Run(bench.rung, bench.seed, Status.REFUSED, log=reason, data={"reason": reason})


def _log(outcome: Outcome, space: Workspace) -> str:
    """The end of what was printed, without the names of the temporary folders: the same for the same run."""
    text = outcome.tail(LOG_LINES)
    for folder in (space.work, space.folder):
        text = text.replace(f"{folder}/", "").replace(str(folder), ".")
    return text


def _reason(outcome: Outcome, space: Workspace, status: Status) -> str:
    """The scorer's last line `WORD: reason`, or which limit it was."""
    if outcome.ending is not Ending.EXITED:
        return outcome.ending.value.replace("_", " ")
    log = _log(outcome, space)
    lines: list[str] = re.findall(r"^(?:REFUSED|DIVERGED|CRASHED|INFRASTRUCTURE): .*$", log, re.MULTILINE)
    raised: list[str] = re.findall(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit)\b.*$", log, re.MULTILINE)
    if status is Status.EXIT and raised:
        return raised[-1]
    return lines[-1] if lines else f"exit code {outcome.exit_code}"
