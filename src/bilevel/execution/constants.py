"""The UPPER_CASE constants of Python source: read as typed values, written back in place.

A constant is a name in capitals that is bound exactly once, at the top level, to a literal: a number, a string, a
boolean, a tuple or list of those, or arithmetic on numbers (`2**19`). Nothing of the source is executed.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, Union

from bilevel.errors import HarnessError, InputError

Value: TypeAlias = Union[bool, int, float, str, tuple["Value", ...]]  # noqa: UP007 (it names itself)

_NAME = re.compile(r"_?[A-Z][A-Z0-9_]*\Z")
_MARK = "\ufeff"  # a byte order mark, which some editors put first
_MAX_BITS = 4096  # of an integer
_MAX_DEPTH = 50  # of an expression
_OPERATIONS: dict[type[ast.operator], Callable[[int | float, int | float], int | float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def read(source: str, *, where: str = "the source") -> dict[str, Value]:
    """The constants by name, in the order of the source; a list is read as a tuple.

    Names bound to anything else (or to an expression over 50 levels deep) are left out, and so are those of
    `problems`. Raises InputError with the line for source that Python cannot parse (`where` names it in the message).
    """
    return {name: value for name, (_, value) in _constants(_parse(source, where)).items()}


def problems(source: str, *, where: str = "the source") -> dict[str, str]:
    """Names bound at the top level to a literal, but not only there, with the reason why they are no constants."""
    tree = _parse(source, where)
    lines = _bindings(tree)
    return {
        name: f"bound on lines {', '.join(map(str, lines[name]))} of {where}; a constant is bound once"
        for name, _, _ in _literals(tree)
        if len(lines[name]) > 1
    }


def write(source: str, values: Mapping[str, Value], *, where: str = "the source") -> str:
    """The source with these constants set, and every other byte as it was.

    A value equal in value and type keeps its text (`2**19` stays); another is written as a literal, in list
    brackets where the source has a list; comments inside a replaced value are lost. Raises InputError for a name
    that `read` does not give and for a value that is not int (up to 4096 bits), finite float, bool, str or a tuple
    of those (subclasses, such as numpy's, are refused). The result is parsed again and reads back to exactly `values`.
    """
    if source.startswith(_MARK):
        return _MARK + write(source.removeprefix(_MARK), values, where=where)
    constants = _constants(_parse(source, where))
    data = source.encode("utf-8")
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]
    edits: list[tuple[int, int, bytes]] = []
    for name, value in values.items():
        if name not in constants:
            why = problems(source, where=where).get(name, f"{where} has no such constant")
            raise InputError(f"cannot set {name!r}: {why}")
        _check(name, value)
        node, old = constants[name]
        if not _same(old, value):
            end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
            begin = starts[node.lineno - 1] + node.col_offset
            edits.append((begin, starts[end_line - 1] + end_column, _text(value, node).encode("utf-8")))
    for begin, end, text in sorted(edits, reverse=True):
        data = data[:begin] + text + data[end:]
    result = data.decode("utf-8")
    expected = {name: value for name, (_, value) in constants.items()} | dict(values)
    if edits and not _same(tuple(expected.items()), tuple(read(result, where=where).items())):
        raise HarnessError(f"writing {', '.join(map(repr, values))} into {where} did not read back; this is a bug")
    return result


def _parse(source: str, where: str) -> ast.Module:
    try:
        source.encode("utf-8")
        return ast.parse(source.removeprefix(_MARK))
    except SyntaxError as error:
        raise InputError(f"{where}, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{where} cannot be parsed as Python: {error or type(error).__name__}") from error


def _constants(tree: ast.Module) -> dict[str, tuple[ast.expr, Value]]:
    lines = _bindings(tree)
    return {name: (node, value) for name, node, value in _literals(tree) if len(lines[name]) == 1}


def _literals(tree: ast.Module) -> Iterator[tuple[str, ast.expr, Value]]:
    """Each top-level `NAME = literal`, with or without an annotation."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=node):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node):
                pass
            case _:
                continue
        if _NAME.match(name):
            value = _value(node)
            if value is not None:
                yield name, node, value


def _bindings(tree: ast.Module) -> dict[str, list[int]]:
    """The lines that bind each module-level name, in any way: also under `if`, by `del`, or as `global`."""
    lines: dict[str, list[int]] = {}
    todo: list[tuple[ast.AST, frozenset[str] | None]] = [(tree, None)]  # a node, and in a function its `global` names
    while todo:
        node, declared = todo.pop()
        if isinstance(node, ast.AnnAssign) and node.value is None:
            continue  # only declares a type
        for name in _bound(node):
            if declared is None or name in declared:
                lines.setdefault(name, []).append(getattr(node, "lineno", 0))
        inner = declared
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            inner = frozenset(name for part in ast.walk(node) if isinstance(part, ast.Global) for name in part.names)
        todo += [(child, inner) for child in ast.iter_child_nodes(node)]
    return {name: sorted(found) for name, found in lines.items()}


def _bound(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name.partition(".")[0] for alias in aliases]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
        case _:
            return []


def _value(node: ast.expr) -> Value | None:
    """The value of a literal expression; None if it is not one, or not a value that could be written."""
    level: list[ast.AST] = [node]
    for _ in range(_MAX_DEPTH):
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
    if level:  # so deep that reading it could depend on the caller's stack
        return None
    try:
        value = _fold(node)
        _check("it", value)
    except (InputError, TypeError, ArithmeticError, ValueError):
        return None
    return value


def _fold(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(map(_fold, elements))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return +_number(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _operate(op, _number(left), _number(right))
        case _:
            raise TypeError("not a literal")


def _number(node: ast.expr) -> int | float:
    value = _fold(node)
    if type(value) is int or type(value) is float:
        _check("it", value)
        return value
    raise TypeError("arithmetic on numbers only")


def _operate(op: ast.operator, left: int | float, right: int | float) -> int | float:
    if type(op) in _OPERATIONS:
        return _OPERATIONS[type(op)](left, right)
    if isinstance(op, ast.LShift) and type(left) is int and type(right) is int and 0 <= right <= _MAX_BITS:
        return left << right
    if isinstance(op, ast.Pow):
        if type(left) is int and type(right) is int and abs(right) * left.bit_length() > 2 * _MAX_BITS:
            raise OverflowError("a number too large")
        power = left**right
        if type(power) is int or type(power) is float:  # not complex
            return power
    raise TypeError("not arithmetic that is read")


def _check(name: str, value: object) -> None:
    if type(value) is tuple:
        for element in value:
            _check(name, element)
    elif type(value) is int:
        if value.bit_length() > _MAX_BITS:
            raise InputError(f"the integer for {name!r} has {value.bit_length()} bits; at most {_MAX_BITS} are taken")
    elif type(value) is float:
        if not math.isfinite(value):
            raise InputError(f"the value for {name!r} must be finite, not {value!r}")
    elif type(value) is not bool and type(value) is not str:
        raise InputError(f"the value for {name!r} must be int, float, bool, str or a tuple of those, not {value!r}")


def _same(one: object, other: object) -> bool:
    """Equal in value and type at every depth; 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    return type(one) is type(other) and repr(one) == repr(other)


def _text(value: Value, node: ast.expr | None) -> str:
    """A literal for a value; a tuple takes list brackets where `node`, the value it replaces, is a list."""
    if not isinstance(value, tuple):
        return repr(value)
    old = node.elts if isinstance(node, ast.Tuple | ast.List) else []
    texts = [_text(element, old[min(place, len(old) - 1)] if old else None) for place, element in enumerate(value)]
    if isinstance(node, ast.List):
        return f"[{', '.join(texts)}]"
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"
