"""Mechanisms that installed Python packages bring, by entry points of the group `bilevel.mechanisms`.

    [project.entry-points."bilevel.mechanisms"]
    theirs = "their_package.theirs"           # a module: its source file is the mechanism
    others = "their_package.texts:OTHERS"     # a constant of a module: its text is the mechanism

Nothing of a package is imported or run: the file is read, and a constant is read from the file's text. So it must be
one literal string. A package is found by its files; an editable installation by the folders on `sys.path`.
"""

import ast
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from bilevel.errors import InputError
from bilevel.shelf.found import Found, read
from bilevel.shelf.record import Record, parsed, text_of

GROUP = "bilevel.mechanisms"


def brought() -> list[Found]:
    """What the installed packages bring, by name; those that cannot be read too, with the reason."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _by(point)))
    return [_found(point) for point in points]


def _found(point: EntryPoint) -> Found:
    by = _by(point)
    place = f"{point.value} of {by} {point.dist.version if point.dist else ''}".rstrip()
    try:
        path = _module_file(point)
        text = text_of(path)
        source = _constant(text, point) if point.attr else text
        problem = read(source).problem
    except InputError as error:
        return Found(point.name, "package", "", place, by, problem=str(error))
    if problem:
        return Found(point.name, "package", source, place, by, problem=problem)
    try:
        return Found(point.name, "package", source, place, by, record=_record(path, point))
    except InputError as error:
        return Found(point.name, "package", source, place, by, note=str(error))


def _by(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _module_file(point: EntryPoint) -> Path:
    """The file of the module that an entry point names, found without importing the packages above it."""
    parts = point.module.split(".") if point.pattern.match(point.value) else []
    if not parts or not all(part.isidentifier() for part in parts) or point.extras:
        raise InputError(f"entry point {point.value!r} cannot be read; write MODULE or MODULE:CONSTANT")
    roots = [Path(str(point.dist.locate_file("")))] if point.dist is not None else []
    roots += [Path(entry) for entry in sys.path if entry]
    for root in roots:
        for path in (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts, "__init__.py")):
            if path.is_file():
                return path
    raise InputError(f"the source file of module {point.module!r} is not found, and nothing is imported to find it")


def _constant(text: str, point: EntryPoint) -> str:
    """The text that a module assigns to a name at its top, once, as a literal."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"module {point.module!r} does not parse: {error}") from None
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and any(isinstance(t, ast.Name) and t.id == point.attr for t in _targets(node))
    ]
    value = values[0] if len(values) == 1 else None
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        raise InputError(f"{point.module}.{point.attr} must be assigned once, at the top, as one literal string")
    return value.value


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _record(path: Path, point: EntryPoint) -> Record | None:
    """NAME.toml in the module's folder."""
    beside = path.with_name(f"{point.name if point.attr else path.stem}.toml")
    return parsed(text_of(beside), beside.name) if beside.is_file() else None
