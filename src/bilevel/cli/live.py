"""Live progress: a watcher of the run folder's store, in a thread of its own; plain lines without a terminal."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live as RichLive

from bilevel.cli.board import board
from bilevel.cli.inspecting import ENDED, Opened
from bilevel.cli.printing import visible
from bilevel.cli.progress import Progress
from bilevel.length import planned_evaluations
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.store.reader import Reader

PERIOD = 0.25  # seconds between two looks
CLOCK = 1.0  # seconds after which the view is drawn again though nothing is new


class Live:
    """A context in which a run's progress is shown. It only reads the store; the loop knows nothing of it.

    `state` says how the run stands (what its folder says if not given). `stays`: the view is left on the screen at the
    end.
    """

    def __init__(
        self, console: Console, folder: Path, spec: LoopSpec, planned: int | None, title: str, *, stays: bool = False,
        state: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        self.console, self.folder = console, folder
        self.progress = Progress(spec, planned)
        self.title, self._stays = title, stays
        self._state = state or (lambda: self.progress.state or "running")  # before its folder says so
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)
        self._rich: RichLive | None = None
        self._reader: Reader | None = None
        self._shown: object = None  # what was under way when it was drawn last, and when that was
        self._drawn = 0.0

    def __enter__(self) -> "Live":
        if self.console.is_terminal:
            self._rich = RichLive(console=self.console, auto_refresh=False, transient=not self._stays)
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
            self._draw(self._rich, bool(heard or lines))

    def _draw(self, rich: RichLive, news: bool) -> None:
        """Draw the view where something is new, and else once a second: drawing is what costs time."""
        tried = [(one.branch, one.pending.number) for one in self.progress.tried]
        shown, now = (tried, self._state(), self.progress.rounds), time.monotonic()
        if news or shown != self._shown or now - self._drawn >= CLOCK:
            self._shown, self._drawn, size = shown, now, self.console.size
            rich.update(board(self.progress, self.title, shown[1], size.height, size.width), refresh=True)


def watch(console: Console, run: Opened) -> None:
    """Show a run that another process is at work on, until it ends or Ctrl-C; of one that has ended, how it ended."""
    title = f"{run.recipe.name} on {leaf(run.spec).task.name}, {run.folder.path}"
    planned = planned_evaluations(run.spec)
    with (
        suppress(KeyboardInterrupt),
        Live(console, run.folder.path, run.spec, planned, title, stays=True, state=lambda: run.state),
    ):
        while run.state not in ENDED:
            time.sleep(PERIOD)
    console.print(f"{run.state} · {run.folder.path}", highlight=False, markup=False, soft_wrap=True)
