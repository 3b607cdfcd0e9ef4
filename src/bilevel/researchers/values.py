"""Parameter values as a model writes them: numbers in text, arithmetic, lists for tuples. Nothing is ever run."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import cast

from bilevel.space import Bool, Choice, Derived, Domain, Float, Int, Value, same_value

MOST_CHARACTERS = 200  # of an expression
_MOST_BITS = 4096  # of a whole number
_OPERATIONS: Mapping[type[ast.operator], Callable[[int | float, int | float], int | float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def value_for(domain: Domain, raw: object) -> Value:
    """A value of the domain's type from what a model wrote: 1 for 1.0, "2**19", "1e-3", a list for a tuple.

    Whether it lies within the domain's bounds is not checked. Raises ValueError with what is needed instead.
    """
    match domain:
        case Derived():
            raise ValueError("is computed by the program and cannot be set")
        case Bool():
            return _truth(raw)
        case Choice(options=options):
            return _option(options, raw)
        case Float():
            return float(_number(raw))
        case Int():
            number = _number(raw)
            if isinstance(number, float) and not number.is_integer():
                raise ValueError(f"needs a whole number, not {raw!r}")
            return int(number)


def number_in(text: str) -> int | float:
    """The finite number that a text writes, also as arithmetic on constants. Raises ValueError."""
    expression = _expression(text)
    try:
        value = literal(expression)
    except ValueError as error:
        raise ValueError(f"needs a number, not {text!r}: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"needs a number, not {text[:80]!r}")
    return value


def literal(node: ast.expr) -> Value:
    """The value of a literal: number, text, truth value, arithmetic on numbers, tuple or list. Raises ValueError."""
    match node:
        case ast.Constant(value=bool() | str() as value):
            return value
        case ast.Constant(value=int() | float() as value):
            return _sane(value)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(cast(tuple[bool | int | float | str, ...], tuple(map(literal, elements))))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_operand(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _operand(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _operate(op, _operand(left), _operand(right))
    raise ValueError("only constants and arithmetic on numbers are read")


def _expression(text: str) -> ast.expr:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"needs a short value, not {text[:60]!r}...")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"needs a value, not {text!r}") from None


def _operand(node: ast.expr) -> int | float:
    value = literal(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("arithmetic is for numbers only")
    return value


def _operate(op: ast.operator, left: int | float, right: int | float) -> int | float:
    try:
        if type(op) in _OPERATIONS:
            return _sane(_OPERATIONS[type(op)](left, right))
        if isinstance(op, ast.Pow):
            if isinstance(left, int) and isinstance(right, int) and abs(right) * left.bit_length() > _MOST_BITS:
                raise ValueError("the number is too large")
            return _sane(left**right)
    except ArithmeticError as error:
        raise ValueError(f"the arithmetic fails: {error}") from None
    raise ValueError("of arithmetic, only + - * / // % ** are read")


def _sane(number: object) -> int | float:
    if not isinstance(number, int | float):
        raise ValueError("the number is not real")
    if isinstance(number, int) and number.bit_length() > _MOST_BITS:
        raise ValueError("the number is too large")
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"needs a finite number, not {number!r}")
    return number


def _number(raw: object) -> int | float:
    if isinstance(raw, str):
        return number_in(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(f"needs a number, not {raw!r}")
    return _sane(raw)


def _truth(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    known = {"true": True, "1": True, "false": False, "0": False}
    text = str(raw).strip().lower() if isinstance(raw, str | int) else ""
    if text not in known:
        raise ValueError(f"needs true or false, not {raw!r}")
    return known[text]


def _option(options: tuple[Value, ...], raw: object) -> Value:
    """The option that is meant: the same value, else one that only differs in how it is written."""
    value = _tupled(raw)
    for option in options:
        if same_value(option, value):
            return option
    read = value
    if isinstance(value, str):
        try:
            read = literal(_expression(value))
        except ValueError:
            read = value.strip()
    alike = [option for option in options if _alike(option, value) or _alike(option, read)]
    if len(alike) == 1:
        return alike[0]
    raise ValueError(f"{raw!r} is not one of the options")


def _tupled(raw: object) -> Value:
    if isinstance(raw, list | tuple):
        return tuple(cast(tuple[bool | int | float | str, ...], tuple(map(_tupled, raw))))
    if isinstance(raw, bool | int | float | str):
        return raw
    raise ValueError(f"needs a value, not {raw!r}")


def _alike(option: Value, value: Value) -> bool:
    if isinstance(option, tuple) and isinstance(value, tuple):
        return len(option) == len(value) and all(map(_alike, option, value))
    return isinstance(option, bool) is isinstance(value, bool) and option == value
