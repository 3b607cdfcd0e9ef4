"""Parameters that stand as constants in a file that may be edited too.

A candidate holds parameters and text apart, and the parameters win: they are written into the text last. So a model is
shown the text with the values that will be in force, and a constant that it edits in the text becomes a change of that
parameter.
"""

import ast
import functools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bilevel.researchers.values import literal
from bilevel.space import Space, Value, same_value


@dataclass(frozen=True)
class Taken:
    """A text with its constants as they were, and the values that had been written into it."""

    text: str
    changes: Mapping[str, Value]


def shown(files: Mapping[str, str], params: Mapping[str, Value]) -> dict[str, str]:
    """Files with the parameters that are constants in them written as they are now."""
    places = _places(files, params)
    return {path: _written(text, places[path], params) for path, text in files.items()}


def taken(path: str, edited: str, files: Mapping[str, str], params: Mapping[str, Value], space: Space) -> Taken:
    """An edited version of what `shown` gave for a file, with constants and code told apart.

    Raises ValueError where the text is no Python any more, or a constant is not assigned a literal at the top level,
    once. A constant that is locked may be removed, but not changed.
    """
    before = _places(files, params)[path]
    if not path.endswith(".py"):
        return Taken(edited, {})
    problem = syntax_problem(edited)
    if problem is not None:
        raise ValueError(f"{path} would not be valid Python: {problem}")
    after = _constants(edited)
    changes: dict[str, Value] = {}
    for name in before:
        locked = space.domains[name].locked
        if name not in after and not locked:
            raise ValueError(f"{path} must go on assigning {name} a literal at its top level, once")
        if name in after and not _equal(after[name].value, params[name]):
            if locked:
                raise ValueError(f"{name} is locked by the task and stays {params[name]!r}, also in {path}")
            changes[name] = after[name].value
    originals = {name: before[name].source for name in before if name in after}
    return Taken(_spliced(edited, {name: (after[name], text) for name, text in originals.items()}), changes)


def syntax_problem(text: str) -> str | None:
    """Why a text is no Python, with the line; None if it is."""
    try:
        ast.parse(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        there = f": {error.text.strip()[:100]!r}" if error.text and error.text.strip() else ""
        return f"line {error.lineno}: {error.msg}{there}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"it cannot be parsed: {str(error) or type(error).__name__}"
    return None


@dataclass(frozen=True)
class _Constant:
    value: Value
    source: str
    start: int  # in bytes
    end: int


def _places(files: Mapping[str, str], params: Mapping[str, Value]) -> dict[str, dict[str, _Constant]]:
    """Each file's constants that are parameters; a name that two files assign is taken for none of them."""
    found = {path: _constants(text) if path.endswith(".py") else {} for path, text in files.items()}
    counts = Counter(name for constants in found.values() for name in constants)
    return {
        path: {name: constant for name, constant in constants.items() if name in params and counts[name] == 1}
        for path, constants in found.items()
    }


@functools.lru_cache(maxsize=64)
def _constants(text: str) -> Mapping[str, _Constant]:
    """The names that are assigned once, at the top level, and to a literal."""
    if text.startswith("\ufeff"):
        return {}
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    data = text.encode("utf-8", "surrogatepass")
    starts = [0, *(line.end() for line in re.finditer(rb"\r\n|\r|\n", data))]
    found: dict[str, _Constant] = {}
    bound = Counter(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=node):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node):
                pass
            case _:
                continue
        if bound[name] > 1:
            continue
        try:
            value = literal(node)
        except (ValueError, RecursionError):
            continue
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        found[name] = _Constant(value, data[start:end].decode("utf-8", "surrogatepass"), start, end)
    return found


def _written(text: str, constants: Mapping[str, _Constant], params: Mapping[str, Value]) -> str:
    stale = {name: there for name, there in constants.items() if not _equal(there.value, params[name])}
    return _spliced(text, {name: (there, _source(params[name], there.source)) for name, there in stale.items()})


def _source(value: Value, old: str) -> str:
    """The literal of a value, in the brackets or quotes of the old one."""
    text = repr(value)
    if isinstance(value, str) and old.startswith('"') and text == f"'{value}'" and '"' not in value:
        return f'"{value}"'
    return f"[{text[1:-1].rstrip(',')}]" if isinstance(value, tuple) and old.startswith("[") else text


def _spliced(text: str, parts: Mapping[str, tuple[_Constant, str]]) -> str:
    data = text.encode("utf-8", "surrogatepass")
    for there, source in sorted(parts.values(), key=lambda part: -part[0].start):
        data = data[: there.start] + source.encode("utf-8", "surrogatepass") + data[there.end :]
    return data.decode("utf-8", "surrogatepass")


def _equal(a: Value, b: Value) -> bool:
    """Equal as numbers, whatever their type; else equal in type too."""
    if isinstance(a, int | float) and isinstance(b, int | float) and isinstance(a, bool) is isinstance(b, bool):
        return a == b
    return same_value(a, b)
