"""What an agent may write to disk: a limit that `process.run` looks at as it looks at its cancel event."""

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LOOK_SECONDS = 0.5  # between two looks
LOOK_SHARE = 20  # … or this many times what a look costs


class Allowance(threading.Event):
    """Is set where `cancel` is, and where a folder holds so many bytes or entries more than when this was made.

    `spent` says which, and is empty before. Between two looks an agent may pass the limit by what it writes in that
    time. Only what is still there counts, and what is on disk: a file with holes takes no room.
    """

    def __init__(self, folder: Path, cancel: threading.Event, most_bytes: int, most_files: int) -> None:
        super().__init__()
        self.folder = folder
        self.cancel = cancel
        held = list(sizes(folder))
        self.most_bytes = most_bytes
        self.most_files = most_files
        self.spent = ""
        self._held = sum(held), len(held)
        self._due = 0.0

    def is_set(self) -> bool:
        if self.cancel.is_set() or self.spent:
            return True
        now = time.monotonic()
        if now >= self._due:
            self.look()
            cost = time.monotonic() - now
            self._due = time.monotonic() + max(LOOK_SECONDS, LOOK_SHARE * cost)
        return bool(self.spent)

    def look(self) -> None:
        """Count what is there now."""
        size, files = -self._held[0], -self._held[1]
        for size_here in sizes(self.folder):
            size, files = size + size_here, files + 1
            if files > self.most_files:
                self.spent = f"it wrote more than {self.most_files} files"
                return
            if size > self.most_bytes:
                self.spent = f"it wrote more than {self.most_bytes / 2**20:.0f} MiB"
                return


def sizes(folder: Path) -> Iterator[int]:
    """What each entry below a folder takes on disk, in bytes; what cannot be read is passed over."""
    todo = [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISDIR(facts.st_mode):
                        todo.append(entry.path)
                    yield facts.st_blocks * 512
        except OSError:
            continue
