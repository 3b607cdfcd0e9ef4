"""Live progress: a watcher of the run folder's store, in a thread of its own; plain lines without a terminal."""

import threading
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bilevel.cli.ladders import explained, rungs_text, verdict_words
from bilevel.cli.printing import LEVEL_TITLES, visible
from bilevel.levels import leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.report import sparkline
from bilevel.standings import attempts, is_ablation
from bilevel.store.reader import Reader
from bilevel.trial import Trial

PERIOD = 0.25  # seconds between two looks
HEARTBEAT = 30.0  # seconds of silence of a model after which a line says that it is still asked
MOST_SHOWN = 3  # changes of one trial that a line names


class Live:
    """A context in which a run's progress is shown. It only reads the store; the loop knows nothing of it."""

    def __init__(self, console: Console, folder: Path, spec: LoopSpec, planned: int | None) -> None:
        self.console = console
        self.progress = Progress(spec, planned)
        self.folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)
        self._rich: RichLive | None = None
        self._reader: Reader | None = None

    def __enter__(self) -> "Live":
        if self.console.is_terminal:
            self._rich = RichLive(console=self.console, refresh_per_second=4, transient=True)
            self._rich.start()
        self._reader = Reader(self.folder)
        self._look()  # before anything goes on: what happens from now on is news
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._rich is not None:
            self._rich.stop()
        if self._reader is not None:
            self._reader.close()

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD):
            self._look()
        self._look()

    def _look(self) -> None:
        assert self._reader is not None
        heard, lines = self.progress.hear(self._reader), self.progress.update(self._reader)
        for line in heard if self._rich is not None else (*heard, *lines):
            self.console.print(visible(line), highlight=False, markup=False, soft_wrap=True)
        if self._rich is not None:
            self._rich.update(self.progress.table())


