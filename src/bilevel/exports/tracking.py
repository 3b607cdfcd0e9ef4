"""A run in an MLflow store, nested by level: the run, below it the trials of the outermost level, below each of them
the trials of the level within. MLflow's own client writes it; it is imported when it is asked for.

Exporting again adds what is new. A run of MLflow is found again by the tags `bilevel.run` (a hash of what the run began
with) and `bilevel.key` (branch and trial), so nothing is there twice, also after an export that was killed.
"""

import importlib.util
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bilevel.codec import content_hash
from bilevel.errors import InputError, MissingExtra, StoreError
from bilevel.exports.rows import METRIC, PARAM, Loaded, Row, loaded, storable, trial_table
from bilevel.lab import Branch, Records
from bilevel.levels import leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import TextTask
from bilevel.trial import Status, Trial

RUN_TAG, KEY_TAG, WHOLE = "bilevel.run", "bilevel.key", "run"
LONGEST = {"param": 6000, "tag": 5000}  # characters that every store of MLflow takes
TAGS = (
    "level", "branch", "trial", "final", "candidate", "parent", "duplicate_of", "author", "why", "changes", "files",
    "status", "reason", "kept", "decision", "rung", "seeds",
)  # fmt: skip
NUMBERS = ("score", "gain", "evaluations", "seconds", "cpu_seconds", "calls", "tokens", "money")
NOT_IN_NAMES = re.compile(r"[^\w\-. :/]", re.ASCII)
ENDS = {Status.OK: "FINISHED", Status.PRUNED: "KILLED"}
STATES = {"finished": "FINISHED", "limit": "FINISHED", "stopped": "KILLED", "interrupted": "FAILED"}


@dataclass(frozen=True)
class About:
    """What is said of a run as a whole. `config`: what it began with; `numbers` and `texts`: metrics, and artifacts
    by file name; `began`: seconds since the epoch."""

    name: str
    state: str
    config: Mapping[str, Any]
    numbers: Mapping[str, float | None]
    texts: Mapping[str, str]
    began: float


@dataclass(frozen=True)
class Tracked:
    """What an export wrote: the address of the store, the experiment, MLflow's id of the run, and how many trials are
    there, `new` of them since the last export."""

    store: str
    experiment: str
    run_id: str
    trials: int
    new: int


def export(records: Records, spec: LoopSpec, about: About, where: str, experiment: str) -> Tracked:
    """Write a run into an MLflow store: an SQLite file, or any tracking URI.

    Raises MissingExtra without the client, InputError before the first trial is finished, and StoreError where MLflow
    cannot write.
    """
    missing = [name for name in ("mlflow", "sqlalchemy", "alembic") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"an export to MLflow ({', '.join(missing)})", "mlflow")
    copy = loaded(records)
    first = next((t for b in copy.branches() if b.level == leaf(spec).name for t in copy.trials(b.id)), None)
    if first is None:
        raise InputError(f"run {about.name!r} has no finished trial yet, so there is nothing to export")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow would report its use to its makers
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    run = content_hash([about.config["recipe"], first])[:16]
    try:
        return _Writing(copy, spec, about, *_opened(where, experiment), run).write(experiment, where)
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreError(f"MLflow cannot write to {where!r}: {error}") from error


def _opened(where: str, experiment: str) -> tuple[Any, str]:
    """MLflow's client for a store, and the id of an experiment in it, which is made if it is not there.

    What belongs to an SQLite file lies in a folder beside it, wherever the command is called from.
    """
    from mlflow.tracking import MlflowClient

    address, beside = where, None
    if "://" not in where:
        file = Path(where).resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        address, beside = f"sqlite:///{file}", (file.parent / f"{file.stem}-artifacts").as_uri()
    client = MlflowClient(tracking_uri=address)
    known = client.get_experiment_by_name(experiment)
    return client, known.experiment_id if known else client.create_experiment(experiment, artifact_location=beside)


