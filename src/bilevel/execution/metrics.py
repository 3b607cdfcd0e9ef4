"""Reading a metric from what a run left: its stdout, or a file with JSON.

Numbers are what Python's `float` reads (`1e-3`, `0.98`, `1_000`; not `1,000`, no unit behind). What a run printed is
untrusted: whatever it is, the answer is a finite float or the reason why there is none, never a default.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bilevel.errors import InputError

_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Line:
    """The last line of stdout that is `name: value` or `name = value`; an unreadable last one does not fall back.

    With `after` only the lines that follow the last line with this text alone count (`---` before a summary).
    """

    name: str
    after: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("a metric line needs a name")


@dataclass(frozen=True)
class Regex:
    """The one group of the last match in stdout (`^` and `$` match at lines). A slow pattern is its author's care."""

    pattern: str

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise InputError(f"the metric's pattern {self.pattern!r} is not a regular expression: {error}") from error
        if groups != 1:
            raise InputError(f"the metric's pattern {self.pattern!r} must have one group, not {groups}")


@dataclass(frozen=True)
class JsonFile:
    """A number in a JSON file in the run's folder, by keys joined with dots (`eval.loss`, `scores.0`)."""

    path: str
    key: str

    def __post_init__(self) -> None:
        pure = PurePosixPath(self.path)
        if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in self.path:
            raise InputError(f"the metric's file {self.path!r} must be a relative path inside the run's folder")
        if not self.key:
            raise InputError("a metric in a JSON file needs a key")


@dataclass(frozen=True)
class JsonLine:
    """A number in the last line of stdout, or of a file in the run's folder, that is a JSON object with the key.

    The key is joined with dots; other lines, and objects without it, are passed over.
    """

    key: str
    path: str | None = None

    def __post_init__(self) -> None:
        JsonFile(self.path or "stdout", self.key)


@dataclass(frozen=True)
class Missing:
    """The run left no such metric."""

    reason: str


@dataclass(frozen=True)
class Invalid:
    """The run left the metric, and it is not a finite number."""

    reason: str


Reader = Line | Regex | JsonFile | JsonLine
_ABSENT = object()


def read_metric(reader: Reader, *, stdout: str, folder: Path) -> float | Missing | Invalid:
    """The metric of a run from its stdout, or from a file in `folder`; never raises for what the run left."""
    match reader:
        case Line(name=name, after=after):
            if after is not None:
                lines = stdout.splitlines()
                marks = [place for place, line in enumerate(lines) if line.strip() == after.strip()]
                if not marks:
                    return Missing(f"no line {after!r} in the output, after which {name!r} is to be found")
                stdout = "\n".join(lines[marks[-1] + 1 :])
            shape = re.compile(rf"^[ \t]*{re.escape(name.strip())}[ \t]*[:=](.*)$")
            found = [hit[1] for line in stdout.splitlines() if (hit := shape.match(line))]
            return _number(found[-1].strip()) if found else Missing(f"no line '{name}: <number>' in the output")
        case Regex(pattern=pattern):
            hits = [hit[1] for hit in re.finditer(pattern, stdout, re.MULTILINE)]
            if not hits or hits[-1] is None:
                return Missing(f"nothing in the output matches {pattern!r}")
            return _number(hits[-1].strip())
        case JsonFile(path=path, key=key):
            data = _from_file(path, folder)
            if not isinstance(data, bytes):
                return data
            try:
                value = _by_key(json.loads(data), key)
            except (ValueError, RecursionError) as error:
                return Invalid(f"{path!r} is not JSON: {error}")
            return (
                Missing(f"{path!r} has no {key!r}") if value is _ABSENT else _json_number(value, f"{key!r} in {path!r}")
            )
        case JsonLine(key=key, path=path):
            if path is not None:
                data = _from_file(path, folder)
                if not isinstance(data, bytes):
                    return data
                stdout = data.decode("utf-8", "replace")
            return _from_lines(key, stdout, path or "the output")


def _from_lines(key: str, text: str, where: str) -> float | Missing | Invalid:
    for line in reversed(text.splitlines()):
        if line.lstrip().startswith("{"):
            try:
                value = _by_key(json.loads(line), key)
            except (ValueError, RecursionError):
                continue
            if value is not _ABSENT:
                return _json_number(value, f"{key!r} in {where}")
    return Missing(f"no line of {where} is a JSON object with {key!r}")


def _from_file(path: str, folder: Path) -> bytes | Missing | Invalid:
    try:
        data = _read_regular(folder, path)
    except FileNotFoundError:
        return Missing(f"there is no file {path!r}")
    except (OSError, RuntimeError) as error:
        return Invalid(f"{path!r} cannot be read: {error.strerror if isinstance(error, OSError) else error}")
    if data is None:
        return Invalid(f"{path!r} is not a regular file of at most {_MAX_BYTES >> 20} MiB in the run's folder")
    return data


def _by_key(value: Any, keys: str) -> Any:
    """What stands at the dotted key; `_ABSENT` where nothing does."""
    for key in keys.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch(r"[0-9]{1,9}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


def _json_number(value: object, what: str) -> float | Invalid:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Invalid(f"{what} is not a number")
    return _number(value)


def _read_regular(folder: Path, path: str) -> bytes | None:
    """The bytes of a regular file that lies in `folder` also after links, bounded; None for anything else."""
    target = (folder / path).resolve()
    if not target.is_relative_to(folder.resolve()):
        return None
    handle = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)  # a FIFO must not block
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MAX_BYTES:
            return None
        return file.read(_MAX_BYTES)


def _number(found: str | int | float) -> float | Invalid:
    try:
        value = float(found)
    except (ValueError, OverflowError):
        return Invalid(f"not a number: {str(found)[:80]!r}" if isinstance(found, str) else "too large for a float")
    return value if math.isfinite(value) else Invalid(f"not a finite number: {value}")