class Progress:
    """What was seen of a run so far."""

    def __init__(self, spec: LoopSpec, planned: int | None) -> None:
        self.spec = spec
        self.planned = planned
        self.levels = [loop.name for loop in levels_of(spec)]
        self.objective = leaf(spec).task.objective
        self.began = time.monotonic()
        self.before = 0  # measurements that a resumed run had already
        self.measured = 0
        self.curve: list[float] = []
        self.last: dict[str, tuple[str, Trial]] = {}
        self.asking: dict[
            str, tuple[str, float]
        ] = {}  # level -> what is asked, and since when (seconds since the epoch)
        self._seen: dict[str, int] = {}
        self._events = 0
        self._beat = 0.0
        self._words: set[str] = set()
        self._first = True

    def update(self, reader: Reader) -> list[str]:
        """Take in what is new; returns a line for each new trial."""
        lines = []
        for branch in sorted(reader.branches(), key=lambda branch: self.levels.index(branch.level)):
            seen = self._seen.get(branch.id, branch.at - 1)
            for trial in reader.trials(branch.id, after=seen):
                self._seen[branch.id] = trial.number
                self.last[branch.level] = (branch.id, trial)
                if branch.level == self.levels[0]:
                    self.measured += trial.cost.evaluations
                    self._note(trial)
                lines.append(self._line(branch.id, branch.level, trial))
                lines += self._explained(trial)
        if self._first:
            self.before, self._first = self.measured, False
        return lines

    def hear(self, reader: Reader) -> list[str]:
        """Take in the events; returns lines for retries, fallbacks, limits, and a sign of life of a model."""
        lines = []
        for position, event in reader.events(after=self._events):
            self._events = position
            if event.kind == "asking":
                self.asking[event.level] = (event.text, event.at)
            elif event.kind == "answered":
                self.asking.pop(event.level, None)
            elif not self._first:
                lines.append(f"{event.kind}: {event.text}")
        if self._first:
            self.asking.clear()  # what an earlier session asked was answered, or ended with it
        now = time.time()
        for text, since in self.asking.values():
            if now - max(since, self._beat) > HEARTBEAT:
                self._beat = now
                lines.append(f"waiting for {text}: {now - since:.0f} s")
        return lines

    def _waiting(self) -> str:
        now = time.time()
        return "".join(f"\nwaiting for {text}: {now - since:.0f} s" for text, since in self.asking.values())

    def _note(self, trial: Trial) -> None:
        if trial.score is not None and trial.contends:
            best = self.curve[-1] if self.curve else None
            self.curve.append(trial.score if self.objective.better(trial.score, best) or best is None else best)

    def table(self) -> Group:
        """The view of a terminal: a row per level, the best so far, time and trials left."""
        table = Table(box=None, pad_edge=False, padding=(0, 2), expand=True)
        for name in ("level", "trial", "by", "change", "score", "decision"):
            share = 1 if name in ("change", "decision") else None  # the others are as wide as they need
            table.add_column(name, overflow="ellipsis", no_wrap=True, ratio=share)
        for level in reversed(self.levels):
            if level in self.last:
                _, trial = self.last[level]
                decision = Text("keep" if trial.decision.keep else "discard", "green" if trial.decision.keep else "dim")
                table.add_row(
                    LEVEL_TITLES.get(level, level),
                    str(trial.number),
                    escape(trial.proposal.author.split(" (")[0]),
                    escape(change_text(trial)),
                    _score(trial),
                    decision + Text(" " + trial.decision.reason, "dim"),
                )
            else:
                table.add_row(LEVEL_TITLES.get(level, level), "…", "", "", "", "")
        line = sparkline(tuple(self.curve), self.objective.minimize)
        best = f"{self.curve[-1]:.6g}" if self.curve else "none yet"
        return Group(table, Text(f"best so far {best}  {line}"), Text(self._left() + self._waiting(), "dim"))

    def _left(self) -> str:
        elapsed = time.monotonic() - self.began
        done = f"{self.measured} of at most {self.planned}" if self.planned else str(self.measured)
        rate = (self.measured - self.before) / elapsed if elapsed > 0 else 0.0
        left = f" · about {(self.planned - self.measured) / rate:.0f} s left" if self.planned and rate > 0 else ""
        return f"{done} measurements · {elapsed:.0f} s{left}"

    def _line(self, branch: str, level: str, trial: Trial) -> str:
        title = LEVEL_TITLES.get(level, level)
        arm = branch.rsplit("/", 1)[-1] if "/" in branch else ""
        best = f" · best {self.curve[-1]:.6g}" if self.curve and level == self.levels[0] else ""
        verdict = "keep" if trial.decision.keep else "discard"
        where = f" [{arm}]" if arm else ""
        said = f"{_score(trial)} · {verdict}: {trial.decision.reason}{best}"
        return f"{title}{where} {trial.number}: {change_text(trial)} · {said}{_ladder(trial)}"

    def _explained(self, trial: Trial) -> list[str]:
        """What the verdicts mean that stand in a line for the first time."""
        new = verdict_words(trial.climbs) - self._words
        self._words |= new
        return [f"  {line}" for line in explained(new)]


def change_text(trial: Trial) -> str:
    """A trial's typed changes in a few words."""
    if trial.number == 0:
        return "baseline"
    if "newest" in trial.candidate.params:
        changed = ", ".join(trial.candidate.files_changed_from(trial.parent))
        return f"{changed} left out" if is_ablation(trial) else changed or "nothing"
    shown = [f"{name} {change.old!r} -> {change.new!r}" for name, change in trial.changes.items()]
    shown += [f"{name} edited" for name in trial.candidate.files_changed_from(trial.parent)]
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return ", ".join(shown[:MOST_SHOWN]) + more or "no change"


def _ladder(trial: Trial) -> str:
    """The rungs that the drafts of an outer trial climbed, the last one of them in full."""
    tried = attempts(trial.climbs)
    if not tried:
        return ""
    before = f"after {len(tried) - 1} turned back, " if len(tried) > 1 else ""
    return f" · ladder: {before}{rungs_text(tried[-1].climbs)}"


def _score(trial: Trial) -> str:
    return trial.status.value if trial.score is None else f"{trial.score:.6g}"
