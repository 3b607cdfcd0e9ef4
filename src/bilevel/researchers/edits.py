"""Edits of files in a model's answer: SEARCH/REPLACE blocks and whole files, found in its text and applied.

A block is matched by whole lines and must match at one place only. What cannot be applied is refused with a text that
says what to do instead; nothing is guessed.
"""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, TypeAlias

from bilevel.researchers.prompt import fence

Kind = Literal["malformed", "no match", "many matches", "not editable", "not shown"]
NEAREST = 12  # lines of a file that a refusal shows at most
_OPEN = re.compile(r" {0,3}<{5,9} ?SEARCH\b.*")
_DIVIDER = re.compile(r" {0,3}={5,9}\s*")
_CLOSE = re.compile(r" {0,3}>{5,9} ?REPLACE\b.*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_FILE = re.compile(r"[\s#*`>-]*FILE:\s*(\S.*?)[\s*`:]*", re.IGNORECASE)
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


class EditRefused(ValueError):
    """An edit that cannot be applied; the text is for the model, `kind` for code."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


@dataclass(frozen=True)
class Replace:
    """Lines of a file that are to be found, and those that take their place. `path` is empty where none was given."""

    path: str
    search: tuple[str, ...]
    replacement: tuple[str, ...]


@dataclass(frozen=True)
class Whole:
    """The complete new text of a file."""

    path: str
    text: str


@dataclass(frozen=True)
class Broken:
    """A block that cannot be read, and why."""

    problem: str


@dataclass(frozen=True)
class Prose:
    """What stands between the edits."""

    text: str


Edit: TypeAlias = Replace | Whole | Broken
Piece: TypeAlias = Edit | Prose


@dataclass(frozen=True)
class Files:
    """The files that may be edited, with their text. `whole`: those whose whole text the model was shown, which it may
    replace whole. `new`: patterns of paths at which a file may be made; the task has the last word on them."""

    texts: Mapping[str, str]
    whole: Collection[str] = ()
    new: Sequence[str] = field(default=())


def scan(answer: str, known: Collection[str] = ()) -> list[Piece]:
    """An answer taken apart, in its order. `known` are paths that are recognised even without a dot or slash."""
    lines = [line.removesuffix("\r") for line in answer.split("\n")]
    pieces: list[Piece] = []
    prose: list[str] = []
    at = 0
    while at < len(lines):
        found = _edit_at(lines, at, prose, known)
        if found is None:
            prose.append(lines[at])
            at += 1
            continue
        pieces += [Prose("\n".join(prose)), found.edit]
        prose, at = [], found.end
    pieces.append(Prose("\n".join(prose)))
    return [piece for piece in pieces if not isinstance(piece, Prose) or piece.text.strip()]


def apply(edits: Sequence[Edit], files: Files) -> dict[str, str]:
    """The texts of all files after the edits, one after the other. Raises EditRefused for the first that cannot be."""
    texts, made = dict(files.texts), set[str]()
    before = ""
    for number, edit in enumerate(edits, 1):
        if isinstance(edit, Broken):
            raise EditRefused("malformed", f"edit {number}: {edit.problem}")
        path = edit.path or before or _only(files.texts, number)
        what = f"edit {number} ({path})"
        _check_path(path, files, texts, what)
        if isinstance(edit, Whole):
            if path in files.texts and path not in files.whole:
                raise EditRefused("not shown", f"{what}: this file was not shown in full, so edit it by SEARCH/REPLACE")
            texts[path] = _whole(edit.text, texts.get(path, ""))
        elif path not in texts or (not edit.search and path in made):
            texts[path] = _new(edit, path, what)
            made.add(path)
        else:
            texts[path] = replaced(texts[path], edit, what)
        before = path
    return texts


def replaced(text: str, edit: Replace, what: str = "the edit") -> str:
    """A text with the one place that the block matches replaced; everything else stays byte for byte.

    Matched are whole lines as they are; if they occur nowhere, without trailing blanks; if not that either, shifted in
    indentation as one, the replacement with them. Raises EditRefused unless there is exactly one place.
    """
    if not edit.search:
        if text.strip():
            raise EditRefused("malformed", f"{what}: SEARCH is empty, but the file exists; copy the lines to replace")
        return "".join(f"{line}\n" for line in edit.replacement)
    lines = _LINES.findall(text)
    bare = [line.rstrip("\n").removesuffix("\r") for line in lines]
    for find in (_exact, _without_trailing_blanks, _shifted):
        places = find(bare, edit)
        if len(places) > 1:
            numbers = ", ".join(str(place.start + 1) for place in places[:10])
            raise EditRefused(
                "many matches",
                f"{what}: SEARCH matches {len(places)} places (lines {numbers}); add neighbouring lines until it "
                f"matches one. It begins: {_begin(edit)}",
            )
        if places:
            return _spliced(lines, places[0])
    raise EditRefused(
        "no match",
        f"{what}: SEARCH matches 0 places; copy whole lines exactly as they stand. It begins: {_begin(edit)}\n"
        f"The nearest lines:\n{_nearest(bare, edit)}",
    )


# ---- reading ----


class _Found(NamedTuple):
    edit: Edit
    end: int


def _edit_at(lines: list[str], at: int, prose: list[str], known: Collection[str]) -> _Found | None:
    """The edit that begins at a line, and where it ends; None if none does."""
    if _OPEN.fullmatch(lines[at]):
        return _block(lines, at, _path_above(prose, known))
    if _CLOSE.fullmatch(lines[at]):
        return _Found(Broken("a REPLACE marker without its SEARCH marker above"), at + 1)
    header = _FILE.fullmatch(lines[at])
    if header is None:
        return None
    opening = at + 1
    while opening < len(lines) and not lines[opening].strip():
        opening += 1
    if opening >= len(lines) or not (marks := _FENCE.fullmatch(lines[opening])):
        return None
    if opening + 1 < len(lines) and _OPEN.fullmatch(lines[opening + 1]):
        return None  # the header of a block, not of a whole file
    return _whole_file(lines, opening, marks[1], header[1])


def _block(lines: list[str], at: int, path: str) -> _Found:
    """A SEARCH/REPLACE block that begins at a line."""
    end = at + 1
    while end < len(lines) and not _CLOSE.fullmatch(lines[end]):
        if _OPEN.fullmatch(lines[end]):
            return _Found(Broken(f"the block of {path or 'a file'} has a second SEARCH before its REPLACE"), end)
        end += 1
    if end == len(lines):
        return _Found(Broken(f"the block of {path or 'a file'} has no closing line >>>>>>> REPLACE"), end)
    inside = lines[at + 1 : end]
    dividers = [place for place, line in enumerate(inside) if _DIVIDER.fullmatch(line)]
    exact = [place for place in dividers if inside[place].strip() == "======="]
    chosen = exact if len(exact) == 1 else dividers
    if len(chosen) != 1:
        problem = f"the block of {path or 'a file'} needs exactly one line ======= between SEARCH and REPLACE"
        return _Found(Broken(problem), end + 1)
    return _Found(Replace(path, tuple(inside[: chosen[0]]), tuple(inside[chosen[0] + 1 :])), end + 1)


def _whole_file(lines: list[str], opening: int, marks: str, path: str) -> _Found:
    for end in range(opening + 1, len(lines)):
        line = lines[end].strip()
        if line.startswith(marks) and not line.strip(marks[0]):
            return _Found(Whole(_cleaned(path), "".join(f"{line}\n" for line in lines[opening + 1 : end])), end + 1)
    return _Found(Broken(f"the fence around the whole file {path} is not closed"), len(lines))


def _path_above(prose: list[str], known: Collection[str]) -> str:
    """The path that stands above a block, at most a fence and blank lines between; empty if there is none."""
    for line in reversed(prose[-4:]):
        opening = _FENCE.fullmatch(line)
        words = opening[2].split() if opening else [_cleaned(line)]
        path = _cleaned(words[-1]) if words else ""
        if path in known or (re.fullmatch(r"[\w.@+/-]+", path) and re.search(r"[./]", path)):
            return path
        if line.strip() and not opening:
            return ""
    return ""


def _cleaned(text: str) -> str:
    header = _FILE.fullmatch(text)
    return (header[1] if header else text).strip().strip("*`#:").strip().removeprefix("./")


# ---- applying ----


class _Place(NamedTuple):
    start: int
    end: int
    lines: tuple[str, ...]  # what takes the place


def _exact(bare: list[str], edit: Replace) -> list[_Place]:
    size = len(edit.search)
    return [
        _Place(start, start + size, edit.replacement)
        for start in range(len(bare) - size + 1)
        if tuple(bare[start : start + size]) == edit.search
    ]


def _without_trailing_blanks(bare: list[str], edit: Replace) -> list[_Place]:
    search = tuple(line.rstrip() for line in edit.search)
    return _exact([line.rstrip() for line in bare], Replace(edit.path, search, edit.replacement))


def _shifted(bare: list[str], edit: Replace) -> list[_Place]:
    """Places that differ in indentation only; blank lines around the block do not count. Where there is one, it must be
    that all lines are indented by the same more or less."""
    search, replacement = _trimmed(edit.search, edit.replacement)
    stripped, size = [line.strip() for line in search], len(search)
    here = [line.strip() for line in bare]
    starts = [start for start in range(len(bare) - size + 1) if size and here[start : start + size] == stripped]
    if len(starts) != 1:
        return [_Place(start, start + size, ()) for start in starts]
    shift = _shift(search, bare[starts[0] : starts[0] + size])
    lines = None if shift is None else _indented(replacement, shift)
    return [] if lines is None else [_Place(starts[0], starts[0] + size, lines)]


def _trimmed(search: tuple[str, ...], replacement: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The block without the blank lines at its ends, as many less in the replacement where it has them too."""
    while search and not search[0].strip():
        search, replacement = search[1:], replacement[1:] if replacement and not replacement[0].strip() else replacement
    while search and not search[-1].strip():
        search = search[:-1]
        replacement = replacement[:-1] if replacement and not replacement[-1].strip() else replacement
    return search, replacement


class _Shift(NamedTuple):
    blanks: str
    more: bool  # the file has these blanks and the block does not; else the other way round


def _shift(search: Sequence[str], there: Sequence[str]) -> _Shift | None:
    """How much farther in the file's lines stand than the block's; None unless it is the same for all."""
    shifts = set[_Shift]()
    for wanted, line in zip(search, there, strict=True):
        mine, theirs = _indent(wanted), _indent(line)
        if not wanted.strip():
            continue
        if theirs.endswith(mine):
            shifts.add(_Shift(theirs[: len(theirs) - len(mine)], True))
        elif mine.endswith(theirs):
            shifts.add(_Shift(mine[: len(mine) - len(theirs)], False))
        else:
            return None
    return shifts.pop() if len(shifts) == 1 else None


def _indented(lines: Sequence[str], shift: _Shift) -> tuple[str, ...] | None:
    """Lines shifted like the block; None where one has not so many blanks to lose."""
    if shift.more:
        return tuple(shift.blanks + line if line.strip() else line for line in lines)
    if any(line.strip() and not line.startswith(shift.blanks) for line in lines):
        return None
    return tuple(line.removeprefix(shift.blanks) if line.strip() else line for line in lines)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _spliced(lines: list[str], place: _Place) -> str:
    """The lines with a place replaced: line ends as they are there, and none after the last where there was none."""
    old = lines[place.start : place.end]
    end = "\r\n" if old[0].endswith("\r\n") or (not old[0].endswith("\n") and lines[0].endswith("\r\n")) else "\n"
    new = [line + end for line in place.lines]
    if new and not old[-1].endswith("\n"):
        new[-1] = new[-1].removesuffix(end)
    return "".join([*lines[: place.start], *new, *lines[place.end :]])


def _whole(text: str, old: str) -> str:
    """A new text with the line ends of the old one, if that has one kind."""
    return text.replace("\n", "\r\n") if "\r\n" in old and old.count("\n") == old.count("\r\n") else text


def _new(edit: Replace, path: str, what: str) -> str:
    if edit.search:
        raise EditRefused("no match", f"{what}: there is no file {path!r} yet; a new file needs an empty SEARCH")
    return "".join(f"{line}\n" for line in edit.replacement)


def _only(texts: Mapping[str, str], number: int) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    raise EditRefused("malformed", f"edit {number}: no path stands above it; the files are: {', '.join(texts)}")


def _check_path(path: str, files: Files, texts: Mapping[str, str], what: str) -> None:
    parts = path.split("/")
    safe = not any(part in ("", ".", "..") for part in parts) and "\\" not in path
    if path in texts or (safe and any(fnmatchcase(path, pattern) for pattern in files.new)):
        return
    there = ", ".join(files.texts) or "none"
    more = f"; new ones may be made at: {', '.join(files.new)}" if files.new else ""
    raise EditRefused("not editable", f"{what}: this file may not be edited; those that may: {there}{more}")


def _begin(edit: Replace) -> str:
    return repr(next((line.strip() for line in edit.search if line.strip()), "")[:100])


def _nearest(bare: list[str], edit: Replace) -> str:
    """The lines of the file that are most like the block, in a fence."""
    search = [line.strip() for line in edit.search]
    here = [line.strip() for line in bare]
    wanted = {line for line in search if line}
    size = max(len(search), 1)
    hits = [sum(line in wanted for line in here[start : start + size]) for start in range(len(here))]
    best = max(range(len(here)), key=lambda start: hits[start], default=0)
    if not hits or not hits[best]:
        close = difflib.get_close_matches(max(search, key=len, default=""), here, 1, 0.3)
        best = here.index(close[0]) if close else 0
    first = max(best - 1, 0)
    return fence("\n".join(bare[first : first + min(size + 2, NEAREST)]), "lines of the file")
