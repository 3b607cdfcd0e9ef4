"""The run folder: a configuration, a store, and a lock that one writing process holds."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from bilevel.errors import InputError, StoreError
from bilevel.store.reader import FILE, Reader
from bilevel.store.sqlite import SqliteStore, mended

BEGAN = ", begun at "  # of the lock's text: the process, its machine, and when it began
DEAD = "ended"
DEPTH = 3  # how far below a folder without a run those are looked for that may have been meant
S = TypeVar("S", bound=Reader, covariant=True)


class RunFolder(Generic[S]):
    """An open run folder. Made by `create`, `open` (both to write) or `read`."""

    def __init__(self, path: Path, store: S, lock: int | None) -> None:
        self.path = path
        self.store = store
        self._lock = lock

    @staticmethod
    def create(path: Path, config: Mapping[str, Any]) -> "RunFolder[SqliteStore]":
        """A new run folder. Raises StoreError where one is there already, InputError for a folder with other things."""
        if (path / FILE).exists():
            raise StoreError(
                f"{str(path)!r} holds a run already; go on with `bilevel resume {path}`, or use another --folder"
            )
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{str(path)!r} is not an empty folder; use another --folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"folder {str(path)!r} cannot be made: {error.strerror}") from error
        text = json.dumps(config, indent=2)  # before anything is made
        lock = _lock(path)
        try:
            store = SqliteStore(path)
            store.put_meta("config", text)
            (path / "run.json").write_text(text + "\n", "utf-8")
        except OSError as error:
            os.close(lock)
            raise mended(error, path) from error
        except BaseException:
            os.close(lock)
            raise
        return RunFolder(path, store, lock)

    @staticmethod
    def open(path: Path) -> "RunFolder[SqliteStore]":
        """A run folder to go on with. Raises StoreError where another process has it."""
        _must_exist(path)
        Reader(path).close()  # a newer version is refused before anything is touched
        lock = _lock(path)
        try:
            return RunFolder(path, SqliteStore(path), lock)
        except BaseException:
            os.close(lock)
            raise

    @staticmethod
    def read(path: Path) -> "RunFolder[Reader]":
        """A run folder to look at, also while a run goes on in it."""
        _must_exist(path)
        return RunFolder(path, Reader(path), None)

    @property
    def config(self) -> dict[str, Any]:
        """What the run was started with. Raises StoreError where the run was killed before it was written."""
        config = self.meta("config")
        if config is None:
            raise StoreError(f"{str(self.path)!r} was never started; remove it and run again")
        return dict(config)

    def meta(self, key: str) -> Any:
        """A stored fact about the run, or None."""
        text = self.store.get_meta(key)
        return None if text is None else json.loads(text)

    def set_meta(self, key: str, value: Any) -> None:
        """Store a fact about the run, as JSON."""
        if not isinstance(self.store, SqliteStore):
            raise StoreError(f"{str(self.path)!r} was opened for reading")
        self.store.put_meta(key, json.dumps(value))

    def has_writer(self) -> bool:
        """Whether the process that writes here is alive, as far as this machine can tell.

        A process with the same number that began at another time is another one, and one that is only not yet waited
        for by its parent is not alive.
        """
        try:
            process, node = (self.path / "lock").read_text().removeprefix("process ").split(" on ", 1)
            node, _, began = node.partition(BEGAN)
            if node != os.uname().nodename:
                return True
            os.kill(int(process), 0)
        except PermissionError:  # of another user, and alive
            pass
        except (OSError, ValueError):
            return False
        now = _began(int(process))
        return now is None or (now != DEAD and began in ("", now))

    def close(self) -> None:
        """Close the store and give the lock back."""
        self.store.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _must_exist(path: Path) -> None:
    if not (path / FILE).is_file():
        what = "there is no folder" if not path.exists() else "there is no run in folder"
        below = next(filter(None, (sorted(path.glob(f"{'*/' * depth}{FILE}")) for depth in range(1, DEPTH + 1))), [])
        names = ", ".join(repr(str(each.parent)) for each in below[:3])
        way = f"name one of those below it: {names}{' …' if below[3:] else ''}"
        raise InputError(f"{what} {str(path)!r}; {way if below else 'run folders are made by `bilevel run`'}")


def _lock(path: Path) -> int:
    """The lock's file descriptor. The lock goes when the process goes, however it goes."""
    try:
        handle = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise mended(error, path) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(handle, 200, 0).decode(errors="replace").partition(BEGAN)[0].strip() or "another process"
        os.close(handle)
        raise StoreError(
            f"run folder {str(path)!r} is in use by {owner}; wait for it, stop it, or use another --folder"
        ) from None
    os.ftruncate(handle, 0)
    began = _began(os.getpid())
    said = f"process {os.getpid()} on {os.uname().nodename}" + (f"{BEGAN}{began}" if began else "")
    os.pwrite(handle, said.encode(), 0)
    return handle


def _began(process: int) -> str | None:
    """When a process began, in clock ticks after the start of the machine; DEAD where it has ended; None where this
    system does not say."""
    try:
        text = Path(f"/proc/{process}/stat").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # the name before that may hold anything
    return DEAD if state in "ZX" else fields[18]
