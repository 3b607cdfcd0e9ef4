"""What an agent changed, taken back by content: compared with what it was given, file by file.

Nothing of the folder is trusted: no link is followed, no git command is run in it, no file is run or imported, and
only so much of it is read.
"""

import contextlib
import hashlib
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bilevel.execution.globs import matches
from bilevel.execution.tree import IGNORED

FILE_BYTES = 1 << 20  # of one file that is taken
TOTAL_BYTES = 8 << 20
MOST_NEW = 20_000  # entries that are looked at for new files
MOST_GIVEN = 1_000_000
TOLD = 8  # refusals of a kind that are told one by one
DROPPINGS = (".aider*", ".claude/**", ".codex/**", ".gemini/**", ".opencode/**")  # what agents keep for themselves
PASSED_OVER = (*IGNORED, *DROPPINGS)


class Kind(StrEnum):
    """Why something that an agent did is not taken."""

    PROTECTED = "protected"  # the task protects the file
    NOT_EDITABLE = "not editable"  # the task does not let it be edited, or made
    DELETED = "deleted"  # a candidate cannot be without a file of the task
    LINK = "link"  # a symbolic link, or a file that is reached through one
    HARD_LINK = "hard link"  # a file with a second name, which may be outside
    SPECIAL = "special"  # a pipe, a socket, a device, a folder in a file's place
    NOT_TEXT = "not text"  # not UTF-8, or with null characters
    TOO_LARGE = "too large"
    BAD_NAME = "bad name"
    UNREADABLE = "unreadable"
    TOO_MANY = "too many"
    MODE = "mode"  # modes are not part of a candidate
    GIT = "git"  # commits, hooks and settings of its repository, which nothing reads
    LIMIT = "limit"  # the agent was ended
    PROPOSAL = "proposal"  # what it says of its own change cannot be read


@dataclass(frozen=True)
class Refused:
    """Something that was not taken: its path (empty where it has none), and why."""

    kind: Kind
    path: str
    why: str


@dataclass(frozen=True)
class Before:
    """A regular file as the agent was given it."""

    digest: str
    size: int
    runs: bool  # by its mode


@dataclass(frozen=True)
class Rules:
    """Which paths an agent may change, and make; `protected` wins, whatever the case."""

    editable: tuple[str, ...] = ("**",)
    protected: tuple[str, ...] = ()

    def closed(self, path: str) -> Refused | None:
        """Why a path may not be written; None if it may."""
        folded = path.casefold()
        if not path.isprintable() or "\\" in path or unicodedata.normalize("NFC", path) != path:
            return Refused(Kind.BAD_NAME, path, "its name is not one of plain characters in composed form (NFC)")
        if any(part.casefold() == ".git" for part in path.split("/")):
            return Refused(Kind.GIT, path, "what belongs to a git repository is never taken")
        if matches(folded, [glob.casefold() for glob in self.protected]):
            return Refused(Kind.PROTECTED, path, "the task protects this file")
        if not matches(path, self.editable):
            return Refused(Kind.NOT_EDITABLE, path, f"only these may be edited: {', '.join(self.editable) or 'none'}")
        return None


