"""Which runs and comparisons are on show, under which names, and the news of them."""

import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bilevel.compare.folder import is_comparison
from bilevel.dashboard.watched import Watched
from bilevel.errors import BilevelError, InputError
from bilevel.reporting.document import PAGE
from bilevel.store.reader import FILE

DEPTH = 4  # how far below a folder runs are looked for
MOST = 500  # runs that are shown
PERIOD = 0.4  # seconds between two looks for news
SELDOM = 12  # of so many looks one is for run folders that are new
USUAL = ("runs", "comparisons")  # where `run` and `compare` put what they make


@dataclass
class Entry:
    """A run folder under its name in addresses; `group`: the comparison that it belongs to."""

    key: str
    path: Path
    group: str = ""
    run: Watched | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Group:
    """A comparison's folder; `page`: its report, where it has one."""

    key: str
    path: Path

    @property
    def page(self) -> Path | None:
        return self.path / PAGE if (self.path / PAGE).is_file() else None


@dataclass
class Shelf:
    """The runs below some folders, also those that come later. Raises InputError for a folder that is not there."""

    folders: Sequence[Path]
    entries: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)
    begun: str = field(default_factory=lambda: secrets.token_hex(4))  # a server that came back counts anew
    _keys: dict[Path, str] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._chosen = bool(self.folders)
        if not self._chosen:
            self.folders = [Path(name) for name in USUAL]
        for folder in self.folders if self._chosen else ():
            if not folder.is_dir():
                raise InputError(f"there is no folder {str(folder)!r}; run folders are made by `bilevel run`")
        self.find()
        if self._chosen and not self.entries and not self.groups:
            names = ", ".join(repr(str(folder)) for folder in self.folders)
            raise InputError(f"there is no run in or below {names}; run folders are made by `bilevel run`")

    def find(self) -> None:
        """Look for runs that have come since."""
        with self._lock:
            for folder in self.folders:
                for path, group in _below(folder, folder, DEPTH):
                    if path not in self._keys and len(self.entries) < MOST:
                        self._add(folder, path, group)

    def run(self, key: str) -> Watched:
        """A run by its name. Raises InputError where there is none, BilevelError where it cannot be opened."""
        with self._lock:
            entry = self.entries.get(key)
            if entry is None:
                self.find()
                entry = self.entries.get(key)
            if entry is None:
                raise InputError(f"there is no run {key!r} on show")
            if entry.run is None:
                entry.run = Watched(entry.key, entry.path, self._tell)
            return entry.run

    def opened(self, key: str) -> Watched | None:
        """A run, or None where it cannot be opened; `trouble` of its entry says why."""
        entry = self.entries[key]
        try:
            run = self.run(key)
            run.look()
        except BilevelError as error:
            entry.trouble = str(error)
            return None
        entry.trouble = ""
        return run

    def version(self, keys: Sequence[str]) -> str:
        """Of pages about these runs, or about all: another one means that something has changed."""
        entries = [self.entries[key] for key in keys if key in self.entries] if keys else list(self.entries.values())
        parts = [str(entry.run.version if entry.run else 0) for entry in entries]
        return f"{self.begun}-{'.'.join(parts)}" if keys else f"{self.begun}-{len(parts)}-{sum(map(int, parts))}"

    def watch(self, end: threading.Event) -> None:
        """Look for news until the end; for a thread of its own."""
        looks = 0
        while not end.wait(PERIOD):
            looks += 1
            if looks % SELDOM == 0:
                known = len(self.entries)
                self.find()
                if len(self.entries) != known:
                    self._tell()
            for entry in list(self.entries.values()):
                if entry.run is not None:
                    try:
                        entry.run.look()
                    except BilevelError as error:
                        entry.trouble = str(error)

    def _tell(self) -> None:
        with self.news:
            self.news.notify_all()

    def _add(self, folder: Path, path: Path, group: bool) -> None:
        name = folder.resolve().name if path == folder else str(path.relative_to(folder))
        key = wanted = "~".join(part for part in name.split(os.sep) if part) or "run"
        if key in self.entries and path != folder:  # of several folders with alike runs
            key = wanted = f"{folder.resolve().name}~{wanted}"
        number = 2
        while key in self.entries or key in self.groups:
            key, number = f"{wanted}-{number}", number + 1
        self._keys[path] = key
        if group:
            self.groups[key] = Group(key, path)
        else:
            owner = next((self._keys[above] for above in path.parents if self._keys.get(above) in self.groups), "")
            self.entries[key] = Entry(key, path, owner)


def _below(folder: Path, top: Path, depth: int) -> Iterator[tuple[Path, bool]]:
    """The run folders at and below a folder, and the comparisons (marked), each before the runs that it holds."""
    if (folder / FILE).is_file():
        yield folder, False
        return
    if is_comparison(folder):
        yield folder, True
    if depth:
        try:
            inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        except OSError:
            return
        for path in inside:
            yield from _below(path, top, depth - 1)
