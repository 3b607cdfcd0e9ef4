"""A candidate's own working copy, with the scorer beside it and out of its reach by hash.

    <root>/<fresh>/work      a copy of the task's start folder with the candidate's files written into it
                   harness   a read-only copy of the scorer
                   scratch   HOME and TMPDIR of the run

The source folders are only read. Whether anyone wrote to them, to the harness copy or to a protected file is found by
`Workspace.tampering`, to be asked after the run. A candidate that undoes its change before it ends is not found.
"""

from __future__ import annotations

import errno
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType

from bilevel.errors import HarnessError, InputError
from bilevel.execution.globs import matches
from bilevel.execution.tree import IGNORED, copy, delete, facts, irregular, set_modes, snapshot, tree_hash

__all__ = ["IGNORED", "Refusal", "Workspace", "irregular", "matches", "snapshot", "tree_hash"]

_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


@dataclass(frozen=True)
class Refusal:
    """Why a candidate's file cannot be written; data, for the researcher."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path!r}: {self.reason}"


class Workspace:
    """The folders of one run. Made by `create`, deleted by `close` or at the end of a `with` block."""

    def __init__(self, folder: Path, harness: Path | None, sealed: tuple[_Seal, ...]) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.scratch = folder / "scratch"
        self.harness = harness
        self._sealed = sealed

    @classmethod
    def create(
        cls,
        start: Path,
        root: Path,
        files: Mapping[str, str],
        *,
        editable: Iterable[str] = ("**",),
        protected: Iterable[str] = (),
        harness: Path | None = None,
        ignore: Iterable[str] = IGNORED,
        furnish: Callable[[Workspace], Refusal | None] = lambda space: None,
    ) -> Workspace | Refusal:
        """A fresh copy of `start` with the candidate's `files` (relative POSIX path -> text, written as UTF-8).

        A file must match a glob of `editable` and none of `protected`; the first that may not be written is
        returned as a `Refusal`, and nothing is left on disk. `furnish` may put more into the working copy and its
        HOME before the files are written (never through a link that it made), or refuse. Raises InputError for a
        start or harness folder that is missing, holds a symbolic link or special file, or holds `root`; HarnessError
        if the copy differs from its source (someone writes to it) or cannot be made.
        """
        editable, protected, ignore = tuple(editable), tuple(protected), tuple(ignore)
        for path in files:
            if reason := _refused(path, editable, protected):
                return Refusal(path, reason)
        for source in filter(None, (start, harness)):
            _check_source(source, root, ignore)
        try:
            root.mkdir(parents=True, exist_ok=True)
            space = cls(Path(tempfile.mkdtemp(prefix="run-", dir=root)).resolve(), None, ())
        except OSError as error:
            raise HarnessError(f"cannot make a working folder in {str(root)!r}: {error}") from error
        try:
            refusal = space._fill(start, files, protected, harness, ignore, furnish)
        except OSError as error:
            space.close()
            raise HarnessError(f"cannot copy {str(start)!r} to a working folder: {error}") from error
        except BaseException:
            space.close()
            raise
        if refusal is not None:
            space.close()
            return refusal
        return space

    def _fill(
        self,
        start: Path,
        files: Mapping[str, str],
        protected: tuple[str, ...],
        harness: Path | None,
        ignore: tuple[str, ...],
        furnish: Callable[[Workspace], Refusal | None],
    ) -> Refusal | None:
        self.scratch.mkdir()
        sealed = [_Seal("the task's start folder", start, copy(start, self.work, ignore), ignore)]
        if harness is not None:
            target = self.folder / "harness"
            expected = copy(harness, target, ignore)
            set_modes(target, folders=0o555, files=0o444)
            sealed += [
                _Seal("the task's harness folder", harness, expected, ignore),
                _Seal("the harness copy", target, expected, ()),  # nothing ignored: a planted .pyc would be run
            ]
            self.harness = target
        if (refusal := furnish(self)) is not None:
            return refusal
        for path, text in files.items():
            if reason := _write(self.work, path, text):
                return Refusal(path, reason)
        if protected:
            fixed = facts(self.work, (), lambda path: _guarded(path, protected))
            sealed.append(_Seal("a protected file", self.work, fixed, (), protected))
        self._sealed = tuple(sealed)
        return None

    def tampering(self) -> str | None:
        """Which sealed file was changed, added or removed since `create`, in words; None if none was."""
        return next(filter(None, (seal.broken() for seal in self._sealed)), None)

    def close(self) -> None:
        """Delete the folders, whatever modes the run left; a second call does nothing. HarnessError if it fails."""
        if self.folder.exists():
            delete(self.folder)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Seal:
    """What a folder, or the part of it under `only`, must still hold after the run."""

    name: str
    folder: Path
    expected: Mapping[str, str]
    ignore: tuple[str, ...]
    only: tuple[str, ...] = ("**",)

    def broken(self) -> str | None:
        try:
            found = facts(self.folder, self.ignore, lambda path: _guarded(path, self.only))
        except OSError as error:
            return f"{self.name} cannot be read after the run: {error.strerror}"
        for path in sorted(found.keys() | self.expected.keys()):
            if path not in found:
                return f"{self.name} was changed by the run: {path!r} was removed"
            if path not in self.expected:
                return f"{self.name} was changed by the run: {path!r} was added"
            if found[path] != self.expected[path]:
                return f"{self.name} was changed by the run: {path!r} was modified"
        return None


def _check_source(source: Path, root: Path, ignore: tuple[str, ...]) -> None:
    if not source.is_dir():
        raise InputError(f"a folder of the task is missing: {str(source)!r}")
    for path, kind in irregular(source, ignore=ignore).items():
        raise InputError(f"{str(source / path)!r} is a {kind}; a task folder holds regular files only: copy it there")
    if root.resolve().is_relative_to(source.resolve()):
        raise InputError(f"working folders cannot be made inside the task: {str(root)!r} is in {str(source)!r}")


def _refused(path: str, editable: tuple[str, ...], protected: tuple[str, ...]) -> str | None:
    """Why this path may not be written by a candidate, judged by its name alone."""
    pure = PurePosixPath(path)
    if not path or "\\" in path or not path.isprintable():
        return "not a path of plain characters separated by '/'"
    if pure.is_absolute() or ".." in pure.parts:
        return "the path leaves the working folder"
    if path != pure.as_posix() or path == ".":
        return f"not in its plain form, which is {pure.as_posix()!r}"
    if unicodedata.normalize("NFC", path) != path:
        return "its characters are not in composed form (NFC)"
    if _guarded(path, protected):
        return "the task protects this file"
    if not matches(path, editable):
        return f"the task lets only these be edited: {', '.join(editable) or 'none'}"
    return None


def _guarded(path: str, globs: tuple[str, ...]) -> bool:
    """Like `matches`, whatever the case: on some file systems `Score.py` is `score.py`."""
    return matches(path.casefold(), [glob.casefold() for glob in globs])


def _write(work: Path, path: str, text: str) -> str | None:
    """Write one file of a candidate below `work`; return why it cannot be written."""
    target = work / path
    if not target.resolve().is_relative_to(work.resolve()):
        return "the path leaves the working folder through a link"
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"its text cannot be written as UTF-8: {error.reason}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return "a file and a folder of the working copy would have the same path"
    except OSError as error:
        if error.errno in _NAME_ERRORS:
            return f"the file system does not take this name: {error.strerror}"
        raise
    return None
