"""A run as rows: one per trial, or one per measurement, of all its levels.

A cell is a text, a number, true or false, or None where there is nothing: a failed trial has no score and no metrics,
never a 0.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bilevel.calls import CallSummary
from bilevel.lab import Branch, MemoryStore, Records, Traces
from bilevel.levels import LoopTask, levels_of
from bilevel.loop import LoopSpec
from bilevel.space import Value
from bilevel.stints import Stint
from bilevel.store.reader import Reader
from bilevel.trace import Trace
from bilevel.trial import Run, Status, Trial

Cell = bool | int | float | str | None
Row = Mapping[str, Cell]
PARAM, METRIC = "param.", "metric."
TRIAL_COLUMNS: Mapping[str, type] = {
    "level": str, "branch": str, "trial": int, "final": bool, "parent": str, "candidate": str, "duplicate_of": str,
    "author": str, "why": str, "changes": str, "files": str, "status": str, "reason": str, "score": float,
    "gain": float, "kept": bool, "decision": str, "rung": str, "seeds": str, "evaluations": int, "seconds": float,
    "cpu_seconds": float, "calls": int, "tokens": int, "money": float,
}  # fmt: skip
RUN_COLUMNS: Mapping[str, type] = {
    "level": str, "branch": str, "trial": int, "candidate": str, "of_parent": bool, "rung": str, "seed": int,
    "status": str, "reason": str, "evaluations": int, "seconds": float, "cpu_seconds": float,
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows with the kind of each column, in order; a column of kind `object` holds values of several kinds."""

    columns: Mapping[str, type]
    rows: tuple[Row, ...]

    def csv(self) -> str:
        """The table as comma-separated values: an empty cell where there is nothing, `true` and `false`."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([_text(row.get(name)) for name in self.columns])
        return out.getvalue()


def trial_table(records: Records, spec: LoopSpec, levels: Sequence[str] = (), line: str = "") -> Table:
    """One row per trial, in the order in which branches were opened; of the named levels (all if none is named).

    `line`: of this branch only, the trials that it shares with its ancestors included.
    """
    records = loaded(records)
    asked = _asked(records.calls())
    traces, firsts, loops = Traces(records), _firsts(records), {loop.name: loop for loop in levels_of(spec)}
    stands = standing_branches(traces, spec)
    final = {(owner.id, trial.number) for branch in stands.values() for owner, trial in _line(records, branch)}
    rows: list[Row] = []
    for branch, trial in _trials(records, levels, line):
        top, trace = loops[branch.level].top, traces.trace(branch.id, loops[branch.level].task.objective)
        rows.append(_storable({
            **_facts(branch, trial, trace, firsts),
            "final": (branch.id, trial.number) in final,
            "rung": trial.runs[-1].rung if trial.runs else None,
            "seeds": " ".join(dict.fromkeys(str(run.seed) for run in trial.runs)) or None,
            "evaluations": trial.cost.evaluations,
            "seconds": trial.cost.seconds,
            "cpu_seconds": trial.cost.cpu_seconds,
            **asked.get((branch.id, trial.number), NOTHING_ASKED),
            **{PARAM + name: _cell(value) for name, value in trial.candidate.params.items()},
            **{METRIC + name: value for name, value in metrics_of(trial, top).items()},
        }))  # fmt: skip
    return Table({**TRIAL_COLUMNS, **_further(rows, TRIAL_COLUMNS)}, tuple(rows))


def run_table(records: Records) -> Table:
    """One row per measurement: what was run for each trial, on which rung and seed, and what came of it."""
    rows: list[Row] = []
    for branch, trial in _trials(records):
        for run, of_parent in [*((run, False) for run in trial.runs), *((run, True) for run in trial.parent_runs)]:
            rows.append(_storable({
                "level": branch.level, "branch": branch.id, "trial": trial.number,
                "candidate": (trial.parent if of_parent else trial.candidate).id, "of_parent": of_parent,
                "rung": run.rung, "seed": run.seed, "status": run.status.value, "reason": _why(run),
                "evaluations": run.cost.evaluations, "seconds": run.cost.seconds, "cpu_seconds": run.cost.cpu_seconds,
                **{METRIC + name: float(value) for name, value in (run.metrics or {}).items()},
            }))  # fmt: skip
    return Table({**RUN_COLUMNS, **_further(rows, RUN_COLUMNS)}, tuple(rows))


def metrics_of(trial: Trial, top: str) -> dict[str, float]:
    """A trial's metrics, each the mean over its seeds on the top rung; none where one of these runs failed."""
    runs = [run for run in trial.runs if run.rung == top and run.status is not Status.INFRASTRUCTURE]
    if not runs or any(run.metrics is None for run in runs):
        return {}
    by_name: dict[str, list[float]] = {}
    for run in runs:
        for name, value in (run.metrics or {}).items():
            by_name.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in by_name.items()}


# ---- one row ----

NOTHING_ASKED: Mapping[str, Cell] = {"calls": 0, "tokens": 0, "money": 0.0}


