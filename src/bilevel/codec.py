"""Frozen dataclasses to canonical JSON and back; content hashes; seeds derived from names.

Supported: dataclasses, None, bool, int, finite float, str, Enum, tuple, list, Mapping with string keys, and unions of
these. Canonical means: keys sorted, no white space, shortest float repr; so that equal values have equal text. A tuple
inside an untyped value (a parameter) is written as {"()": [...]}, so that it comes back as a tuple.
"""

import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_SCALARS = frozenset({type(None), bool, int, str})
_MAPPINGS = frozenset({dict, MappingProxyType})


def plain(value: object) -> Any:
    """The value as JSON-ready dicts, lists and scalars. Raises TypeError or ValueError for what has no such form."""
    kind = type(value)
    if kind in _SCALARS or isinstance(value, str):
        return value
    if kind is float:
        return _finite(value)
    if kind in _MAPPINGS:
        return _mapping(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, tuple):
        return {"()": [plain(item) for item in value]}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    raise TypeError(f"{kind.__name__} has no JSON form")


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no white space."""
    return _ENCODER.encode(plain(value))


def content_hash(value: object) -> str:
    """The SHA-256 of a value's canonical text, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**31) that depends on all parts and on nothing else."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**31


def dump(value: object) -> str:
    """A dataclass as canonical JSON; `load` gives it back."""
    return canonical(value)


def load(kind: type[T], text: str) -> T:
    """The dataclass that `dump` wrote. Raises ValueError where the text does not fit the type."""
    return typing.cast(T, build(kind, json.loads(text)))


def build(kind: Any, data: Any) -> Any:
    """The value of type `kind` that `plain` turned into `data`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, data)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(data, kind):
            return data  # a part that the caller has built already
        hints = _hints(kind)
        return kind(**{name: build(hints[name], data[name]) for name in _field_names(kind) if name in data})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    if origin in (tuple, list, Sequence):
        items = data["()"] if isinstance(data, dict) else data
        made = [build(arguments[0] if arguments else Any, item) for item in items]
        return made if origin is list else tuple(made)
    if origin in (dict, Mapping):
        return MappingProxyType({key: build(arguments[1], item) for key, item in data.items()})
    return _untyped(data)


def freeze(data: Any, in_order: bool = False) -> Any:
    """The same with every mapping read-only and its keys sorted, as `load` gives it back; `in_order`: as they are."""
    if type(data) in _SCALARS or type(data) is float:
        return data
    if isinstance(data, Mapping):
        items = data.items() if in_order else sorted(data.items(), key=lambda item: str(item[0]))
        return MappingProxyType({key: freeze(item, in_order) for key, item in items})
    if isinstance(data, list):
        return [freeze(item, in_order) for item in data]
    if isinstance(data, tuple):
        return tuple(freeze(item, in_order) for item in data)
    return data


def _build_union(arguments: tuple[Any, ...], data: Any) -> Any:
    if data is None:
        return None
    for kind in arguments:
        if dataclasses.is_dataclass(kind) and isinstance(data, dict) and "()" not in data:
            return build(kind, data)
        if typing.get_origin(kind) in (tuple, Mapping) and isinstance(data, dict | list):
            return build(kind, data)
    return _untyped(data)


def _untyped(data: Any) -> Any:
    if isinstance(data, dict):
        if set(data) == {"()"}:
            return tuple(_untyped(item) for item in data["()"])
        return MappingProxyType({key: _untyped(item) for key, item in data.items()})
    if isinstance(data, list):
        return [_untyped(item) for item in data]
    return data


def _finite(value: Any) -> Any:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number that can be stored; use None for a missing value")
    return value + 0.0  # -0.0 equals 0.0 and has its text


def _mapping(value: Any) -> dict[str, Any]:
    return {_key(key): plain(item) for key, item in value.items()}


def _record(value: Any) -> dict[str, Any]:
    """A dataclass's fields. A field that came later and says nothing is left out: older texts and hashes stay."""
    kind: Any = type(value)
    later, found = _later(kind), {}
    for name in _field_names(kind):
        item = getattr(value, name)
        if name not in later or item != later[name]:  # tuples in typed fields are plain lists: the type says it
            found[name] = [plain(part) for part in item] if isinstance(item, tuple) else plain(item)
    return found


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a mapping to be stored needs string keys, not {key!r}")
    if key == "()":
        raise ValueError("the key '()' is reserved: it marks a tuple")
    return key


@functools.cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


@functools.cache
def _later(kind: Any) -> Mapping[str, object]:
    """The fields that came with a later version, and what they are where they say nothing."""
    return {field.name: field.default for field in dataclasses.fields(kind) if field.metadata.get("later")}


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
