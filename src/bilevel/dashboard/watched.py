"""A run that is on show: opened once, looked at again and again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bilevel.cli.inspecting import Opened
from bilevel.dashboard.records import Remembering, Row
from bilevel.errors import BilevelError
from bilevel.lab import Branch
from bilevel.levels import leaf, levels_of
from bilevel.noise import Noise
from bilevel.report import Summary
from bilevel.reporting.document import PAGE
from bilevel.showing import to_show
from bilevel.statements import Statements, statements_of
from bilevel.store.folder import RunFolder
from bilevel.store.reader import FILE
from bilevel.trace import Trace

LONG = 1000  # trials of level 1
REST = 3  # after a summary so many times the time that it took goes by before the next
LONGEST_REST = 30.0  # seconds


@dataclass(frozen=True)
class Written:
    """A run's report: its page, when it was written (seconds since the epoch), and whether records came later."""

    page: Path
    at: float
    old: bool


@dataclass(frozen=True)
class Known:
    """A summary and what the run claims, perhaps of a moment ago; `current`: nothing has come since. `trouble`: why
    there is none."""

    summary: Summary | None = None
    statements: Statements | None = None
    current: bool = False
    trouble: str = ""


class Watched:
    """One run folder; `gone`: see `showing.Shown`. Raises BilevelError where it cannot be shown.

    `tell` is called whenever a page of this run would say something else than before.
    """

    def __init__(self, key: str, path: Path, tell: Callable[[], None]) -> None:
        self.key, self.path, self._tell = key, path, tell
        RunFolder.read(path).close()  # says in words why it cannot be read
        self.store = Remembering(path)
        try:
            folder = RunFolder[Remembering](path, self.store, None)
            self.recipe, self.spec, self.gone = to_show(folder)
        except BaseException:
            self.store.close()
            raise
        self.opened = Opened(folder, self.recipe, self.spec, self.gone)
        self.objective = leaf(self.spec).task.objective
        self.levels = [loop.name for loop in levels_of(self.spec)]  # the innermost first
        self.version = 0  # of what pages say: records and summary
        self._records = 0  # of the records alone
        self._moved, self.state = self.store.moved(), self.opened.state
        self._found: tuple[Summary | None, Statements | None] = None, None
        self._of, self._trouble = -1, ""
        self._noise: Noise | None = None
        self._working, self._done = threading.Lock(), threading.Event()

    @property
    def live(self) -> bool:
        """Whether a process is at work on it."""
        return self.state in ("running", "paused", "gate")

    @property
    def weighs(self) -> bool:
        """Whether more is looked at than the objective: further ones, or guardrails."""
        return bool(self.objective.also or self.objective.guardrails)

    @property
    def report(self) -> Written | None:
        """The report that `bilevel report` wrote into the run's folder, where it did."""
        page, files = self.path / PAGE, (self.path / FILE, self.path / f"{FILE}-wal")
        try:
            at = page.stat().st_mtime
            stored = [found.st_mtime for path in files if path.exists() and (found := path.stat()).st_size]
        except OSError:
            return None
        return Written(page, at, max(stored, default=0.0) > at)

    def look(self) -> None:
        """See whether there is something new."""
        moved, state = self.store.moved(), self.opened.state
        if (moved, state) != (self._moved, self.state):
            self._moved, self.state = moved, state
            self._records += 1
            self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._tell()

    # ---- what pages ask ----

    def branches(self, level: str = "") -> list[Branch]:
        """All branches in the order of their opening, or those of one level."""
        return [branch for branch in self.store.branches() if not level or branch.level == level]

    def owner(self, branch: str, number: int) -> str:
        """The branch that added a trial of a branch: itself, or the one of its ancestors that it shares it with."""
        found = self.store.branch(branch)
        while found.parent is not None and number < found.at:
            found = self.store.branch(found.parent)
        return found.id

    def rows(self, level: str) -> list[Row]:
        """A level's trials, branch by branch in the order of their opening."""
        return [row for branch in self.branches(level) for row in self.store.rows(branch)]

    @property
    def inner(self) -> list[Row]:
        """The innermost loop's trials."""
        return self.rows(self.levels[0])

    @property
    def noise(self) -> Noise | None:
        """The noise as the baseline's repeats say it; None before it is measured."""
        if self._noise is None:
            first = next(iter(self.branches(self.levels[0])), None)
            baseline = None if first is None else self.store.trial(first.id, 0)
            self._noise = None if baseline is None else (Trace(self.objective) + baseline).noise
        return self._noise

    @property
    def patience(self) -> float:
        """Seconds that a page which needs the summary waits for it; that of a long run comes by itself, later."""
        return 5.0 if len(self.inner) < LONG else 1.0

    def summary(self, patience: float = 0.4) -> Known:
        """What the run has come to: of a moment ago where the newest takes longer than `patience` seconds to find."""
        if self._of != self._records and self._working.acquire(blocking=False):
            self._done.clear()
            threading.Thread(target=self._summarise, daemon=True, name=f"summary of {self.key}").start()
        if self._of != self._records:
            self._done.wait(patience)
        return Known(*self._found, self._of == self._records, self._trouble)

    def _summarise(self) -> None:
        """One summary, and then a rest, so that a long run does not take all the time that there is."""
        records, began = self._records, time.monotonic()
        try:
            summary = self.opened.summary()
            claims = statements_of(self.opened.folder, self.spec, self.state, summary=summary)
            self._found, self._trouble = (summary, claims), ""
        except BilevelError as error:
            self._trouble = str(error)
        self._of = records
        self._done.set()
        self._changed()
        time.sleep(min(LONGEST_REST, REST * (time.monotonic() - began)))
        self._working.release()
        if self._of != self._records:
            self._changed()  # whoever looks again asks for the next