@dataclass
class Taken:
    """The new text of each file that was changed or made and may be, by path; and what was not taken."""

    files: dict[str, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    size: int = 0

    def refuse(self, kind: Kind, path: str, why: str) -> None:
        self.refused.append(Refused(kind, path, why))


def noted(work: Path) -> dict[str, Before]:
    """The regular files of a folder that is our own, by path; links and special files are none."""
    found = {}
    for path, facts in _entries(work, MOST_GIVEN, ()):
        if stat.S_ISREG(facts.st_mode):
            found[path] = Before(_digest(work / path), facts.st_size, bool(facts.st_mode & stat.S_IXUSR))
    return found


def take(work: Path, before: Mapping[str, Before], rules: Rules, own: frozenset[str]) -> Taken:
    """What an agent that is dead by now changed in `work`, of which it was given `before`; `own` are our own files."""
    taken = Taken()
    for path, was in sorted(before.items()):
        _take_known(work, path, was, rules, taken)
    most = MOST_NEW + len(before)
    found = list(_entries(work, most, PASSED_OVER))
    for path, facts in sorted(found, key=lambda entry: entry[0]):
        known = path in before or path in own or stat.S_ISDIR(facts.st_mode)
        if not known and not matches(path, PASSED_OVER):
            _take_new(work, path, facts, rules, taken)
    if len(found) == most:
        taken.refuse(Kind.TOO_MANY, "", f"of more than {MOST_NEW} new files and folders only the first are looked at")
    taken.files = dict(sorted(taken.files.items()))
    return taken


def told(refused: list[Refused]) -> list[Refused]:
    """The refusals, few of each kind; of the others only how many there are."""
    kept: list[Refused] = []
    counts = Counter(item.kind for item in refused)
    shown: Counter[Kind] = Counter()
    for item in refused:
        shown[item.kind] += 1
        if shown[item.kind] <= TOLD:
            kept.append(Refused(item.kind, _plain(item.path)[:300], _plain(item.why)[:500]))
    more = [(kind, count - TOLD) for kind, count in sorted(counts.items()) if count > TOLD]
    return kept + [Refused(kind, "", f"and {count} more") for kind, count in more]


def read_own(work: Path, path: str, most: int) -> str | None:
    """The text of a file that an agent was asked to write; None where there is none. Raises ValueError."""
    found = _lstat(work, path)
    if found is None:
        return None
    if isinstance(found, Kind) or not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise ValueError("it is no regular file")
    data = _read(work / path, most)
    if data is None or len(data) > most:
        raise ValueError(f"it cannot be read, or is larger than {most >> 10} KiB")
    return data.decode("utf-8")


# ---- one file ----


def _take_known(work: Path, path: str, was: Before, rules: Rules, taken: Taken) -> None:
    facts = _lstat(work, path)
    if facts is None:
        taken.refuse(Kind.DELETED, path, "a candidate cannot delete a file of the task; it stays as it was")
    elif isinstance(facts, Kind):
        taken.refuse(facts, path, "its folder was replaced by a link")
    elif (odd := _odd(facts)) is not None:
        taken.refuse(odd, path, _ODD[odd])
    else:
        if bool(facts.st_mode & stat.S_IXUSR) is not was.runs:
            taken.refuse(Kind.MODE, path, "modes are not part of a candidate; its text is")
        _take_text(work, path, facts, was.digest if facts.st_size == was.size else "", rules, taken)


def _take_new(work: Path, path: str, facts: os.stat_result, rules: Rules, taken: Taken) -> None:
    if (closed := rules.closed(path)) is not None:
        taken.refused.append(closed)
    elif (odd := _odd(facts)) is not None:
        taken.refuse(odd, path, _ODD[odd])
    else:
        _take_text(work, path, facts, "", rules, taken)


def _take_text(work: Path, path: str, facts: os.stat_result, digest: str, rules: Rules, taken: Taken) -> None:
    """Take a regular file, unless its content is the one with this digest."""
    closed = rules.closed(path)
    if facts.st_size > FILE_BYTES:
        large = Refused(Kind.TOO_LARGE, path, f"it has {facts.st_size} bytes; at most {FILE_BYTES} are taken")
        if not digest or _digest(work / path) != digest:
            taken.refused.append(closed or large)
        return
    data = _read(work / path, FILE_BYTES)
    if data is None:
        taken.refuse(Kind.UNREADABLE, path, "it cannot be read")
        return
    if hashlib.sha256(data).hexdigest() == digest:
        return
    if closed is not None:
        taken.refused.append(closed)
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        taken.refuse(Kind.NOT_TEXT, path, f"it is not UTF-8: {error.reason} at byte {error.start}")
        return
    if "\0" in text:
        taken.refuse(Kind.NOT_TEXT, path, "it holds null characters")
    elif taken.size + len(data) > TOTAL_BYTES:
        taken.refuse(Kind.TOO_LARGE, path, f"all changed files together have more than {TOTAL_BYTES} bytes")
    else:
        taken.size += len(data)
        taken.files[path] = text


_ODD = {
    Kind.LINK: "it is a symbolic link",
    Kind.HARD_LINK: "it is a hard link: the same file has a second name, which may be outside",
    Kind.SPECIAL: "it is no regular file",
}


def _odd(facts: os.stat_result) -> Kind | None:
    if stat.S_ISLNK(facts.st_mode):
        return Kind.LINK
    if not stat.S_ISREG(facts.st_mode):
        return Kind.SPECIAL
    return Kind.HARD_LINK if facts.st_nlink > 1 else None


# ---- reading without trust ----

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _lstat(work: Path, path: str) -> os.stat_result | Kind | None:
    """The facts of a path below `work`; None where it is not there, a kind where a folder above it is a link."""
    here = str(work)
    *folders, name = path.split("/")
    for folder in folders:
        here = f"{here}/{folder}"
        try:
            facts = os.lstat(here)
        except OSError:
            return None
        if stat.S_ISLNK(facts.st_mode):
            return Kind.LINK
        if not stat.S_ISDIR(facts.st_mode):
            return None
        _enter(here, facts)
    try:
        return os.lstat(f"{here}/{name}")
    except OSError:
        return None


def _entries(work: Path, most: int, closed: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
    """(relative path, facts) of at most `most` entries, folders among them; those that match are not entered."""
    todo = [""]
    left = most
    while todo:
        base = todo.pop()
        here = str(work / base) if base else str(work)
        with contextlib.suppress(OSError):
            if base:
                _enter(here, os.lstat(here))
            with os.scandir(here) as entries:
                for entry in entries:
                    if left == 0:
                        return
                    left -= 1
                    path = f"{base}/{entry.name}" if base else entry.name
                    with contextlib.suppress(OSError):
                        facts = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(facts.st_mode) and not matches(path, closed):
                            todo.append(path)
                        yield path, facts


def _enter(folder: str, facts: os.stat_result) -> None:
    """Make a folder readable whose mode an agent has changed."""
    if facts.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        with contextlib.suppress(OSError):
            os.chmod(folder, stat.S_IRWXU)


def _read(file: Path, most: int) -> bytes | None:
    """At most `most` + 1 bytes of a regular file, no link followed; None where it cannot be read."""
    try:
        try:
            handle = os.open(file, _READ)
        except PermissionError:
            os.chmod(file, stat.S_IRUSR | stat.S_IWUSR)  # it is no link: that was looked at
            handle = os.open(file, _READ)
        with open(handle, "rb") as stream:
            return stream.read(most + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else None
    except OSError:
        return None


def _digest(file: Path) -> str:
    try:
        with open(os.open(file, _READ), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _plain(text: str) -> str:
    """A name as text that can be stored: bytes that are no UTF-8 are shown as escapes."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
