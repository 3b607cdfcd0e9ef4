"""The numbers that a run printed or wrote, each with the table of task.toml that reads it; which one is the metric."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.execution.metrics import JsonFile, JsonLine, Line, Reader, Regex, read_metric
from bilevel.init.words import goal, split, worth

NUMBER = r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![0-9]|[.,][0-9])"
VALUE = rf"({NUMBER}|[-+]?(?i:nan|inf(?:inity)?)\b)"
UNIT = r"[ \t]*(?:%|[a-zA-Zµ]{1,12}(?:/[a-zA-Z]{1,8})?|\([^()]{1,24}\)|\[[^\[\]]{1,24}\])?[ \t]*\.?"
NAME = r"[A-Za-z_][\w./@-]*"
PHRASE = rf"{NAME}(?:[ ]{{1,3}}(?:{NAME}|\([\w %/.-]+\))){{0,4}}"
LABELLED = re.compile(rf"^[ \t]*(?P<name>{PHRASE})[ \t]*[:=][ \t]*{VALUE}(?P<unit>{UNIT})$")
SPACED = re.compile(rf"^[ \t]*(?P<name>{PHRASE})[ \t]+{VALUE}(?P<unit>{UNIT})$")
INLINE = re.compile(rf"(?<![\w.])(?P<name>{NAME})[ \t]*[:=][ \t]*{VALUE}")
LOOSE = re.compile(rf"(?<![\w.])(?P<name>{NAME})[ \t]+{VALUE}")
NOT_FINITE = re.compile(rf"(?<![\w.]){NAME}[\"']?[ \t]*[:=][ \t]*[-+]?(?i:nan|inf(?:inity)?)\b")
MOST_LINES = 5000


@dataclass(frozen=True)
class Output:
    """What one run left: the end of its output, the files that it wrote (JSON ones with their text), facts of it.

    `printed` counts the bytes of all its output.
    """

    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    memory_bytes: int
    written: tuple[str, ...] = ()
    texts: Mapping[str, str] | None = None
    exit_code: int = 0
    printed: int = 0


@dataclass(frozen=True)
class Number:
    """A number that was found: its name, its last value, how task.toml reads it, and where it stood.

    `table` is the metric's table. `by_error`: it was printed to stderr, which the launcher must pass on as output.
    """

    name: str
    value: float
    table: Mapping[str, Any]
    said: str
    times: int = 1
    by_error: bool = False

    @property
    def worth(self) -> int:
        return worth(self.name)

    @property
    def goal(self) -> str | None:
        return goal(self.name)

    def __str__(self) -> str:
        often = f", the last of {self.times}" if self.times > 1 else ""
        return f"{self.name} = {self.value:g}   ({self.said}{often})"


def everything(output: Output) -> list[Number]:
    """All numbers with a name, the likeliest first; each was read back by the very reader that a run will use."""
    found: dict[str, Number] = {}
    for number in [*_of_text(output.stdout), *_of_files(output.texts or {})]:
        found.setdefault(number.name, number)
    for number in _of_text(output.stderr):
        if number.worth > 0 and number.name not in found:
            found[number.name] = Number(number.name, number.value, number.table, number.said, number.times, True)
    return sorted(found.values(), key=lambda number: -number.worth)


def not_finite(output: Output) -> str:
    """The last line that gives a name no finite number, as in `loss: nan`; empty where there is none."""
    lines = (line.strip() for line in reversed(output.stdout.splitlines()[-MOST_LINES:]))
    return next((line[:100] for line in lines if NOT_FINITE.search(line[:2000])), "")


def seconds(output: Output) -> Number:
    """The wall time of the run, which is measured outside of it."""
    return Number("seconds", output.seconds, {"read": "seconds"}, "the wall time of the command")


def named(name: str, output: Output) -> Number | None:
    """The number that a person means: by its exact name, in another spelling, by its last part, or the wall time."""
    found = everything(output)
    ways = (
        lambda other: other.name == name,
        lambda other: split(other.name) == split(name),
        lambda other: split(other.name)[-len(split(name)) :] == split(name),
    )
    for way in ways:
        hits = [number for number in found if way(number)]
        if hits:
            return hits[0]
    return seconds(output) if name.lower() in ("seconds", "wall", "walltime", "wall_seconds", "time") else None


def clear(found: Sequence[Number]) -> Number | None:
    """The number that is clearly the metric; None where there is none or several are as likely."""
    likely = [number for number in found if number.worth > 0] or [number for number in found if number.goal]
    if not likely:
        return found[0] if len(found) == 1 else None
    best = [number for number in likely if number.worth == likely[0].worth]
    return best[0] if len({number.value for number in best}) == 1 else None


def _of_text(text: str) -> list[Number]:
    """Numbers in the order of the last line that has each, the last line first."""
    lines = text.splitlines()[-MOST_LINES:]
    counts: dict[tuple[str, str], int] = {}
    first: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}
    for place in range(len(lines) - 1, -1, -1):
        for name, table in [*_of_line(lines[place]), *_of_table(lines, place)]:
            key = (name, str(table["read"]))
            counts[key] = counts.get(key, 0) + 1
            first.setdefault(key, (table, lines[place].strip()[:100]))
    found: dict[str, Number] = {}
    for (name, kind), (table, said) in first.items():
        reader = reader_of(name, table)
        value = read_metric(reader, stdout=text, folder=Path())
        if isinstance(value, float) and name not in found:
            found[name] = Number(name, value, table, f"line {said!r}", counts[name, kind])
    return list(found.values())


def _of_line(line: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if len(line) > 2000:
        return
    if line.lstrip().startswith("{"):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            for key, _ in _leaves(data):
                yield key, {"read": "json-line", "key": key}
            return
    if hit := LABELLED.match(line):
        label = hit["name"]
        if hit["unit"].strip():
            yield label, _regex(rf"^[ \t]*{_literal(label)}[ \t]*[:=][ \t]*{VALUE}")
        else:
            yield label, {"read": "line"} if re.fullmatch(r"\w+", label) else {"read": "line", "label": label}
        return
    if (hit := SPACED.match(line)) and (goal(hit["name"]) or not hit["unit"].strip()):
        yield hit["name"], _regex(rf"^[ \t]*{_literal(hit['name'])}[ \t]+{VALUE}")
    for hit in INLINE.finditer(line):
        before = line[: hit.start()].strip()
        name = f"{before} {hit['name']}" if re.fullmatch(PHRASE, before) else hit["name"]
        yield name, _regex(rf"(?<![\w.]){_literal(name)}[ \t]*[:=][ \t]*{VALUE}")
    for hit in LOOSE.finditer(line):
        if goal(hit["name"]):
            yield hit["name"], _regex(rf"(?<![\w.]){_literal(hit['name'])}[ \t]+{VALUE}")


def _of_table(lines: Sequence[str], place: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The columns of a row of numbers, where a header of as many names stands above it."""
    cells, separator = _cells(lines[place])
    if len(cells) < 2 or not any(re.fullmatch(VALUE, cell) for cell in cells):
        return
    if place + 1 < len(lines) and len(_cells(lines[place + 1])[0]) == len(cells):
        return  # not the last row
    for above in range(place - 1, max(place - 400, -1), -1):
        names, mark = _cells(lines[above])
        if set(lines[above].strip()) <= set("-=+|: "):
            continue
        if mark != separator or len(names) != len(cells):
            return
        if not any(re.fullmatch(VALUE, name) for name in names):
            break
    else:
        return
    for column, (name, cell) in enumerate(zip(names, cells, strict=True)):
        if re.fullmatch(VALUE, cell) and re.fullmatch(PHRASE, name):
            yield name, _regex(_row(separator, column, len(cells)))


