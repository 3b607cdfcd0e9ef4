"""What a task's `[setup]` made: once for a command, an interpreter and inputs; then part of each working copy."""

import json
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from bilevel.codec import content_hash
from bilevel.errors import HarnessError, InputError
from bilevel.execution.tree import facts
from bilevel.execution.workspace import matches, snapshot

COPIED_BYTES = 1 << 20  # a larger output is linked
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Outputs:
    """The files that a setup made, in the cache: size and time of change in ns by relative path."""

    folder: Path
    key: str
    files: Mapping[str, tuple[int, int]]
    hash: str

    @classmethod
    def read(cls, folder: Path, key: str) -> "Outputs":
        """What `keep` kept. Raises HarnessError if it is not there as it was."""
        data = json.loads((folder / MANIFEST).read_text("utf-8"))
        outputs = cls(folder / "files", key, {path: (size, time) for path, (size, time) in data.items()}, "")
        if changed := outputs.changed(outputs.stamps()):
            raise HarnessError(
                f"{changed!r}, which [setup] made, is not what it was; delete the folder {str(folder)!r}, and it is "
                "made again"
            )
        return cls(outputs.folder, key, outputs.files, content_hash([key, sorted(data.items())])[:16])

    def stamps(self) -> dict[str, tuple[int, int, int]]:
        """Size, time of change and the system's own time of change of each file now; -1 where it is missing."""
        found = {}
        for path in self.files:
            try:
                now = (self.folder / path).stat()
                found[path] = (now.st_size, now.st_mtime_ns, now.st_ctime_ns)
            except OSError:
                found[path] = (-1, -1, -1)
        return found

    def changed(self, now: Mapping[str, tuple[int, int, int]]) -> str:
        """The first file that is not what it was when it was made; empty if none."""
        return next((path for path, kept in sorted(self.files.items()) if now[path][:2] != kept), "")

    def changed_since(self, stamps: Mapping[str, tuple[int, int, int]]) -> str:
        """In words, which file was written to since these stamps were taken; empty if none."""
        now = self.stamps()
        found = next((path for path in sorted(self.files) if now[path] != stamps[path]), "")
        return f"what [setup] made was changed by the run: {found!r}" if found else ""

    def place(self, work: Path, but: Collection[str]) -> None:
        """Put the files into a working copy, read-only: small ones copied, large ones linked; `but` are left out."""
        for path, (size, _) in self.files.items():
            target = work / path
            if path in but:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if size > COPIED_BYTES:
                target.symlink_to(self.folder / path)
            else:
                shutil.copy2(self.folder / path, target)


def keep(work: Path, start: Path, globs: tuple[str, ...], folder: Path) -> None:
    """Move what a setup made from its copy of the source into `folder`, read-only, with a manifest.

    That are the files that match a glob and that the start does not hold as they are. Raises InputError where a glob
    found nothing, and for links and special files, which cannot be kept.
    """
    found, before = facts(work, (), lambda path: matches(path, globs)), snapshot(start)
    made = {path: what for path, what in found.items() if before.get(path) != what}
    for glob in globs:
        if not any(matches(path, [glob]) for path in made):
            raise InputError(f"setup.outputs: the command ended well, but made nothing that matches {glob!r}")
    files = {}
    for path, what in sorted(made.items()):
        source, target = work / path, folder / "files" / path
        if not stat.S_ISREG(source.lstat().st_mode):
            raise InputError(f"setup.outputs: {path} is a {what}; only regular files can be kept")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        target.chmod(target.stat().st_mode & ~0o222)
        now = target.stat()
        files[path] = (now.st_size, now.st_mtime_ns)
    text = json.dumps(files)
    staged = folder / f"{MANIFEST}.new"
    staged.write_text(text, "utf-8")
    os.replace(staged, folder / MANIFEST)
