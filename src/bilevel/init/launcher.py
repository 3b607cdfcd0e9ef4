"""Runs a command with the parameters of a trial: as options, as switches, or as values in the text of a file.

`bilevel init` copies this file into a task's harness/, with `launch.json` beside it; it uses the standard library only:

    options   {"lr": "--lr"}                           --lr=0.1 at the end of the command
    switches  {"fast": ["--fast", "--no-fast"]}        the first where it is true, the second (if any) where it is false
    configs   {"conf.yaml": {"optim.lr": ["optim", "lr"]}, "prog.c": {"BLOCK": ["BLOCK"]}}
    start     {"optim.lr": 0.1, "BLOCK": 16}           one that still has this value leaves the file as it is
    errors    true: what the command prints to stderr comes after what it prints to stdout

The values are those of params.json in the working copy, where the runner puts them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SCALAR = re.compile(r"""(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s#][^#\n]*?)(?P<rest>[ \t]*(?:#.*)?\r?)$""")
YAML_KEY = re.compile(
    r"""^(?P<indent> *)(?P<key>[A-Za-z_][\w.-]*|"[^"]+"|'[^']+')[ ]*:(?P<space>[ \t]*)(?P<more>.*)$"""
)
TOML_KEY = re.compile(r"""^[ \t]*(?P<key>[A-Za-z0-9_-]+|"[^"]+")[ \t]*=(?P<space>[ \t]*)(?P<more>.*)$""")


CODE = re.compile(
    r"^(?:[ \t]*\#[ \t]*define[ \t]+(?P<define>[A-Z][A-Z0-9_]*)[ \t]+(?P<number>[-+\w.]+)[ \t]*(?:/[/*].*)?"
    r"|(?:export |pub(?:\(crate\))? |static |inline )*(?:constexpr|const)\b[^=;\n]*?\b(?P<const>[A-Z][A-Z0-9_]*)\b"
    r"[^=;\n]*=[ \t]*(?P<value>[-+\w.]+)[ \t]*;.*)\r?$",
    re.MULTILINE,
)


class Leaf(NamedTuple):
    """A number or a truth value in a text: the keys that lead to it, and where it stands."""

    keys: tuple[str, ...]
    value: bool | int | float
    begin: int
    end: int


def leaves(path: str, text: str) -> list[Leaf]:
    """The numbers and truth values under keys of a YAML (block style), TOML or JSON text, without those in lists.

    Of source text of C, Rust and their like those of `#define NAME 16` and of constants at the start of a line.
    """
    if path.endswith((".yaml", ".yml")):
        found = list(_yaml(text))
    elif path.endswith(".toml"):
        found = list(_toml(text))
    elif path.endswith(".json"):
        found = _json(text)
    else:
        found = list(_code(text))
    return [leaf for leaf in found if sum(leaf.keys == other.keys for other in found) == 1]


def edited(path: str, text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """The text with other values at these keys, every other character as it was. Raises KeyError for keys not there."""
    places = {leaf.keys: leaf for leaf in leaves(path, text)}
    for keys in values:
        if keys not in places:
            raise KeyError(".".join(keys))
    for keys, value in sorted(values.items(), key=lambda pair: -places[pair[0]].begin):
        leaf = places[keys]
        if not (type(value) is type(leaf.value) and value == leaf.value):
            text = text[: leaf.begin] + json.dumps(value) + text[leaf.end :]
    return text


def number(text: str) -> bool | int | float | None:
    """A scalar as YAML, TOML and JSON agree on it; None for anything else."""
    if text in ("true", "True", "false", "False"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?(0|[1-9][0-9_]*)", text):
        return int(text)
    if re.fullmatch(r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return None


def _yaml(text: str) -> Iterator[Leaf]:
    above: list[tuple[int, str]] = []
    place = 0
    for line in text.splitlines(keepends=True):
        begin, place = place, place + len(line)
        hit = YAML_KEY.match(line.rstrip("\n"))
        if hit is None:
            if line.strip() and not line.lstrip().startswith(("#", "---")):
                indent = len(line) - len(line.lstrip())
                above = [*(pair for pair in above if pair[0] < indent), (indent, "\0")]  # a list, or text
            continue
        indent = len(hit["indent"])
        above = [pair for pair in above if pair[0] < indent]
        keys = (*(name for _, name in above), hit["key"].strip("\"'"))
        above.append((indent, keys[-1]))
        scalar = SCALAR.match(hit["more"]) if hit["space"] else None
        value = number(scalar["value"]) if scalar else None
        if scalar and value is not None and "\0" not in keys:
            yield Leaf(keys, value, begin + hit.start("more"), begin + hit.start("more") + len(scalar["value"]))


def _toml(text: str) -> Iterator[Leaf]:
    section: tuple[str, ...] | None = ()
    place = 0
    for line in text.splitlines(keepends=True):
        begin, place = place, place + len(line)
        if line.lstrip().startswith("["):
            head = re.match(r"[ \t]*\[([A-Za-z0-9_.-]+)\][ \t]*(#.*)?$", line.rstrip("\r\n"))
            section = tuple(head[1].split(".")) if head else None
            continue
        hit = TOML_KEY.match(line.rstrip("\n"))
        scalar = SCALAR.match(hit["more"]) if hit else None
        value = number(scalar["value"]) if scalar else None
        if hit and scalar and value is not None and section is not None:
            start = begin + hit.start("more")
            yield Leaf((*section, hit["key"].strip('"')), value, start, start + len(scalar["value"]))


def _code(text: str) -> Iterator[Leaf]:
    for hit in CODE.finditer(text):
        name, place = ("define", "number") if hit["define"] else ("const", "value")
        value = number(hit[place])
        if value is not None:
            yield Leaf((hit[name],), value, hit.start(place), hit.end(place))


def _json(text: str) -> list[Leaf]:
    """Read by hand, because json.loads does not say where a value stands."""
    try:
        json.loads(text)
    except ValueError:
        return []
    found: list[Leaf] = []
    stack: list[str | None] = []  # the key of each object that is open, empty for the outermost, None in a list
    key: str | None = None
    for hit in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', text):
        token = hit[0]
        if token in "{[":
            stack.append((key if stack else "") if token == "{" else None)
            key = None if token == "[" else key
        elif token in "}]":
            stack.pop()
        elif token.startswith('"'):
            key = json.loads(token) if re.match(r"\s*:", text[hit.end() :]) else key
        elif token not in ":," and key is not None:
            keys = (*stack[1:], key)
            value = number(token)
            if value is not None and None not in stack and _in_object(text, hit.start()):
                found.append(Leaf(tuple(str(part) for part in keys), value, hit.start(), hit.end()))
    return found


def _in_object(text: str, place: int) -> bool:
    """Whether what stands here follows a key."""
    return text[:place].rstrip().endswith(":")


def main(arguments: Sequence[str]) -> int:
    """Run the command that follows; returns its exit code."""
    orders = json.loads(Path(__file__).with_name("launch.json").read_text("utf-8"))
    params = {}
    if Path("params.json").is_file():
        params = json.loads(Path("params.json").read_text("utf-8"))
    for path, wanted in orders.get("configs", {}).items():
        start = orders.get("start", {})
        moved = [name for name in wanted if name in params and params[name] != start.get(name)]
        values = {tuple(wanted[name]): params[name] for name in moved}
        if not values:
            continue
        try:
            text = Path(path).read_bytes().decode("utf-8")
            Path(path).write_bytes(edited(path, text, values).encode("utf-8"))
        except KeyError as error:
            print(f"{path} no longer has the parameter {error} with a number", file=sys.stderr)
            return 1
    command = list(arguments)
    for name, option in orders.get("options", {}).items():
        command += [f"{option}={params[name]}"] if name in params else []
    for name, (yes, no) in orders.get("switches", {}).items():
        command += [word for word in [yes if params.get(name) else no] if word]
    done = subprocess.run(command, stderr=subprocess.PIPE if orders.get("errors") else None, check=False)
    if orders.get("errors"):
        sys.stdout.write(done.stderr.decode("utf-8", "replace"))
        sys.stdout.flush()
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
