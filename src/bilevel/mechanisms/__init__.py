"""The library of mechanisms: one file and one class each, read as source text and put in force like any other.

- `library()["tabu"]`: what there is: title, domain, needs, hooks, parameters, source text
- `source("tabu", tenure=12)`: the text with class attributes rewritten
"""

import ast
import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bilevel.errors import InputError
from bilevel.mechanism import HOOKS

TIMES, LEAST = 10, 100  # how large a number may be in a parameter of what runs as shipped
MOST_VALUES = 64  # of a tuple there


@dataclass(frozen=True)
class Entry:
    """A mechanism of the library. `parameters` are the class attributes that `source` can rewrite, with defaults."""

    name: str
    title: str
    domain: str
    needs: frozenset[str]
    hooks: tuple[str, ...]
    parameters: Mapping[str, Any]
    source: str


@functools.cache
def library() -> Mapping[str, Entry]:
    """Every mechanism that is shipped, by name, in alphabetical order. Nothing is imported or run."""
    folder = importlib.resources.files(__name__)
    names = sorted(item.name.removesuffix(".py") for item in folder.iterdir() if item.name.endswith(".py"))
    texts = {name: folder.joinpath(f"{name}.py").read_text("utf-8") for name in names if not name.startswith("_")}
    return MappingProxyType({name: _entry(name, text) for name, text in texts.items()})


def source(name: str, **parameters: Any) -> str:
    """A mechanism's source text with some of its class attributes set to other literal values.

    Raises InputError for a mechanism or a parameter that does not exist, or a value of another kind than the default.
    """
    try:
        entry = library()[name]
    except KeyError:
        raise InputError(f"there is no mechanism {name!r}; the library has: {', '.join(library())}") from None
    return rewrite(entry.source, parameters, name)


@functools.lru_cache(maxsize=256)
def is_shipped(text: str) -> bool:
    """Whether a source text is that of a mechanism of the library, but for the values of its parameters.

    Values have the default's kind and are not far above it, so that what is shipped stays as harmless as it was tested.
    """
    try:
        kind = _parsed(text)
        given = {key: ast.literal_eval(node) for key, node in _attributes(kind).items()}
        entry = next(entry for entry in library().values() if _parsed(entry.source).name == kind.name)
        other = {key: value for key, value in given.items() if repr(value) != repr(entry.parameters.get(key))}
        near = all(_is_near(value, entry.parameters.get(key)) for key, value in other.items())
        return near and rewrite(entry.source, other, entry.name) == text
    except (SyntaxError, ValueError, StopIteration, InputError):
        return False


def _is_near(value: Any, default: Any) -> bool:
    """Whether a parameter's value is at most TIMES the default, or LEAST, whichever is more."""
    if isinstance(value, tuple):
        return len(value) <= MOST_VALUES and all(_is_near(item, max(default, default=0, key=_size)) for item in value)
    return _size(value) <= max(LEAST, TIMES * _size(default))


def _size(value: Any) -> float:
    return abs(value) if isinstance(value, int | float) else 0.0


def rewrite(text: str, parameters: Mapping[str, Any], name: str = "") -> str:
    """A source text with class attributes set to other literals, every other character as it was."""
    assigned = _attributes(_parsed(text))
    lines = text.splitlines(keepends=True)
    places = []
    for parameter, value in parameters.items():
        if parameter not in assigned:
            known = ", ".join(assigned) or "none"
            raise InputError(f"mechanism {name!r} has no parameter {parameter!r}; its parameters are: {known}")
        _check_kind(name, parameter, ast.literal_eval(assigned[parameter]), value)
        places.append((assigned[parameter], repr(value)))
    for node, new in sorted(places, key=lambda place: -place[0].lineno):
        if node.end_lineno is None or node.end_col_offset is None:  # the parser always sets them
            continue
        first, last = node.lineno - 1, node.end_lineno - 1
        before = lines[first].encode()[: node.col_offset].decode()
        after = lines[last].encode()[node.end_col_offset :].decode()
        lines[first : last + 1] = [before + new + after]
    return "".join(lines)


def _entry(name: str, text: str) -> Entry:
    tree = ast.parse(text)
    kind = _class(tree)
    functions = {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}
    doc = ast.get_docstring(tree) or ""
    return Entry(
        name=name,
        title=doc.splitlines()[0] if doc else name,
        domain=_domain(kind),
        needs=_needs(kind),
        hooks=tuple(hook for hook in HOOKS if hook in functions),
        parameters=MappingProxyType({key: ast.literal_eval(node) for key, node in _attributes(kind).items()}),
        source=text,
    )


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> ast.ClassDef:
    """The mechanism's class in a source text; the tree is shared, so it is only read."""
    return _class(ast.parse(text))


def _class(tree: ast.Module) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and _is_mechanism(node))


def _is_mechanism(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "Mechanism" for base in node.bases)


def _attributes(kind: ast.ClassDef) -> dict[str, ast.expr]:
    """The class attributes with literal values, but for `domain`."""
    return {name: value for name, value in _assignments(kind).items() if name != "domain" and _is_literal(value)}


def _assignments(kind: ast.ClassDef) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for node in kind.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            found[target.id] = value
    return found


def _domain(kind: ast.ClassDef) -> str:
    value = _assignments(kind).get("domain")
    return str(value.value) if isinstance(value, ast.Constant) else ""


def _needs(kind: ast.ClassDef) -> frozenset[str]:
    value = _assignments(kind).get("needs")
    return frozenset(ast.literal_eval(value.args[0])) if isinstance(value, ast.Call) and value.args else frozenset()


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _check_kind(name: str, parameter: str, old: Any, new: Any) -> None:
    numbers = isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool)
    if type(old) is not type(new) and not numbers:
        expected = type(old).__name__
        raise InputError(f"parameter {parameter!r} of mechanism {name!r} is {expected}, so {new!r} does not fit")
    if repr(new) in ("nan", "inf", "-inf"):
        raise InputError(f"parameter {parameter!r} of mechanism {name!r} needs a finite number, not {new!r}")
