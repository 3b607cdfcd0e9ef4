"""A run folder for a notebook or a script: `Run.open("runs/a-sphere-1").trace.to_pandas()`.

It reads what is stored, also while the run goes on, and never writes.
"""

import html
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from bilevel.cli.inspecting import Opened
from bilevel.exports.frames import frame
from bilevel.exports.rows import Loaded, Row, Table, loaded, run_table, standing_branches, trial_table
from bilevel.lab import Traces
from bilevel.levels import leaf, level_named, levels_of
from bilevel.recipe import Recipe
from bilevel.report import Summary
from bilevel.showing import to_show
from bilevel.store.folder import RunFolder
from bilevel.trace import Trace

SHOWN = 20  # rows that a notebook shows of itself
SHORT = ("level", "branch", "trial", "changes", "files", "score", "kept", "decision", "status")


class Rows:
    """Rows of a run, read from its folder when they are first asked for."""

    def __init__(self, make: Callable[[], Table]) -> None:
        self._make = make
        self._made: Table | None = None

    @property
    def table(self) -> Table:
        """The rows and their columns, each with its kind."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def rows(self) -> tuple[Row, ...]:
        """Each row as a dictionary; None, or no key, where there is nothing."""
        return self.table.rows

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`. Raises MissingExtra where pandas is not installed."""
        return frame(self.table)

    def to_csv(self) -> str:
        """The text of a CSV file; a cell is empty where there is nothing."""
        return self.table.csv()

    def _repr_html_(self) -> str:
        names = [name for name in (SHORT if "changes" in self.table.columns else self.table.columns)]
        more = f"<p>the last {SHOWN} of {len(self.rows)} rows</p>" if len(self.rows) > SHOWN else ""
        return more + _html(names, [[row.get(name) for name in names] for row in self.rows[-SHOWN:]])


class RunTrace(Rows, Trace):
    """The trials of a level on the line on which it stands: a `Trace`, and a row for each trial."""

    def __init__(self, trace: Trace, make: Callable[[], Table]) -> None:
        Rows.__init__(self, make)
        Trace.__init__(self, trace.objective)
        self._all, self._length = trace._all, trace._length
        self._measured, self._scored = trace._measured, trace._scored


class Run:
    """A run folder, opened for reading by `Run.open`; what is asked of it is as it stands then."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    @staticmethod
    def open(path: str | Path) -> "Run":
        """The run in a folder; `close` it, or use it in a `with` block. Raises InputError where there is none."""
        folder = RunFolder.read(Path(path))
        try:
            return Run(Opened(folder, *to_show(folder)))
        except BaseException:
            folder.close()
            raise

    @property
    def path(self) -> Path:
        return self._opened.folder.path

    @property
    def recipe(self) -> Recipe:
        return self._opened.recipe

    @property
    def state(self) -> str:
        """running, finished, limit, stopped, interrupted, waiting or created."""
        return self._opened.state

    @property
    def summary(self) -> Summary:
        """What the run has come to, in numbers."""
        return self._opened.summary()

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of the levels, the innermost first."""
        return tuple(loop.name for loop in levels_of(self._opened.spec))

    @property
    def trace(self) -> RunTrace:
        """The trials of the innermost level on the line on which the search stands."""
        return self.level(leaf(self._opened.spec).name)

    def level(self, name: str) -> RunTrace:
        """The trials of a level on the line on which it stands. Raises InputError with the names there are."""
        loop, store = level_named(self._opened.spec, name), loaded(self._opened.folder.store)
        branch, traces = standing_branches(Traces(store), self._opened.spec).get(name), Traces(store)
        if branch is None:  # nothing ran yet
            return RunTrace(Trace(loop.task.objective), partial(trial_table, Loaded(), self._opened.spec))
        trace = traces.trace(branch, loop.task.objective)
        return RunTrace(trace, partial(trial_table, store, self._opened.spec, line=branch))

    @property
    def trials(self) -> Rows:
        """All trials of all levels and branches, the arms of forks included."""
        return Rows(partial(trial_table, self._opened.folder.store, self._opened.spec))

    @property
    def runs(self) -> Rows:
        """All measurements: one row per trial, rung and seed."""
        return Rows(partial(run_table, self._opened.folder.store))

    def close(self) -> None:
        self._opened.folder.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Run.open({str(self.path)!r})"

    def _repr_html_(self) -> str:
        found = self.summary
        facts = {
            "task": found.task, "recipe": found.recipe, "researcher": found.researcher, "state": found.state,
            "trials": found.repetition.trials, "baseline": found.baseline, f"best {found.objective}": found.best,
            "gain": found.gain, "changes": ", ".join(f"{k}: {a!r} -> {b!r}" for k, (a, b) in found.changes.items()),
        }  # fmt: skip
        return _html((), [[name, value] for name, value in facts.items()])


def _html(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain table; every text is escaped, for names and reasons may be a model's."""

    def line(cells: Sequence[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{_shown(cell)}</{tag}>' for cell in cells)}</tr>"

    head = f"<thead>{line(names, 'th')}</thead>" if names else ""
    return f"<table>{head}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def _shown(cell: object) -> str:
    return html.escape("" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell))