@dataclass
class _Writing:
    """One export under way; `known` are MLflow's ids of runs by key, `open` the keys of those that are not finished."""

    records: Loaded
    spec: LoopSpec
    about: About
    client: Any
    experiment: str
    run: str
    known: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    final: dict[str, str] = field(default_factory=dict)

    def write(self, experiment: str, where: str) -> Tracked:
        self._find()
        began = self._began()
        whole = self._ensure(WHOLE, self.about.name, None, began)
        clocks = {loop.name: began for loop in levels_of(self.spec)}
        trials = {(b.id, t.number): (b, t) for b in self.records.branches() for t in self.records.trials(b.id)}
        table, new = trial_table(self.records, self.spec), 0
        steps = Counter[str]()
        for row in table.rows:
            branch, trial = trials[str(row["branch"]), int(row["trial"] or 0)]
            steps[branch.level] += 1
            known, last = self.records.stints.get((branch.id, trial.number)), clocks[branch.level]
            start, end = (known.began, known.ended) if known else (last, last + trial.cost.seconds)
            clocks[branch.level] = end
            new += self._trial(branch, trial, row, (start, end), steps[branch.level] - 1)
        self._whole(whole, len(table.rows), table.csv(), began, max(clocks.values()))
        return Tracked(where, experiment, whole, len(table.rows), new)

    def _find(self) -> None:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], f"tags.`{RUN_TAG}` = '{self.run}'", max_results=1000, page_token=token
            )
            for found in page:
                key = found.data.tags[KEY_TAG]
                self.known[key] = found.info.run_id
                self.final[key] = found.data.tags.get("bilevel.final", "")
                if found.info.status == "RUNNING":
                    self.open.add(key)
            token = page.token
            if not token:
                return

    def _began(self) -> float:
        """When the run began, as its first export said."""
        known = self.known.get(WHOLE)
        first = min((one.began for one in self.records.stints.values()), default=self.about.began)
        return self.client.get_run(known).info.start_time / 1000 if known else first

    def _ensure(self, key: str, name: str, above: str | None, start: float) -> str:
        """MLflow's id of a run, which is made if it is not there."""
        if key not in self.known:
            tags = {RUN_TAG: self.run, KEY_TAG: key, **({"mlflow.parentRunId": above} if above else {})}
            made = self.client.create_run(self.experiment, start_time=round(start * 1000), tags=tags, run_name=name)
            self.known[key] = made.info.run_id
            self.open.add(key)
        return self.known[key]

    def _above(self, branch: Branch, start: float) -> str:
        """The run that a branch's trials belong below: the trial of the next level that opened it, or the whole run."""
        if branch.id == "root":
            return self.known[WHOLE]
        owner, _, name = branch.id.rpartition("/")
        number = int(name.partition(".")[0])
        outer, stint = self.records.branch(owner), self.records.stints.get((owner, number))
        start = stint.began if stint else start
        return self._ensure(f"{owner}:{number}", _name(outer.level, number), self._above(outer, start), start)

    def _trial(self, branch: Branch, trial: Trial, row: Row, span: tuple[float, float], step: int) -> bool:
        """Write a trial that is not there yet; whether it was not. `span`: its start and end, in seconds since 1970."""
        from mlflow.entities import Metric, Param, RunTag

        key, final, (start, end) = f"{branch.id}:{trial.number}", str(row["final"]).lower(), span
        if key in self.known and key not in self.open:
            if self.final[key] != final:
                self.client.set_tag(self.known[key], "bilevel.final", final)
            return False
        found = self._ensure(key, _name(branch.level, trial.number), self._above(branch, start), start)
        tags = {f"bilevel.{name}": _text(row.get(name)) for name in TAGS if row.get(name) is not None}
        params = {name.removeprefix(PARAM): _text(cell) for name, cell in row.items() if name.startswith(PARAM)}
        numbers = {name: row.get(name) for name in NUMBERS}
        own = {name: cell for name, cell in row.items() if name.startswith(METRIC)}
        numbers |= {name if (short := name.removeprefix(METRIC)) in NUMBERS else short: own[name] for name in own}
        at = round(start * 1000)
        metrics = [Metric(_clean(k), float(v), at, step) for k, v in numbers.items() if v is not None]
        metrics += [Metric(_clean(f"seeds/{k}"), value, at, seed) for k, value, seed in _by_seed(trial)]
        named = [Param(_clean(k), v[: LONGEST["param"]]) for k, v in params.items()]
        self._log(found, metrics, named, [RunTag(k, v[: LONGEST["tag"]]) for k, v in tags.items()])
        for name, text in self._texts(branch, trial).items():
            self.client.log_text(found, storable(text), name)
        self.client.set_terminated(found, ENDS.get(trial.status, "FAILED"), round(end * 1000))
        self.open.discard(key)
        return True

    def _texts(self, branch: Branch, trial: Trial) -> dict[str, str]:
        """What a trial changed: a patch from the start of the task, or on outer levels the texts that are new."""
        task = next(loop.task for loop in levels_of(self.spec) if loop.name == branch.level)
        if isinstance(task, FolderTask | TextTask):
            patch = task.patch(trial.candidate) if trial.runs else ""  # what was refused may be no change of the task's
            return {"changes.patch": patch} if patch else {}
        files = trial.candidate.files
        return {
            f"{name}.txt": files[name] for name in trial.candidate.files_changed_from(trial.parent) if name in files
        }

    def _whole(self, found: str, trials: int, csv: str, began: float, end: float) -> None:
        """What is said of the run as a whole: its recipe, the score and the best so far by step, how it stands."""
        from mlflow.entities import Metric, Param, RunTag

        flat = {_clean(k): v for k, v in _flat("", self.about.config["recipe"]) if v is not None}
        tags = {"bilevel.state": self.about.state, "bilevel.version": str(self.about.config.get("bilevel", ""))}
        data = self.client.get_run(found).data
        done = {
            name: {point.step for point in self.client.get_metric_history(found, name)}
            for name in ("score", "best_so_far")
        }
        at = round(began * 1000)
        points = _curve(self.records, self.spec)
        curve = [Metric(name, value, at, step) for name, value, step in points if step not in done[name]]
        now = round(time.time() * 1000)
        numbers = {_clean(k): v for k, v in self.about.numbers.items() if v is not None}
        news = [Metric(k, float(v), now, trials) for k, v in numbers.items() if data.metrics.get(k) != v]
        params = [Param(k, _text(v)[: LONGEST["param"]]) for k, v in flat.items() if k not in data.params]
        self._log(found, [*curve, *news], params, [RunTag(k, v[: LONGEST["tag"]]) for k, v in tags.items()])
        for name, text in {**self.about.texts, "trials.csv": csv}.items():
            self.client.log_text(found, storable(text), name)
        if self.about.state in STATES:
            self.client.set_terminated(found, STATES[self.about.state], round(end * 1000))
        else:
            self.client.update_run(found, status="RUNNING")

    def _log(
        self, found: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """Metrics, parameters and tags in as few batches as MLflow takes, for each is a transaction."""
        parts = max(-(-len(metrics) // 800), -(-len(params) // 100), 1)
        for part in range(parts):
            some, named = metrics[part * 800 : (part + 1) * 800], params[part * 100 : (part + 1) * 100]
            self.client.log_batch(found, metrics=some, params=named, tags=tags if part == 0 else ())


def _name(level: str, number: int) -> str:
    return f"{level} {number:04d}"


def _text(cell: object) -> str:
    return str(cell).lower() if isinstance(cell, bool) else cell if isinstance(cell, str) else json.dumps(cell)


def _clean(name: str) -> str:
    """A name that MLflow takes; where something had to be replaced, a hash keeps two names apart."""
    clean = NOT_IN_NAMES.sub("_", name).strip("/. ") or "_"
    return clean if clean == name else f"{clean}-{content_hash(name)[:6]}"


def _by_seed(trial: Trial) -> Iterator[tuple[str, float, int]]:
    """Each metric of the runs on a trial's last rung, with the seed."""
    for run in trial.runs:
        if run.rung == trial.runs[-1].rung and run.metrics is not None:
            yield from ((name, value, run.seed) for name, value in run.metrics.items())


def _curve(records: Records, spec: LoopSpec) -> Iterator[tuple[str, float, int]]:
    """The score of each innermost trial that has one, and the best so far, with the number of the trial in order."""
    inner, best = leaf(spec), None
    objective, step = inner.task.objective, 0
    for branch in records.branches():
        for trial in records.trials(branch.id) if branch.level == inner.name else ():
            if trial.score is not None:
                yield "score", trial.score, step
                if trial.contends and (best is None or objective.better(trial.score, best)):
                    best = trial.score
            if best is not None:
                yield "best_so_far", best, step
            step += 1


def _flat(above: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, by dotted names."""
    if not isinstance(value, Mapping):
        yield above, value
        return
    for name, inner in value.items():
        yield from _flat(f"{above}.{name}" if above else name, inner)
