"""What a folder holds: its files by hash, its copy, its end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from bilevel.errors import HarnessError
from bilevel.execution.globs import matches

IGNORED = ("**/__pycache__", "**/*.pyc", "**/.git", "**/.DS_Store")
"""What is neither copied nor hashed by default: an entry that matches is left out with all below it."""


def snapshot(folder: Path, *, ignore: Iterable[str] = IGNORED) -> dict[str, str]:
    """SHA-256 in hex of each regular file, by relative POSIX path, in sorted order; for the others see `irregular`."""
    return {path: _digest(folder / path) for path, kind in _walk(folder, ignore) if kind == "file"}


def irregular(folder: Path, *, ignore: Iterable[str] = IGNORED) -> dict[str, str]:
    """What is neither a regular file nor a folder, by relative path: `link to …`, or `special file`."""
    return {path: kind for path, kind in _walk(folder, ignore) if kind not in ("file", "folder")}


def tree_hash(folder: Path, *, ignore: Iterable[str] = IGNORED) -> str:
    """One SHA-256 in hex for the names and contents of what `snapshot` and `irregular` see, not for modes or times."""
    return _hash(facts(folder, ignore))


def facts(folder: Path, ignore: Iterable[str], wanted: Callable[[str], bool] = lambda path: True) -> dict[str, str]:
    """`snapshot` and `irregular` in one, of the paths that are `wanted`; raises OSError for what cannot be read."""
    return {
        path: _digest(folder / path) if kind == "file" else kind
        for path, kind in _walk(folder, ignore)
        if kind != "folder" and wanted(path)
    }


def copy(source: Path, target: Path, ignore: tuple[str, ...]) -> dict[str, str]:
    """Copy a folder, modes included; return the snapshot that source and copy share."""
    target.mkdir()
    for path, kind in _walk(source, ignore):
        if kind == "folder":
            (target / path).mkdir()
        else:
            shutil.copy(source / path, target / path, follow_symlinks=False)
            (target / path).chmod((target / path).stat().st_mode | stat.S_IWUSR)
    copied = snapshot(target, ignore=())
    if copied != snapshot(source, ignore=ignore):
        raise HarnessError(f"{str(source)!r} changed while it was copied; nothing else may write there during a run")
    return copied


def _walk(folder: Path, ignore: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(relative path, kind) of each entry, sorted by path; a folder comes before what it holds."""
    ignore = tuple(ignore)
    todo = [folder]
    found: list[tuple[str, str]] = []
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                path = Path(entry.path).relative_to(folder).as_posix()
                if matches(path, ignore):
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    todo.append(Path(entry.path))
                    found.append((path, "folder"))
                elif stat.S_ISLNK(mode):
                    found.append((path, f"link to {os.readlink(entry.path)}"))
                else:
                    found.append((path, "file" if stat.S_ISREG(mode) else "special file"))
    return iter(sorted(found))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(found: Mapping[str, str]) -> str:
    total = hashlib.sha256()
    for path, what in sorted(found.items()):
        total.update(f"{path}\0{what}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def set_modes(folder: Path, *, folders: int, files: int | None = None) -> None:
    """Set the modes of a tree, parents first, so that each is entered only once it can be; links are left alone."""
    folder.chmod(folders | 0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                set_modes(Path(entry.path), folders=folders, files=files)
            elif files is not None and entry.is_file(follow_symlinks=False):
                os.chmod(entry.path, files)
    folder.chmod(folders)


def delete(folder: Path) -> None:
    """Delete a tree, whatever modes and depths it has; raises HarnessError if it cannot be done."""
    with contextlib.suppress(OSError, RecursionError):
        set_modes(folder, folders=0o700)
        shutil.rmtree(folder)
    if folder.exists():  # deeper than a path name can be long: the system's own tools walk it step by step
        for command in (["chmod", "-R", "u+rwx", str(folder)], ["rm", "-rf", str(folder)]):
            with contextlib.suppress(OSError):
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if folder.exists():
        raise HarnessError(f"cannot delete the working folder {str(folder)!r}: look who holds or writes it")
