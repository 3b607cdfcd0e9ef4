"""Decoders made once per type, from the same type hints and to the same result as `codec.build`, but several times
faster: opening a long run is mostly decoding. Some types can be given a decoder of their own, for records that refer
to others by id.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from bilevel import codec

Decoder: TypeAlias = Callable[[Any], Any]
_SCALARS = frozenset({bool, int, float, str, type(None)})


def decoder(kind: Any, special: Mapping[Any, Decoder] = MappingProxyType({})) -> Decoder:
    """A function from JSON data to a value of type `kind`; `special`: types that are decoded otherwise."""
    if kind in special:
        return special[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(kind, arguments, special)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, special)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {member.value: member for member in kind}.__getitem__
    if origin is tuple:
        return _tuple(decoder(arguments[0] if arguments else Any, special))
    if origin is Mapping:
        return _mapping(decoder(arguments[1], special))
    return lambda data: data if type(data) in _SCALARS else codec.build(kind, data)


def _dataclass(kind: Any, special: Mapping[Any, Decoder]) -> Decoder:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    fields = [(name, None if hints[name] in _SCALARS else decoder(hints[name], special)) for name in names]

    def decode(data: Any) -> Any:
        values = {}
        for name, make in fields:
            if name in data:
                value = data[name]
                values[name] = value if make is None else make(value)
        return kind(**values)

    return decode


def _union(kind: Any, arguments: tuple[Any, ...], special: Mapping[Any, Decoder]) -> Decoder:
    """None or one other thing is decided here; other unions are rare and left to the codec."""
    others = [argument for argument in arguments if argument is not type(None)]
    if len(others) == 1 and typing.get_origin(others[0]) is Mapping:
        inner = decoder(others[0], special)
        return lambda data: None if data is None else inner(data)
    return lambda data: data if type(data) in _SCALARS else codec.build(kind, data)


def _tuple(item: Decoder) -> Decoder:
    def decode(data: Any) -> Any:
        return tuple([item(one) for one in (data["()"] if type(data) is dict else data)])

    return decode


def _mapping(item: Decoder) -> Decoder:
    def decode(data: Any) -> Any:
        return MappingProxyType({key: item(value) for key, value in data.items()})

    return decode
