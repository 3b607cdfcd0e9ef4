"""The folder that an agent works in: an exported tree in a git repository of its own, and its own HOME beside it.

    <fresh>/work      the candidate's whole tree, one commit, and the briefing, which git does not see
            scratch   HOME and TMPDIR of the agent

An exported tree, never a worktree: what an agent plants in a repository must not reach one that somebody uses.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.agents.taking import Before, Kind, Refused, Rules, Taken, noted, read_own, take
from bilevel.errors import HarnessError, InputError
from bilevel.execution.tree import delete

BRIEFING = "BRIEFING.md"
PROPOSAL = "PROPOSAL.json"
PREFIX = "bilevel-agent-"
STALE_SECONDS = 3600.0  # after which a folder that no process holds is one that a killed process left
OWN = frozenset({BRIEFING, PROPOSAL})
PROPOSAL_BYTES = 64 << 10
IDENTITY = {
    "GIT_AUTHOR_NAME": "bilevel",
    "GIT_AUTHOR_EMAIL": "bilevel@localhost",
    "GIT_COMMITTER_NAME": "bilevel",
    "GIT_COMMITTER_EMAIL": "bilevel@localhost",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.autocrlf=false",
        "-c", "commit.gpgSign=false", "-c", "gc.auto=0", "-c", "init.defaultBranch=main")  # fmt: skip

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Export = Callable[[Mapping[str, Any], Mapping[str, str], Path], None]
"""Writes the whole tree of the candidate with these parameters and files into an empty folder."""


@dataclass(frozen=True)
class Start:
    """What an agent is to start from: a candidate, and edits that are laid over it after the commit."""

    params: Mapping[str, Any]
    files: Mapping[str, str]
    edited: Mapping[str, str]


@dataclass(frozen=True)
class WorkCopy:
    """A working copy while an agent uses it; made by `working_copy`."""

    folder: Path
    work: Path
    scratch: Path
    before: Mapping[str, Before]
    held: int  # `work`, open: so its inode cannot become another folder's
    git: str  # a hash of what its repository says

    def take_back(self, rules: Rules) -> Taken:
        """What the agent changed; it must be dead."""
        if self._gone():
            return Taken(refused=[Refused(Kind.DELETED, "", "the working copy itself is gone, or was replaced")])
        with contextlib.suppress(OSError):
            self.work.chmod(0o700)
        taken = take(self.work, self.before, rules, OWN)
        if _git_state(self.work) != self.git:
            taken.refuse(Kind.GIT, ".git", "commits, hooks and settings of the repository are not taken; the files are")
        return taken

    def proposal(self) -> dict[str, Any]:
        """What the agent says of its change; empty where it says nothing. Raises ValueError where it is no JSON."""
        if self._gone():
            return {}
        text = read_own(self.work, PROPOSAL, PROPOSAL_BYTES)
        if text is None:
            return {}
        try:
            data = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(data, dict):
            raise ValueError("it is no JSON object")
        return data

    def _gone(self) -> bool:
        return not _is_still(self.work, self.held)


@contextlib.contextmanager
def working_copy(export: Export, start: Start, briefing: str, root: Path | None) -> Iterator[WorkCopy]:
    """A fresh working copy, deleted at the end as far as that can be done.

    Raises InputError where the task has files with our own names, HarnessError where it cannot be made.
    """
    _sweep(Path(root or tempfile.gettempdir()))
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root)).resolve()
            stack.callback(_delete, folder, _hold(folder, stack))
            (folder / "work").mkdir()
            (folder / "scratch").mkdir()
            held = _hold(folder / "work", stack)
        except OSError as error:
            raise HarnessError(f"cannot make a folder for an agent: {error}") from error
        yield _filled(folder, held, export, start, briefing)


def _hold(folder: Path, stack: contextlib.ExitStack) -> int:
    """A descriptor of a folder, locked, closed with the stack."""
    handle = os.open(folder, _FOLDER)
    stack.callback(os.close, handle)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _sweep(root: Path) -> None:
    """Delete the folders that processes which were killed have left."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError, HarnessError):
                    _sweep_one(Path(entry.path))


def _sweep_one(folder: Path) -> None:
    handle = os.open(folder, _FOLDER)
    try:
        facts = os.fstat(handle)
        if facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > STALE_SECONDS:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by a process that lives: an OSError
            delete(folder)
    finally:
        os.close(handle)


def _is_still(folder: Path, held: int) -> bool:
    """Whether a path leads to the very folder that is held open."""
    try:
        return os.path.samestat(os.lstat(folder), os.fstat(held))
    except OSError:
        return False


def _delete(folder: Path, held: int) -> None:
    """Delete a folder, unless something else stands in its place: what that leads to is not ours.

    What an agent made undeletable stays, and is no reason to stop the search.
    """
    if _is_still(folder, held):
        with contextlib.suppress(HarnessError):
            delete(folder)
    elif folder.is_symlink():
        with contextlib.suppress(OSError):
            folder.unlink()


def _filled(folder: Path, held: int, export: Export, start: Start, briefing: str) -> WorkCopy:
    work, scratch = folder / "work", folder / "scratch"
    try:
        export(start.params, start.files, work)
        for name in OWN:
            if (work / name).exists():
                raise InputError(f"the task has a file {name}, a name that a coding agent's own file needs: rename it")
        before = noted(work)
        _repository(work)
        for path, text in start.edited.items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode("utf-8"))
        (work / BRIEFING).write_text(briefing, "utf-8")
    except OSError as error:
        raise HarnessError(f"cannot make a working copy for an agent: {error}") from error
    return WorkCopy(folder, work, scratch, before, held, _git_state(work))


def _repository(work: Path) -> None:
    """Make a folder a repository with one commit of all that is in it."""
    _git(work, "init", "--quiet", "--template=")
    exclude = work / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("".join(f"/{name}\n" for name in sorted(OWN)), "utf-8")
    _git(work, "add", "--all", "--force")
    _git(work, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", "where this trial starts")


def _git(work: Path, *arguments: str) -> None:
    """Run git in a repository that nobody else has touched yet. Raises HarnessError."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(work.parent / "scratch"), **IDENTITY}
    command = [*_GIT, *arguments]
    if shutil.which("git") is None:
        raise InputError("a coding agent works in a git repository, and there is no program 'git' on the PATH")
    done = subprocess.run(
        command,
        cwd=work,
        env={**env, **IDENTITY},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(f"git {arguments[0]} failed in an agent's working copy: {done.stderr.strip()[-300:]}")


def _git_state(work: Path) -> str:
    """A hash of the head, the branches, the settings and the hooks of a repository, read as plain files."""
    total = hashlib.sha256()
    for path in ("HEAD", "config", "refs/heads/main", "packed-refs"):
        try:
            text = read_own(work, f".git/{path}", 1 << 16)
        except (ValueError, OSError):
            text = "odd"
        total.update(f"{path}\0{text}\0".encode())
    hooks = work / ".git" / "hooks"
    total.update(str(os.path.lexists(hooks)).encode())
    return total.hexdigest()
