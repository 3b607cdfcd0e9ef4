"""What a run shares with the host beside its working copy: files to read, and folders that outlive it."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bilevel.errors import InputError
from bilevel.tasks.tables import CommandTable


@dataclass(frozen=True)
class Shared:
    """One entry of `read_paths` or `write_paths`.

    `home` is its place below the user's HOME, and then below the run's own HOME too; `work` its place below the source,
    and then in the working copy too. At its absolute path it is to be seen in any case.
    """

    text: str
    target: Path
    writable: bool
    home: str = ""
    work: str = ""


def shared_paths(command: CommandTable, source: Path) -> tuple[list[Shared], list[str]]:
    """The paths that a task shares, and what is wrong with them."""
    found: list[Shared] = []
    problems: list[str] = []
    for key, texts in (("read_paths", command.read_paths), ("write_paths", command.write_paths)):
        for text in texts:
            try:
                found.append(_shared(text, source, key == "write_paths"))
            except (InputError, RuntimeError) as error:
                problems.append(f"command.{key}: {text!r}: {error}")
    return found, problems


def make(paths: Collection[Shared]) -> None:
    """Make the folders that runs may write to. Raises InputError where that cannot be done."""
    for shared in paths:
        if shared.writable:
            try:
                shared.target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"command.write_paths: {shared.text!r} cannot be made: {error.strerror}") from error


def links(paths: Collection[Shared]) -> Iterator[tuple[str, str, Path]]:
    """(`home` or `work`, relative place, target) of each link to make; none lies below another."""
    for where in ("home", "work"):
        places = {getattr(shared, where): shared.target for shared in paths if getattr(shared, where)}
        for place, target in sorted(places.items()):
            if not any(str(parent) in places for parent in PurePosixPath(place).parents):
                yield where, place, target


def _shared(text: str, source: Path, writable: bool) -> Shared:
    given = Path(text).expanduser()
    target = Path(os.path.normpath(source / given))
    home = Path(os.path.normpath(Path.home()))
    if home.is_relative_to(target) or source.is_relative_to(target):
        raise InputError("holds the whole HOME or the whole source; name what the run needs of it")
    inside = target.is_relative_to(source)
    if writable:
        if inside:
            raise InputError("lies in the source, which is only read; give a folder elsewhere, as ~/.cache/NAME")
        if target.exists() and not target.is_dir():
            raise InputError("is a file; give the folder that runs may write to")
    elif not target.exists():
        raise InputError(
            f"there is no {str(target)!r}; make it (the repository's own download or prepare step), or [setup]"
        )
    below_home = target.relative_to(home).as_posix() if target.is_relative_to(home) else ""
    work = target.relative_to(source).as_posix() if inside and not given.is_absolute() else ""
    return Shared(text, target, writable, below_home, work)
