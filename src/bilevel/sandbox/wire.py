"""Values of the ports as JSON data and back, exactly, between a loop and a guest in another process.

`Wire.pack(kind)` and `Wire.unpack(kind)` give functions made once per type from its type hints. Dataclasses are lists
of their fields in order, so that a message is short. In untyped places a tuple is {"()": [...]}, a mapping
{"{}": {...}}, and a number that is not finite {"~": "nan"}. Nothing is ever pickled, and `unpack` believes nothing: it
gives a value of exactly the type asked for, or raises WireError with what came instead. Which candidate a message means
is told by whoever makes the wire.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from bilevel.errors import BilevelError, GuestError
from bilevel.space import Candidate, Domain, Value

Coder: TypeAlias = Callable[[Any], Any]
MOST_DEPTH = 100  # of values within values
MOST_BITS = 14_000  # of a whole number; a little less than what Python reads and writes as text
_SMALL = 2**63
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class WireError(GuestError):
    """A value has no form on the wire, or what came over it is not what it must be."""


class Wire:
    """The functions for both directions. `candidate_out` and `candidate_in` are used wherever a Candidate stands."""

    def __init__(self, candidate_out: Coder, candidate_in: Coder) -> None:
        self._packers: dict[Any, Coder] = {Candidate: candidate_out}
        self._unpackers: dict[Any, Coder] = {Candidate: candidate_in}

    def pack(self, kind: Any) -> Coder:
        """A function from values of type `kind` to JSON-ready data. It raises WireError for what has no such form."""
        if kind not in self._packers:
            self._packers[kind] = self._packer(kind)
        return self._packers[kind]

    def unpack(self, kind: Any) -> Coder:
        """A function from JSON data to values of type `kind`. It raises WireError for everything else."""
        if kind not in self._unpackers:
            self._unpackers[kind] = self._unpacker(kind)
        return self._unpackers[kind]

    def _packer(self, kind: Any) -> Coder:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Domain:
            return _union_packer({one: self.pack(one) for one in arguments})
        if kind in (Any, Value) or kind in _SCALARS or origin is typing.Literal:
            return packed
        if origin in (typing.Union, types.UnionType):
            inner = self.pack(_optional(kind))
            return lambda value: None if value is None else inner(value)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _enum_packer(kind)
        if origin is tuple:
            return _tuple_packer(self.pack(arguments[0]))
        if origin is Mapping:
            return _mapping_packer(self.pack(arguments[1]))
        return _dataclass_packer(kind, [(name, self.pack(hint)) for name, hint in _fields(kind)])

    def _unpacker(self, kind: Any) -> Coder:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Domain:
            return _union_unpacker({one.__name__: self.unpack(one) for one in arguments})
        if kind in (Any, Value):
            return unpacked
        if kind in _SCALARS:
            return _SCALARS[kind]
        if origin is typing.Literal:
            return _one_of({text: text for text in arguments})
        if origin in (typing.Union, types.UnionType):
            inner = self.unpack(_optional(kind))
            return lambda data: None if data is None else inner(data)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _one_of({member.value: member for member in kind})
        if origin is tuple:
            return _tuple_unpacker(self.unpack(arguments[0]))
        if origin is Mapping:
            return _mapping_unpacker(self.unpack(arguments[1]))
        return _dataclass_unpacker(kind, [(name, self.unpack(hint)) for name, hint in _fields(kind)])


# ---- untyped values ----


def packed(value: Any, depth: int = 0) -> Any:
    """A value that may be stored, as JSON-ready data. Numbers of numpy become Python's."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if -_SMALL < value < _SMALL or value.bit_length() <= MOST_BITS:
            return value
        raise WireError(f"a whole number of {value.bit_length():,} bits is too long to be stored")
    if kind is float:
        return value if math.isfinite(value) else {"~": repr(value)}
    if depth > MOST_DEPTH:
        raise WireError(f"a value is nested more than {MOST_DEPTH} deep and cannot be stored")
    if kind is tuple:
        return {"()": [packed(item, depth + 1) for item in value]}
    if isinstance(value, list):
        return [packed(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {"{}": {_key(key): packed(item, depth + 1) for key, item in value.items()}}
    return packed(_python(value), depth + 1)


def _python(value: Any) -> Any:
    """The plain Python value that another kind of number, text or tuple stands for."""
    if isinstance(value, Enum):
        return value.value
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    kinds: tuple[Any, ...] = (str, int, float, tuple)
    for kind in kinds:
        if isinstance(value, kind):
            return kind(value)
    raise WireError(
        f"a value of type {_named(value)} cannot be stored; numbers, texts, flags, None, tuples, lists and dicts can"
    )


def unpacked(data: Any, depth: int = 0) -> Any:
    """The value that `packed` turned into `data`; mappings come back read-only."""
    kind = type(data)
    if kind is list:
        _not_too_deep(depth)
        return [unpacked(item, depth + 1) for item in data]
    if kind is not dict:
        return data if kind is not float or math.isfinite(data) else _wrong("a value", data)
    _not_too_deep(depth)
    if len(data) == 1:
        ((tag, inner),) = data.items()
        if tag == "()" and type(inner) is list:
            return tuple([unpacked(item, depth + 1) for item in inner])
        if tag == "{}" and type(inner) is dict:
            return MappingProxyType({key: unpacked(item, depth + 1) for key, item in inner.items()})
        if tag == "~" and type(inner) is str and inner in _NOT_FINITE:
            return _NOT_FINITE[inner]
    return _wrong("a value", data)


def _not_too_deep(depth: int) -> None:
    if depth > MOST_DEPTH:
        raise WireError(f"a value is nested more than {MOST_DEPTH} deep")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    raise WireError(f"a mapping to be stored needs texts as keys, not {_shown(key)}")


# ---- scalars ----


def _text(data: Any) -> str:
    return data if type(data) is str else _wrong("a text", data)


def _flag(data: Any) -> bool:
    return data if type(data) is bool else _wrong("True or False", data)


def _whole(data: Any) -> int:
    return data if type(data) is int else _wrong("a whole number", data)


def _number(data: Any) -> Any:
    if type(data) is int or (type(data) is float and math.isfinite(data)):
        return data
    if type(data) is dict and list(data) == ["~"] and type(data["~"]) is str and data["~"] in _NOT_FINITE:
        return _NOT_FINITE[data["~"]]
    return _wrong("a number", data)


_SCALARS: dict[Any, Coder] = {str: _text, bool: _flag, int: _whole, float: _number}


def _one_of(known: Mapping[Any, Any]) -> Coder:
    def unpack(data: Any) -> Any:
        if type(data) is str and data in known:
            return known[data]
        return _wrong(f"one of {', '.join(map(repr, known))}", data)

    return unpack


# ---- what holds others ----


def _optional(kind: Any) -> Any:
    """The other type of a union with None; there are no others in the ports."""
    (other,) = [argument for argument in typing.get_args(kind) if argument is not type(None)]
    return other


def _fields(kind: Any) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    return [(field.name, hints[field.name]) for field in dataclasses.fields(kind) if field.init]


def _dataclass_packer(kind: Any, fields: list[tuple[str, Coder]]) -> Coder:
    def pack(value: Any) -> Any:
        if not isinstance(value, kind):
            raise WireError(f"a {kind.__name__} is needed here, not {_shown(value)}")
        return [one(getattr(value, name)) for name, one in fields]

    return pack


def _dataclass_unpacker(kind: Any, fields: list[tuple[str, Coder]]) -> Coder:
    names = [name for name, _ in fields]
    coders = [coder for _, coder in fields]

    def unpack(data: Any) -> Any:
        if type(data) is not list or len(data) != len(coders):
            return _wrong(f"a {kind.__name__}", data)
        try:
            values = [coder(item) for coder, item in zip(coders, data, strict=True)]
        except WireError:
            _name_the_field(kind, zip(names, coders, data, strict=True))
            raise
        try:
            return kind(*values)
        except (BilevelError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise WireError(f"a {kind.__name__} cannot be made: {error}") from None

    return unpack


def _name_the_field(kind: Any, fields: Iterable[tuple[str, Coder, Any]]) -> None:
    """Raise again what is wrong with a dataclass, with the field's name."""
    for name, coder, item in fields:
        try:
            coder(item)
        except WireError as error:
            raise WireError(f"{kind.__name__}.{name}: {error}") from None


def _union_packer(packers: Mapping[Any, Coder]) -> Coder:
    def pack(value: Any) -> Any:
        for kind, inner in packers.items():
            if isinstance(value, kind):
                return [kind.__name__, *inner(value)]
        raise WireError(f"one of {', '.join(kind.__name__ for kind in packers)} is needed here, not {_shown(value)}")

    return pack


def _union_unpacker(unpackers: Mapping[str, Coder]) -> Coder:
    def unpack(data: Any) -> Any:
        if type(data) is list and data and type(data[0]) is str and data[0] in unpackers:
            return unpackers[data[0]](data[1:])
        return _wrong(f"one of {', '.join(unpackers)}", data)

    return unpack


def _enum_packer(kind: Any) -> Coder:
    def pack(value: Any) -> Any:
        return value.value if isinstance(value, kind) else packed(value)

    return pack


def _tuple_packer(inner: Coder) -> Coder:
    def pack(value: Any) -> Any:
        if not isinstance(value, tuple):
            raise WireError(f"a tuple is needed here, not {_shown(value)}")
        return [inner(item) for item in value]

    return pack


def _tuple_unpacker(inner: Coder) -> Coder:
    def unpack(data: Any) -> Any:
        return tuple([inner(item) for item in data]) if type(data) is list else _wrong("a tuple", data)

    return unpack


def _mapping_packer(inner: Coder) -> Coder:
    def pack(value: Any) -> Any:
        if type(value) is not MappingProxyType and not isinstance(value, Mapping):
            raise WireError(f"a mapping is needed here, not {_shown(value)}")
        return {_key(key): inner(item) for key, item in value.items()}

    return pack


def _mapping_unpacker(inner: Coder) -> Coder:
    def unpack(data: Any) -> Any:
        if type(data) is not dict:
            return _wrong("a mapping", data)
        return MappingProxyType({key: inner(item) for key, item in data.items()})

    return unpack


def _wrong(needed: str, data: Any) -> Any:
    raise WireError(f"{needed} is needed here, not {_shown(data)}")


def _shown(value: Any) -> str:
    """A value in a message, short, whatever it is."""
    if isinstance(value, str | int | float | bool | None):
        try:
            return f"{value!r:.80}"
        except ValueError:  # a number with more digits than Python writes
            return f"a whole number of {int(value or 0).bit_length():,} bits"
    return f"a value of type {_named(value)}"


def _named(value: Any) -> str:
    module = type(value).__module__
    return type(value).__name__ if module == "builtins" else f"{module}.{type(value).__name__}"
