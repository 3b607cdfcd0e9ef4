"""Where tasks keep what they prepare, and preparing it once."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bilevel.errors import HarnessError


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