def _facts(branch: Branch, trial: Trial, trace: Trace, firsts: Mapping[tuple[str, str], str]) -> dict[str, Cell]:
    first, place = firsts[branch.level, trial.candidate.id], f"{branch.id}:{trial.number}"
    changes = [f"{name}: {change.old!r} -> {change.new!r}" for name, change in trial.changes.items()]
    return {
        "level": branch.level,
        "branch": branch.id,
        "trial": trial.number,
        "parent": trial.parent.id,
        "candidate": trial.candidate.id,
        "duplicate_of": None if first == place else first,
        "author": trial.proposal.author or None,
        "why": trial.proposal.why or None,
        "changes": ", ".join(changes) or None,
        "files": " ".join(trial.candidate.files_changed_from(trial.parent)) or None,
        "status": trial.status.value,
        "reason": trial.reason or None,
        "score": trial.score,
        "gain": None if trial.number == 0 else trace.upto(trial.number + 1).gain_of(trial),
        "kept": trial.decision.keep,
        "decision": trial.decision.reason or None,
    }


def _why(run: Run) -> str | None:
    reason = run.data.get("reason")
    return str(reason) if reason else None


def _cell(value: Value) -> Cell:
    return json.dumps(list(value)) if isinstance(value, tuple) else value


def storable(text: str) -> str:
    """A text that files and databases take: half a character, which a model may have written, becomes a `?`."""
    return text.encode("utf-8", "replace").decode()


def _storable(row: dict[str, Cell]) -> Row:
    return {name: storable(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


# ---- which trials, and what is known of all of them ----


def loaded(records: Records) -> "Loaded":
    """The branches, trials and calls' summaries of a store, read and decoded once."""
    if isinstance(records, Loaded):
        return records
    copy = Loaded()
    for branch in records.branches():
        copy.open_branch(branch)
        for trial in records.trials(branch.id):
            copy.add_trial(branch.id, trial)
    copy.asked = records.calls()
    copy.stints = {(one.branch, one.number): one for one in records.stints()} if isinstance(records, Reader) else {}
    return copy


class Loaded(MemoryStore):
    """What a store held, once; the texts of calls are left out."""

    asked: Sequence[CallSummary] = ()
    stints: Mapping[tuple[str, int], Stint] = MappingProxyType({})

    def calls(self, after: int = 0) -> Sequence[CallSummary]:
        return [call for call in self.asked if call.number > after]


def _trials(records: Records, levels: Sequence[str] = (), line: str = "") -> Iterator[tuple[Branch, Trial]]:
    if line:
        yield from _line(records, line)
        return
    for branch in records.branches():
        if not levels or branch.level in levels:
            yield from ((branch, trial) for trial in records.trials(branch.id))


def _line(records: Records, name: str, until: int | None = None) -> Iterator[tuple[Branch, Trial]]:
    """A branch's trials with those that it shares, each with the branch that it belongs to."""
    branch = records.branch(name)
    if branch.parent is not None:
        yield from _line(records, branch.parent, branch.at if until is None else min(branch.at, until))
    yield from ((branch, trial) for trial in records.trials(name) if until is None or trial.number < until)


def standing_branches(traces: Traces, spec: LoopSpec) -> dict[str, str]:
    """Of each level the branch on which it stands; levels that have not begun are left out."""
    found: dict[str, str] = {}
    branch = "root" if traces.records.branches() else None
    for loop in reversed(levels_of(spec)):
        if branch is not None:
            found[loop.name] = branch
            branch = traces.trace(branch, loop.task.objective).state if isinstance(loop.task, LoopTask) else None
    return found


def _firsts(records: Records) -> dict[tuple[str, str], str]:
    """For each level and candidate the first trial that ran it; where none did, the first that proposed it."""
    proposed, ran = dict[tuple[str, str], str](), dict[tuple[str, str], str]()
    for branch, trial in _trials(records):
        key, place = (branch.level, trial.candidate.id), f"{branch.id}:{trial.number}"
        proposed.setdefault(key, place)
        if trial.runs:
            ran.setdefault(key, place)
    return {**proposed, **ran}


def _asked(calls: Iterable[CallSummary]) -> dict[tuple[str, int], dict[str, Cell]]:
    """What models were asked for each trial; no amount of money where one of the prices is unknown."""
    found: dict[tuple[str, int], dict[str, Cell]] = {}
    sums: dict[tuple[str, int], list[CallSummary]] = {}
    for call in calls:
        sums.setdefault((call.branch, call.trial), []).append(call)
    for key, some in sums.items():
        unknown = any(call.money is None and call.cost.tokens for call in some)
        money = None if unknown else sum(call.cost.money for call in some)
        found[key] = {"calls": len(some), "tokens": sum(call.cost.tokens for call in some), "money": money}
    return found


def _further(rows: Iterable[Row], fixed: Mapping[str, type]) -> dict[str, type]:
    """The columns of parameters and metrics, in the order in which they appear, parameters first, with their kinds."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, cell in row.items():
            if name not in fixed:
                kinds.setdefault(name, set()).update(() if cell is None else (type(cell),))
    ordered = sorted(kinds, key=lambda name: name.startswith(METRIC))
    return {name: _kind(kinds[name]) for name in ordered}


def _kind(kinds: set[type]) -> type:
    if kinds <= {int, float} and float in kinds:
        return float
    return next(iter(kinds)) if len(kinds) == 1 else object
