"""What a guest may have changed outside its answers: its own class and module, and the host's types."""

import random
import types
from collections.abc import Mapping
from typing import Any

from bilevel.mechanism import HOOKS, Mechanism
from bilevel.reading import HOST_TYPES

WAY_OUT = "which is lost on resume and differs between challenger and control"
PLAIN = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)
DEEPEST = 5
PYTHONS_OWN = ("__dict__", "__weakref__", "__slotnames__", "__annotations__")  # some are made by looking


def host_picture() -> dict[tuple[type, str], object]:
    """The members of the types that guests are given."""
    return {(kind, name): value for kind in (*HOST_TYPES, Mechanism) for name, value in vars(kind).items()}


def changed_in_host(before: dict[tuple[type, str], object]) -> list[str]:
    """Members of the host's types that are others now; they are put back, so that nothing else is judged by them."""
    after, found = host_picture(), []
    for place in before.keys() | after.keys():
        kind, name = place
        if before.get(place, _GONE) is after.get(place, _GONE) or name in PYTHONS_OWN:
            continue
        if place in before:
            setattr(kind, name, before[place])
        else:
            delattr(kind, name)
        found.append(
            f"it changed {kind.__name__}.{name}, which belongs to the host; a mechanism changes nothing outside"
        )
    return sorted(found)


_GONE = object()


def state_of(mechanism: Mechanism) -> dict[str, str]:
    """What a mechanism's class, its classes' instances and its module hold, but for functions, as texts by place."""
    kind = type(mechanism)
    hooks = [getattr(kind, hook) for hook in HOOKS if hasattr(getattr(kind, hook), "__globals__")]
    module: Mapping[str, Any] = next((hook.__globals__ for hook in hooks if hook.__module__ == kind.__module__), {})
    places: dict[str, Any] = {f"{name} of the module": value for name, value in module.items() if _is_data(name, value)}
    for other in (kind, *(value for value in module.values() if isinstance(value, type) and value is not kind)):
        if other.__module__ == kind.__module__:
            named = {f"{other.__name__}.{name}": v for name, v in vars(other).items() if _is_data(name, v)}
            places |= named
    places |= {f"self.{name}": value for name, value in vars(mechanism).items()}
    return {place: picture(value) for place, value in places.items()}


def kept_state(mechanism: Mechanism, before: Mapping[str, str]) -> list[str]:
    """Where a mechanism keeps state between calls."""
    after = state_of(mechanism)
    return [
        f"{place} was changed by a hook and keeps state, {WAY_OUT}; return the new state from remember(self, memory, "
        "trial) and read it as view.memory"
        for place in sorted(before.keys() | after.keys())
        if before.get(place) != after.get(place)
    ]


def _is_data(name: str, value: object) -> bool:
    code = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, staticmethod, classmethod, property)
    own = name.startswith(("__", "_abc_"))
    return not own and not isinstance(value, code) and not hasattr(value, "__wrapped__")


def picture(value: Any, depth: int = DEEPEST) -> str:
    """A text that is another when a value was changed in place."""
    if depth == 0 or isinstance(value, PLAIN):
        return f"{value!r:.10000}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k!r}:{picture(v, depth - 1)}" for k, v in value.items()) + "}"
    if isinstance(value, list | set):
        return "[" + ",".join(picture(item, depth - 1) for item in value) + "]"
    if isinstance(value, random.Random):
        return repr(value.getstate())
    state = getattr(getattr(value, "bit_generator", None), "state", None)
    fields = getattr(value, "__dict__", None)
    return repr(state) if state is not None else f"{value!r:.10000}{picture(fields, depth - 1) if fields else ''}"
