"""The files of somebody's repository: which there are, and their texts. Nothing here writes."""

import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from bilevel.errors import InputError

SKIPPED = {
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".pytest_cache",
    ".ruff_cache", ".tox", ".nox", ".idea", ".vscode", ".ipynb_checkpoints", ".eggs", ".bilevel",
}  # fmt: skip
MOST_FILES = 20_000
MOST_TEXT = 1 << 20
LARGE = 16 * 2**20  # of one file: what a source takes unless told otherwise


@dataclass(frozen=True)
class Tree:
    """A folder and the relative POSIX paths of its own files, sorted: what git knows or would add, or all that is no
    cache, no environment and not ours.

    `apart`: files too large for a copy per run, and links that lead out of it or to a folder; `ignored`: files and
    folders that are there and that git is told to ignore; `size`: bytes of the files.
    """

    root: Path
    files: tuple[str, ...]
    apart: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    size: int = 0

    @classmethod
    def of(cls, root: Path, without: Path | None = None) -> "Tree":
        """The tree of a folder, without what lies in `without`. Raises InputError where there is none, or no file."""
        root = root.resolve()
        if not root.is_dir():
            raise InputError(f"there is no folder {str(root)!r}; give the folder of a repository, or a script")
        listed = _git_files(root)
        names = _walk(root) if listed is None else listed
        out = without.resolve() if without else None
        names = [n for n in names if not (out and (root / n).is_relative_to(out)) and not _ours(root, n)]
        apart = [name for name in names if _apart(root, root / name)]
        files = [name for name in names if name not in apart and (root / name).is_file()]
        if not files:
            raise InputError(f"{str(root)!r} holds no files; give the folder of a repository, or a script")
        if len(files) > MOST_FILES:
            raise InputError(
                f"{str(root)!r} holds {len(files)} files, and each trial would copy them all; give the folder of one "
                "project, or a single script"
            )
        ignored = [] if listed is None else _git(root, "--others", "--ignored", "--exclude-standard", "--directory")
        size = sum((root / name).stat().st_size for name in files)
        return cls(root, tuple(sorted(files)), tuple(sorted(apart)), tuple(ignored or ()), size)

    def text(self, path: str) -> str:
        """The text of a file; empty where it is none, is not UTF-8 or is larger than 1 MiB."""
        try:
            if (self.root / path).stat().st_size > MOST_TEXT:
                return ""
            return (self.root / path).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def has(self, path: str) -> bool:
        return path in self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.files)

    def named(self, *names: str) -> list[str]:
        """The files at the top that are called so, whatever the case."""
        return [path for path in self.files if path.lower() in {name.lower() for name in names}]

    def under(self, folder: str) -> list[str]:
        return [path for path in self.files if path.startswith(f"{folder}/")]

    @property
    def python(self) -> list[str]:
        return [path for path in self.files if path.endswith(".py")]

    @cached_property
    def packages(self) -> list[str]:
        """The folders that are importable: `pkg` at the top or `src/pkg`."""
        found = [PurePosixPath(path).parent for path in self.files if path.endswith("/__init__.py")]
        return sorted({str(p) for p in found if len(p.parts) == 1 or (len(p.parts) == 2 and p.parts[0] == "src")})

    def module(self, dotted: str) -> str | None:
        """The file of a module by its dotted name; of a package its `__main__.py`, else its `__init__.py`."""
        inner = dotted.replace(".", "/")
        for start in ("", "src/"):
            for path in (f"{start}{inner}.py", f"{start}{inner}/__main__.py", f"{start}{inner}/__init__.py"):
                if self.has(path):
                    return path
        return None


def _ours(root: Path, name: str) -> bool:
    """Whether a file lies in a task or run folder of this program."""
    parts = name.split("/")
    return parts[0] == ".bilevel" or (
        parts[0] == "runs" and len(parts) > 2 and (root / "runs" / parts[1] / "run.sqlite3").exists()
    )


def _apart(root: Path, path: Path) -> bool:
    """Whether a path cannot be copied for each run: too large, or a link that is not to a file of the tree."""
    if path.is_symlink():
        inside = path.resolve().is_relative_to(root)
        return path.exists() and not (inside and path.is_file())
    return path.is_file() and path.stat().st_size > LARGE


def _git_files(root: Path) -> list[str] | None:
    """What git knows of or would add, below this folder; None where git cannot say, or knows nothing of it."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return None
    return _git(root, "--cached", "--others", "--exclude-standard") or None


def _git(root: Path, *options: str) -> list[str] | None:
    """The sorted paths that `git ls-files` gives; None where it fails. It only reads."""
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(root), "-c", "core.fsmonitor=false", "ls-files", "-z", *options]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=env)
    except OSError:
        return None
    names = {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}
    return sorted(names) if done.returncode == 0 else None


def _walk(root: Path) -> list[str]:
    found: list[str] = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(b for b in below if b not in SKIPPED and not (Path(folder) / b / "pyvenv.cfg").exists())
        inner = Path(folder).relative_to(root)
        links = [name for name in below if (Path(folder) / name).is_symlink()]
        found += [(inner / name).as_posix() for name in (*names, *links) if name != ".DS_Store"]
        if len(found) > 10 * MOST_FILES:
            break  # somebody's home: told by `of`
    return found
