"""The tree that a task's candidates start from, taken from somebody's folder as it is when the task is opened.

The folder is only read. Its files are copied once into the task's cache, under the hash of their names and contents,
and everything after that uses the copy: what changes in the folder later reaches the next process, under another hash.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bilevel.errors import HarnessError, InputError
from bilevel.execution.tree import delete
from bilevel.execution.workspace import matches, tree_hash
from bilevel.tasks.cache import hold
from bilevel.tasks.tables import SourceTable

NEVER = tuple(
    f"**/{name}"
    for name in (
        ".git", ".hg", ".svn", ".venv", "__pycache__", "*.pyc", "*.egg-info", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".tox", ".nox", "node_modules", ".DS_Store",
    )
)  # fmt: skip
"""What is never taken, also where git tracks it: an entry that matches is left out with all below it."""

OURS = ("task.toml", "brief.md", "guidance.md", "harness")  # of a task whose folder is the source itself
MARKS = ("run.sqlite3", "pyvenv.cfg", "conda-meta/history")  # in a run of ours, or in an environment with its packages
STALE_SECONDS = 86400.0
KEPT = 4  # copies of earlier states that stay in the cache
SHOWN = 5


@dataclass(frozen=True)
class Tree:
    """A source as it was when the task was opened: `folder` is the copy, `origin` the folder that it was taken from."""

    folder: Path
    origin: Path
    hash: str
    files: int
    commit: str  # of git, empty without; the tree may differ from it

    def record(self) -> dict[str, object]:
        """The facts for the record of a run."""
        facts: dict[str, object] = {"tree": self.hash[:16], "files": self.files}
        return {**facts, "commit": self.commit} if self.commit else facts


def origin(table: SourceTable, task: Path) -> Path:
    """The folder that `path` means. Raises InputError if there is none."""
    try:
        path = Path(table.path).expanduser()
    except RuntimeError as error:
        raise InputError(f"source.path: {table.path!r}: {error}") from None
    found = (task / path).resolve()
    if not found.is_dir():
        raise InputError(
            f"source.path: there is no folder {str(found)!r}; correct the path (it is relative to the task's folder)"
        )
    return found


def take(table: SourceTable, task: Path, cache: Path) -> Tree:
    """Copy the files of the source into the cache. Raises InputError for what cannot be taken, with the way out.

    Of a git repository they are the files that git tracks or would offer to add; of another folder all; in both cases
    less `NEVER`, virtual environments, our own task and run folders, and what `include` and `exclude` say. A link to a
    file of the tree becomes a copy of that file. Other links, special files and files over the limit are errors: left
    out silently, they would be missed somewhere else.
    """
    root = origin(table, task)
    paths = [path for path in _listed(root, (task, cache)) if _wanted(path, table)]
    sizes, problems = _inspected(root, paths, table)
    if not problems and not sizes:
        problems = ["no file is left; look at source.include, source.exclude and what git ignores"]
    if not problems and (total := sum(sizes.values())) > table.tree_bytes:
        largest = ", ".join(sorted(sizes, key=lambda path: -sizes[path])[:3])
        problems = [
            f"its files have {_mib(total)}, more than the {_mib(table.tree_bytes)} of source.tree_bytes, and each run "
            f"gets a copy; the largest are {largest}: exclude them, or raise the limit"
        ]
    if problems:
        more = [f"… and {len(problems) - SHOWN} more of this kind"] if len(problems) > SHOWN else []
        lines = "".join(f"\n  - {problem}" for problem in [*problems[:SHOWN], *more])
        raise InputError(f"the source {str(root)!r} cannot be taken:{lines}")
    folder, digest = _stored(root, sorted(sizes), cache / "sources")
    return Tree(folder, root, digest, len(sizes), _commit(root))


def _wanted(path: str, table: SourceTable) -> bool:
    parents = PurePosixPath(path).parents
    never = any(matches(part, NEVER) for part in (path, *map(str, parents)))
    return not never and matches(path, table.include) and not matches(path, table.exclude)


def _inspected(root: Path, paths: Iterable[str], table: SourceTable) -> tuple[dict[str, int], list[str]]:
    """The size of each file to take, and what stands in the way."""
    sizes: dict[str, int] = {}
    problems: list[str] = []
    out = "leave it out with source.exclude = [{path!r}], and name it in command.read_paths if runs need it"
    for path in paths:
        try:
            facts = (root / path).stat()
        except FileNotFoundError:
            if (root / path).is_symlink():
                problems.append(f"{path}: is a link to nothing; leave it out with source.exclude = [{path!r}]")
            continue  # git still tracks it, and it has been removed
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
            continue
        meant = (root / path).resolve()
        taken = meant.is_relative_to(root) and _wanted(meant.relative_to(root).as_posix(), table)
        if (root / path).is_symlink() and (not taken or not stat.S_ISREG(facts.st_mode)):
            what = "to a folder" if taken else "to something that is not part of the source"
            problems.append(f"{path}: is a link {what}; {out.format(path=path)}")
        elif not stat.S_ISREG(facts.st_mode):
            problems.append(f"{path}: is a special file; leave it out with source.exclude = [{path!r}]")
        elif facts.st_size > table.file_bytes:
            problems.append(
                f"{path}: has {_mib(facts.st_size)}, more than the {_mib(table.file_bytes)} of source.file_bytes; "
                f"raise the limit, or {out.format(path=path)}"
            )
        else:
            sizes[path] = facts.st_size
    return sizes, problems


def _mib(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"


def _listed(root: Path, ours: Iterable[Path]) -> list[str]:
    """The relative paths of what the source holds, without what is ours."""
    inside = [path.resolve().relative_to(root).as_posix() for path in ours if path.resolve().is_relative_to(root)]
    mine = [name for path in inside for name in (OURS if path == "." else (path,))]
    repository = any((folder / ".git").exists() for folder in (root, *root.parents))
    found = _of_git(root, "") if repository else _of_folder(root)
    marked: dict[str, bool] = {".": False}

    def is_marked(folder: str) -> bool:
        if folder not in marked:
            marked[folder] = any((root / folder / name).is_file() for name in MARKS)
        return marked[folder]

    return sorted(
        path
        for path in set(found)
        if not any(path == name or path.startswith(f"{name}/") for name in mine)
        and not any(is_marked(str(parent)) for parent in PurePosixPath(path).parents)
    )


def _of_folder(root: Path) -> Iterator[str]:
    """All but folders; those of `NEVER`, runs and virtual environments are not entered, nor are links followed."""
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        names = {name: (here / name).as_posix() for name in (*folders, *files)}
        folders[:] = [
            name
            for name in folders
            if not matches(names[name], NEVER) and not any((Path(folder, name) / mark).is_file() for mark in MARKS)
        ]
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (names[name] for name in (*files, *linked))


def _of_git(root: Path, below: str) -> Iterator[str]:
    """What git tracks or would offer to add; of a submodule what it holds, of other repositories inside nothing."""
    text = _git(root / below, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, text.split("\0")):
        path = f"{below}{name}"
        if name.endswith("/"):
            continue  # a repository of its own that nobody added
        if (root / path).is_dir() and not (root / path).is_symlink():
            if (root / path / ".git").exists():
                yield from _of_git(root, f"{path}/")
        else:
            yield path


def _commit(root: Path) -> str:
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "HEAD").strip()[:12]
    except InputError:  # no repository, or one without a commit
        return ""


def _git(folder: Path, *arguments: str) -> str:
    """What a git command prints that only reads, and that nothing in the repository's settings can make run a program.

    Raises InputError if git is missing or refuses.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_CONFIG_HOME") if name in os.environ}
    env = {
        **kept, "LC_ALL": "C", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }  # fmt: skip
    settings = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.untrackedCache=false", "safe.directory=*")
    command = ["git", *(part for setting in settings for part in ("-c", setting)), *arguments]
    try:
        done = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise InputError(
            f"source.path: {str(folder)!r} lies in a git repository, and there is no program git that could say which "
            "of its files belong to it; install git"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise InputError(f"source.path: git cannot read the repository at {str(folder)!r}: {said}")
    return os.fsdecode(done.stdout)


def _stored(root: Path, paths: Iterable[str], store: Path) -> tuple[Path, str]:
    """Copy files into the store, under the hash of what was copied; the copy stays while this process lives."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix="new-", dir=store))
        try:
            for path in paths:
                target = staged / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # removed this very moment
                    shutil.copyfile(root / path, target)
                    shutil.copymode(root / path, target)
            digest = tree_hash(staged, ignore=())
            folder = store / digest[:32]
            hold(folder)
            if folder.is_dir() and tree_hash(folder, ignore=()) != digest:
                delete(folder)  # somebody wrote into it
            with contextlib.suppress(OSError):  # another process was faster
                staged.rename(folder)
                os.utime(folder)
        finally:
            delete(staged)
        if tree_hash(folder, ignore=()) != digest:
            raise HarnessError(f"the copy of the source in {str(folder)!r} was changed while it was made")
        _prune(store, folder)
    except OSError as error:
        raise HarnessError(f"the source cannot be copied to {str(store)!r}: {error}; set BILEVEL_CACHE_DIR") from error
    return folder, digest


def _prune(store: Path, current: Path) -> None:
    """Remove the copies of earlier states that no process uses, but for the newest."""
    os.utime(current)
    ages = {path: path.stat().st_mtime for path in store.iterdir() if path.is_dir()}
    staged = [path for path in ages if path.name.startswith("new-")]
    for folder in staged:
        if ages.pop(folder) < time.time() - STALE_SECONDS:  # of a process that was killed
            delete(folder)
    for folder in sorted(ages, key=lambda path: -ages[path])[1 + KEPT :]:
        with contextlib.suppress(OSError), folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            delete(folder)
