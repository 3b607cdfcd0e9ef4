"""A git repository that we write: hardened, so that nothing of the user's settings or of the content runs a program."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bilevel.errors import InputError
from bilevel.execution.workspace import snapshot

AUTHOR = "bilevel <bilevel@localhost>"
BEGINNING = 946684800  # of time, where the source has no commit: 2000-01-01
SOURCE = "refs/bilevel/source"  # the commit of the source that its history was copied up to
OURS = "bilevel.export"  # in the configuration of a repository that we made
AS_IT_IS = "* -text -eol -filter -ident -working-tree-encoding\n"  # a checkout is byte for byte what was committed
SETTINGS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.untrackedCache=false", "core.autocrlf=false", "gc.auto=0",
    "safe.directory=*", "protocol.allow=never",
)  # fmt: skip
ENVIRONMENT = {
    "LC_ALL": "C", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Commit:
    """A commit to make: `parent` is a commit or the reference of another one to make, `files` what differs from it.

    None is no such file. Its time is `after` seconds after that of the commit that all stand on.
    """

    ref: str
    parent: str
    message: str
    after: int
    files: Mapping[str, bytes | None]
    executable: Mapping[str, bool]


@dataclass(frozen=True)
class Repository:
    """A repository in a folder, while we hold its lock; `opened` makes it."""

    folder: Path

    @staticmethod
    @contextlib.contextmanager
    def opened(folder: Path) -> Iterator["Repository"]:
        """The repository in a folder, made if there is none; others wait meanwhile.

        Raises InputError for a folder with other things in it, and where git is missing.
        """
        folder = folder.absolute()
        repository = Repository(folder)
        fresh = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        if not fresh and (not (folder / ".git").is_dir() or not repository._is_ours()):
            raise InputError(f"{str(folder)!r} is not empty, and no repository that an export made; give another --git")
        try:
            if fresh:
                folder.mkdir(parents=True, exist_ok=True)
                run(folder, "init", "-q", "--template=", str(folder))
                repository.git("config", OURS, "true")
                (folder / ".git" / "info").mkdir(exist_ok=True)
                (folder / ".git" / "info" / "attributes").write_text(AS_IT_IS, "utf-8")
            with (folder / ".git" / "bilevel.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield repository
        except OSError as error:
            raise InputError(f"{str(folder)!r} cannot be written: {error.strerror or error}") from error

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """What a git command prints here. Raises InputError with what it said where it fails."""
        return run(self.folder, f"--git-dir={self.folder}/.git", f"--work-tree={self.folder}", *arguments, stdin=stdin)

    def check_name(self, ref: str) -> None:
        """Raises InputError for a name that git does not take."""
        try:
            self.git("check-ref-format", ref)
        except InputError:
            raise InputError(
                f"{ref.removeprefix('refs/heads/')!r} is no name of a branch; give another --tag"
            ) from None

    def refs(self, under: str) -> dict[str, str]:
        """The commits of the references under a prefix, by name."""
        return {ref: commit for ref, (commit, _) in self.refs_with("Candidate", under).items()}

    def refs_with(self, trailer: str, under: str) -> dict[str, tuple[str, str]]:
        """The same with what a line `trailer: text` at the end of the commit's message says."""
        form = f"%(refname)%00%(objectname)%00%(trailers:key={trailer},valueonly,separator=%x20)"
        rows = (line.split("\0") for line in self.git("for-each-ref", f"--format={form}", under).split("\n") if line)
        return {ref: (commit, said.strip()) for ref, commit, said in rows}

    def count(self, base: str, tip: str) -> int:
        """How many commits a branch has beyond another."""
        return int(self.git("rev-list", "--count", f"{base}..{tip}"))

    def time_of(self, commit: str) -> int:
        """When a commit was made, in seconds."""
        return int(self.git("show", "-s", "--format=%ct", commit))

    def copy_history(self, source: Path, commit: str) -> str:
        """Copy a commit with all that leads to it from another repository, which is only read; its full name.

        Empty where that cannot be done: the source is a part of its repository, or lacks some of its own history.
        """
        try:
            if run(source, "rev-parse", "--show-prefix").strip():
                return ""
            full = run(source, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").strip()
            shallow = source / run(source, "rev-parse", "--git-path", "shallow").strip()
            if run(source, "rev-parse", "--show-object-format").strip() != "sha1":
                return ""
            with tempfile.TemporaryFile() as pack:
                packing = _command("pack-objects", "--revs", "--stdout", "-q")
                subprocess.run(
                    packing, cwd=source, env=_environment(), input=f"{full}\n".encode(), stdout=pack,
                    stderr=subprocess.DEVNULL, check=True,
                )  # fmt: skip
                pack.seek(0)
                reading = _command(f"--git-dir={self.folder}/.git", "index-pack", "--stdin")
                subprocess.run(reading, env=_environment(), stdin=pack, capture_output=True, check=True)
        except (InputError, OSError, subprocess.CalledProcessError):
            return ""
        if shallow.is_file():
            (self.folder / ".git" / "shallow").write_bytes(shallow.read_bytes())
        self.git("update-ref", SOURCE, full)
        return full

    def put_tree(self, folder: Path, parent: str, ref: str) -> str:
        """The commit whose tree holds the files of a folder: `parent` where it does already, else one on top of it.

        Files that only `parent` has stay: they may be what the folder leaves out. The reference points to the commit.
        """
        known = self._tree(parent) if parent else {}
        paths = [path for path in sorted(snapshot(folder)) if known.get(path, ("",))[0] != "120000"]
        listed = "".join(f"{folder / path}\n" for path in paths).encode("utf-8", "surrogateescape")
        hashes = self.git("hash-object", "--no-filters", "--stdin-paths", stdin=listed).split() if paths else []
        runs = {path: os.access(folder / path, os.X_OK) for path in paths}
        new = [
            path
            for path, blob in zip(paths, hashes, strict=True)
            if known.get(path) != ("100755" if runs[path] else "100644", blob)
        ]
        if parent and not new:
            self.git("update-ref", ref, parent)
            return parent
        files = {path: (folder / path).read_bytes() for path in new}
        since = self.time_of(parent) if parent else BEGINNING
        self.add([Commit(ref, parent, "The files as the run began with them\n", 0, files, runs)], since)
        return self.refs(ref)[ref]

    def _tree(self, commit: str) -> dict[str, tuple[str, str]]:
        """Mode and content of each path of a commit."""
        rows = (row.split("\t", 1) for row in self.git("ls-tree", "-r", "-z", commit).split("\0") if row)
        return {path: (facts.split()[0], facts.split()[2]) for facts, path in rows}

    def add(self, commits: Iterable[Commit], since: int) -> None:
        """Make commits and their references in one go, each after its parent; their times count from `since`."""
        stream = bytearray(b"feature done\n")
        marks: dict[str, int] = {}
        for commit in commits:
            marks[commit.ref] = len(marks) + 1
            parent = f":{marks[commit.parent]}" if commit.parent in marks else commit.parent
            when = f"{AUTHOR} {since + commit.after} +0000"
            text = commit.message.encode("utf-8", "replace")
            stream += f"commit {commit.ref}\nmark :{marks[commit.ref]}\nauthor {when}\ncommitter {when}\n".encode()
            stream += b"data %d\n%s\n" % (len(text), text)
            stream += f"from {parent}\n".encode() if parent else b""
            for path, data in commit.files.items():
                if ".git" in (part.casefold() for part in PurePosixPath(path).parts):
                    continue  # git holds no such file
                name = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
                mode = "100755" if commit.executable.get(path) else "100644"
                line = f"D {name}\n" if data is None else f"M {mode} inline {name}\ndata {len(data)}\n"
                stream += line.encode("utf-8", "surrogateescape") + (b"" if data is None else data + b"\n")
            stream += b"\n"
        if marks:
            self.git("fast-import", "--quiet", "--force", stdin=bytes(stream + b"done\n"))

    def stand_on(self, branch: str, tip: str, ours: set[str]) -> None:
        """Let a branch and the working tree be a commit. Raises InputError where the branch has commits of others."""
        now = self.refs(branch).get(branch)
        if now is not None and now not in ours:
            raise InputError(
                f"branch {branch.removeprefix('refs/heads/')!r} in {str(self.folder)!r} has commits that are not ours; "
                "give another --tag"
            )
        self.git("update-ref", branch, tip)
        self.git("symbolic-ref", "HEAD", branch)
        self.git("reset", "-q", "--hard")

    def put_untracked(self, name: str, text: str) -> None:
        """Write a file into the working tree that git leaves alone; not where the source tracks one of that name."""
        if self.git("ls-files", "--", name).strip():
            return
        (self.folder / ".git" / "info" / "exclude").write_text(f"/{name}\n", "utf-8")
        staged = self.folder / ".git" / f"{name}.new"
        staged.write_text(text, "utf-8")
        os.replace(staged, self.folder / name)

    def _is_ours(self) -> bool:
        try:
            return self.git("config", "--local", "--get", OURS).strip() == "true"
        except InputError:
            return False


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """What a git command prints in a folder. Raises InputError where git is missing, or with what it said."""
    try:
        done = subprocess.run(
            _command(*arguments), cwd=folder, env=_environment(), input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise InputError("there is no program git, which writes the repository; install git") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise InputError(f"git {arguments[-1]!r} failed in {str(folder)!r}: {said or f'exit code {done.returncode}'}")
    return os.fsdecode(done.stdout)


def _command(*arguments: str) -> list[str]:
    return ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), **ENVIRONMENT}