def _cells(line: str) -> tuple[list[str], str]:
    line = line.strip()
    if "|" in line:
        return [cell.strip() for cell in line.strip("|").split("|")], "|"
    for mark in ("\t", ","):
        if mark in line:
            return [cell.strip() for cell in line.split(mark)], mark
    if re.search(r"\S {2,}\S", line):
        return re.split(r" {2,}", line), "  "
    return line.split(), "  "


def _row(separator: str, column: int, count: int) -> str:
    """A pattern for a row with `count` cells that gives the one in `column`; the last such row wins."""
    after = count - column - 1
    if separator == "  ":
        return rf"^[ \t]*(?:\S+[ \t]+){{{column}}}{VALUE}(?:[ \t]+\S+){{{after}}}[ \t]*$"
    mark = re.escape(separator)
    cell = rf"[^{mark}\n]*"
    edge = rf"(?:{mark})?" if separator == "|" else ""
    return rf"^[ ]*{edge}(?:{cell}{mark}){{{column}}}[ ]*{VALUE}[ ]*(?:{mark}{cell}){{{after}}}{edge}[ ]*$"


def _of_files(texts: Mapping[str, str]) -> Iterator[Number]:
    """Numbers of JSON files, and of files with a JSON object a line."""
    for path, text in texts.items():
        where = f"workdir/{path}"
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if data is not None:
            for key, value in _leaves(data):
                yield Number(key, value, {"read": "json", "file": where, "key": key}, f"{key} in {path}")
            continue
        seen: dict[str, float] = {}
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            seen |= dict(_leaves(row)) if isinstance(row, dict) else {}
        for key, value in seen.items():
            yield Number(key, value, {"read": "json-line", "key": key, "file": where}, f"{key} in a line of {path}")


def _leaves(data: Any, before: str = "", depth: int = 0) -> Iterator[tuple[str, float]]:
    if isinstance(data, dict) and depth < 6:
        for key, value in data.items():
            if isinstance(key, str) and key and "." not in key:
                yield from _leaves(value, f"{before}.{key}" if before else key, depth + 1)
    elif isinstance(data, int | float) and not isinstance(data, bool) and before and data == data:
        yield before, float(data)


def reader_of(name: str, table: Mapping[str, Any]) -> Reader:
    """What reads a metric in a run, for a table that does not read a file."""
    match table["read"]:
        case "line":
            return Line(str(table.get("label", name)))
        case "json-line":
            return JsonLine(str(table["key"]))
        case _:
            return Regex(str(table["pattern"]))


def read_back(number: Number, output: Output) -> float | None:
    """What a run with this output is read as; None where nothing can be read."""
    if number.table["read"] == "seconds":
        return output.seconds
    if "file" in number.table:
        path = str(number.table["file"]).removeprefix("workdir/")
        kind = JsonFile if number.table["read"] == "json" else None
        with tempfile.TemporaryDirectory(prefix="bilevel-") as folder:
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text((output.texts or {}).get(path, ""), "utf-8")
            key = str(number.table["key"])
            value = read_metric(kind(path, key) if kind else JsonLine(key, path), stdout="", folder=Path(folder))
    else:
        text = f"{output.stdout}\n{output.stderr}" if number.by_error else output.stdout
        value = read_metric(reader_of(number.name, number.table), stdout=text, folder=Path())
    return value if isinstance(value, float) else None


def _regex(pattern: str) -> dict[str, Any]:
    return {"read": "regex", "pattern": pattern}


def _literal(name: str) -> str:
    return re.sub(r"(\\ )+", "[ ]+", re.escape(name))
