"""Where tasks keep what they prepare, and preparing it once."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from bilevel.errors import HarnessError

_held: dict[Path, int] = {}
_holding = threading.Lock()


def cache_folder(name: str) -> Path:
    """The folder for a task's prepared data, made if it is not there.

    It lies in $BILEVEL_CACHE_DIR, else in $XDG_CACHE_HOME/bilevel, else in ~/.cache/bilevel. Raises HarnessError if it
    cannot be made.
    """
    chosen, shared = os.environ.get("BILEVEL_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    root = Path(chosen) if chosen else Path(shared or Path.home() / ".cache") / "bilevel"
    folder = root.absolute() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"cannot make the cache folder {str(folder)!r}: {error}; set BILEVEL_CACHE_DIR") from error
    return folder


@contextlib.contextmanager
def once(marker: Path) -> Iterator[bool]:
    """Whether the work that `marker` stands for is still to be done; marked as done when the block ends well.

    Other processes and threads wait meanwhile.
    """
    if marker.exists():
        yield False
        return
    with marker.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if marker.exists():
            yield False
            return
        yield True
        marker.touch()


def hold(folder: Path) -> None:
    """Keep others from removing a folder of the cache while this process lives: a shared lock on the file beside it."""
    with _holding:
        if folder not in _held:
            handle = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(handle, fcntl.LOCK_SH)
            _held[folder] = handle
