"""A run's records as pages need them: read once, and from then on only what is new.

Pages of thousands of trials take their rows straight from the records, since making whole trials of all takes seconds.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bilevel.calls import CallSummary
from bilevel.lab import Branch
from bilevel.store.reader import Reader
from bilevel.store.records import load_trial
from bilevel.trial import Trial

Changes = Mapping[str, tuple[Any, Any]]  # name -> old, new


@dataclass(frozen=True)
class Row:
    """What a page says of a trial in one line. `contends`: see `Trial.contends`. `rung`: of its last run; `measured`:
    the metrics of each of its ok runs there; `fallen`: the candidates that are out by it."""

    branch: str
    level: str
    number: int
    author: str
    status: str
    score: float | None
    keep: bool
    reason: str
    candidate: str
    parent: str
    changes: Changes
    contends: bool
    evaluations: int
    seconds: float
    faults: int
    files: tuple[str, ...] = ()
    rung: str = ""
    measured: tuple[Mapping[str, float], ...] = ()
    fallen: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it ran, or was to run, and has no score."""
        return self.score is None

    @property
    def arm(self) -> str:
        """The arm of a fork that it ran in ("challenger", "control", …), or nothing."""
        return arm_of(self.branch)


@dataclass(frozen=True)
class Plain:
    """A candidate as it is stored: parameters, and the hash of each file."""

    params: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class Remembering(Reader):
    """A reader that keeps what it has read; records are only ever added, so it asks for what is new."""

    def __init__(self, folder: Path) -> None:
        self._busy = threading.RLock()
        self._trials: dict[str, list[Trial]] = {}
        self._rows: dict[str, list[Row]] = {}
        self._plain: dict[str, Plain] = {}
        self._calls: list[CallSummary] = []
        self._whole: set[tuple[str, str]] | None = None  # what was read within a snapshot: nothing new can be there
        super().__init__(folder)

    def moved(self) -> int:
        """A number that differs from the one before where another process has written something."""
        return self.written()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with super().snapshot():
            self._whole = set()
            try:
                yield
            finally:
                self._whole = None

    def _may_grow(self, what: str, branch_id: str) -> bool:
        """Whether a branch is still to be asked for new records; said once within a snapshot."""
        whole = self._whole
        if whole is None:
            return True
        new = (what, branch_id) not in whole
        whole.add((what, branch_id))
        return new

    def trials(self, branch_id: str, after: int = -1) -> Sequence[Trial]:
        with self._busy:
            known = self._trials.setdefault(branch_id, [])
            if self._may_grow("trials", branch_id):
                known += super().trials(branch_id, known[-1].number if known else -1)
            return [trial for trial in known if trial.number > after] if after >= 0 else list(known)

    def calls(self, after: int = 0) -> Sequence[CallSummary]:
        with self._busy:
            self._calls += super().calls(self._calls[-1].number if self._calls else 0)
            return [call for call in self._calls if call.number > after]

    def trial(self, branch_id: str, number: int) -> Trial | None:
        """One trial of a branch's own, without reading the others."""
        row = self._one("SELECT record FROM trials WHERE branch = ? AND number = ?", branch_id, number)
        return None if row is None else self._loaded("a trial", load_trial, row[0], self._candidate)

    def rows(self, branch: Branch) -> Sequence[Row]:
        """A branch's own trials in a line each."""
        with self._busy:
            known = self._rows.setdefault(branch.id, [])
            if not self._may_grow("rows", branch.id):
                return list(known)
            last = known[-1].number if known else -1
            found = self._all(
                "SELECT record FROM trials WHERE branch = ? AND number > ? ORDER BY number", branch.id, last
            )
            known += [self._loaded("a trial", self._row, record, branch) for (record,) in found]
            return list(known)

    def plain(self, candidate: str) -> Plain:
        """A candidate without the text of its files; an empty one where the store has none of that name."""
        with self._busy:
            if candidate not in self._plain:
                for name, record in self._all("SELECT id, record FROM candidates"):
                    if name not in self._plain:
                        data = json.loads(record)
                        params = {key: value_of(value) for key, value in data["params"].items()}
                        self._plain[name] = Plain(params, data["files"])
            return self._plain.get(candidate, Plain())

    def _row(self, record: str, branch: Branch) -> Row:
        data = json.loads(record)
        runs, rule, score = data["runs"], data.get("rule"), data["score"]
        candidate, parent = self.plain(data["proposal"]["candidate"]), self.plain(data["parent"])
        contends = score is not None and not data.get("beside")
        if contends and rule is not None and data["number"] > 0:
            top = runs[-1]["rung"]
            contends = len({r["seed"] for r in runs if r["rung"] == top and r["status"] == "ok"}) >= rule["depth"]
        costs = [run["cost"] for run in (*runs, *data.get("parent_runs", ()))]
        names, rung = {**parent.files, **candidate.files}, runs[-1]["rung"] if runs else ""
        return Row(
            branch=branch.id,
            level=branch.level,
            number=data["number"],
            author=data["proposal"]["author"],
            status=data["status"],
            score=score,
            keep=data["decision"]["keep"],
            reason=data["decision"]["reason"],
            candidate=data["proposal"]["candidate"],
            parent=data["parent"],
            changes={name: (_frozen(c["old"]), _frozen(c["new"])) for name, c in data["changes"].items()},
            contends=contends,
            evaluations=sum(cost["evaluations"] for cost in costs),
            seconds=sum(cost["seconds"] for cost in costs),
            faults=len(data["faults"]),
            files=tuple(sorted(name for name in names if parent.files.get(name) != candidate.files.get(name))),
            rung=rung,
            measured=tuple(run["metrics"] for run in runs if (run["rung"], run["status"]) == (rung, "ok")),
            fallen=tuple(one["candidate"] for one in data.get("fallen", ())),
        )


def value_of(data: Any) -> Any:
    """A stored value; tuples are written as {"()": [...]}."""
    if isinstance(data, dict):
        return tuple(map(value_of, data["()"])) if set(data) == {"()"} else {k: value_of(v) for k, v in data.items()}
    return [value_of(item) for item in data] if isinstance(data, list) else data


def arm_of(branch: str) -> str:
    """The arm of the fork that a branch belongs to, however many levels above; nothing where there is none."""
    arms = (part.partition(".")[2] for part in branch.split("/")[1:])
    return next((arm for arm in arms if arm not in ("", "only")), "")


def _frozen(data: Any) -> Any:
    """A value in a change: there a tuple is a plain list."""
    value = value_of(data)
    return tuple(value) if isinstance(value, list) else value
