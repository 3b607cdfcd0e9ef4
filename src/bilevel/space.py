"""Parameters, their domains, and candidates.

A domain knows three scales of a value: the value itself (typed: `2**19` is the integer 524288), its position on the
unit interval (logarithmic where the domain says so), and its neighbours. Everything that measures distance between
candidates or draws new ones goes through the unit interval, so that no code elsewhere takes a logarithm.
"""

import functools
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from bilevel.codec import content_hash
from bilevel.errors import InputError

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]; `log` needs low > 0."""

    low: float
    high: float
    log: bool = False
    locked: bool = False

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def check(self, value: Value) -> str | None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
            return f"needs a finite number, not {value!r}"
        return None if self.low <= value <= self.high else f"{value!r} is outside [{self.low:g}, {self.high:g}]"

    def unit(self, value: Value) -> float:
        return _to_unit(_number(value), self.low, self.high, self.log)

    def at(self, unit: float) -> Value:
        return self._rounded(_from_unit(unit, self.low, self.high, self.log))

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        """Half and double; where the value is 0, a tenth of the range."""
        number = _number(value)
        moves = (number / 2, number * 2) if number else (self.low + 0.1 * (self.high - self.low),)
        rounded = (self._rounded(move) for move in moves if self.low <= move <= self.high)
        return tuple(move for move in rounded if move != number)

    def _rounded(self, number: float) -> float:
        """Six significant digits, but never outside the bounds."""
        return float(min(max(float(f"{number:.6g}"), self.low), self.high))


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high]; `power_of_two` admits only powers of two (and implies `log`)."""

    low: int
    high: int
    log: bool = False
    power_of_two: bool = False
    locked: bool = False

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log or self.power_of_two)
        if self.power_of_two and 1 << (self.high.bit_length() - 1) < self.low:
            raise InputError(f"there is no power of two in [{self.low}, {self.high}]")

    def check(self, value: Value) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return f"needs a whole number, not {value!r}"
        if not self.low <= value <= self.high:
            return f"{value!r} is outside [{self.low}, {self.high}]"
        if self.power_of_two and value & (value - 1):
            return f"{value!r} is not a power of two"
        return None

    def unit(self, value: Value) -> float:
        return _to_unit(_number(value), self.low, self.high, self.log or self.power_of_two)

    def at(self, unit: float) -> Value:
        number = _from_unit(unit, self.low, self.high, self.log or self.power_of_two)
        if self.power_of_two:
            lowest, highest = (self.low - 1).bit_length(), self.high.bit_length() - 1
            return int(2 ** min(max(round(math.log2(number)), lowest), highest))
        return min(max(round(number), self.low), self.high)

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        """Half and double where the scale is logarithmic, otherwise one less and one more."""
        number = int(_number(value))
        doubling = self.log or self.power_of_two
        moves = (number // 2, number * 2) if doubling and number else (number - 1, number + 1)
        return tuple(move for move in moves if move != number and self.check(move) is None)


@dataclass(frozen=True)
class Choice:
    """One of a list of values, in the order given; neighbours are the values next to it."""

    options: tuple[Value, ...]
    locked: bool = False

    def __post_init__(self) -> None:
        if not self.options:
            raise InputError("a choice needs at least one option")

    def check(self, value: Value) -> str | None:
        same = any(same_value(option, value) for option in self.options)
        return None if same else f"{value!r} is not one of {', '.join(map(repr, self.options))}"

    def unit(self, value: Value) -> float:
        return self._place(value) / max(len(self.options) - 1, 1)

    def at(self, unit: float) -> Value:
        return self.options[min(int(max(unit, 0.0) * len(self.options)), len(self.options) - 1)]

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        """The option before and the option after."""
        here = self._place(value)
        return tuple(self.options[i] for i in (here - 1, here + 1) if 0 <= i < len(self.options))

    def _place(self, value: Value) -> int:
        found = next((i for i, option in enumerate(self.options) if same_value(option, value)), None)
        if found is None:
            raise InputError(self.check(value) or "")
        return found


@dataclass(frozen=True)
class Bool:
    """True or False."""

    locked: bool = False

    def check(self, value: Value) -> str | None:
        return None if isinstance(value, bool) else f"needs true or false, not {value!r}"

    def unit(self, value: Value) -> float:
        return float(bool(value))

    def at(self, unit: float) -> Value:
        return unit >= 0.5

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        return (not value,)


@dataclass(frozen=True)
class Derived:
    """A value that the host computes from the candidate's files. It can be compared, but not set, drawn or frozen."""

    locked: bool = True

    def check(self, value: Value) -> str | None:
        return None

    def unit(self, value: Value) -> float:
        return 0.0

    def at(self, unit: float) -> Value:
        raise InputError("a derived value cannot be set; change what it is derived from")

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        return ()


Domain: TypeAlias = Float | Int | Choice | Bool | Derived


@dataclass(frozen=True)
class Change:
    """One parameter's typed values before and after."""

    old: Value
    new: Value


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is measured: parameter values and the full text of the files that were changed, both sorted by name.

    Its id is its content's hash; candidates are equal if their ids are, so True is not 1, and 1 is not 1.0.
    """

    params: Mapping[str, Value] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(sorted(self.params.items()))))
        object.__setattr__(self, "files", MappingProxyType(dict(sorted(self.files.items()))))

    @functools.cached_property
    def id(self) -> str:
        """16 hexadecimal digits of the content's SHA-256."""
        return content_hash(self)[:16]

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Candidate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def with_params(self, **changes: Value) -> "Candidate":
        return Candidate({**self.params, **changes}, self.files)

    def changes_from(self, old: "Candidate") -> dict[str, Change]:
        """The parameters whose value or type differs from `old`'s, sorted by name."""
        return {
            name: Change(old.params[name], value)
            for name, value in self.params.items()
            if name in old.params and not same_value(old.params[name], value)
        }

    def files_changed_from(self, old: "Candidate") -> tuple[str, ...]:
        """Names of files whose text differs from `old`'s, sorted."""
        names = set(self.files) | set(old.files)
        return tuple(sorted(name for name in names if self.files.get(name) != old.files.get(name)))


def same_value(a: Value, b: Value) -> bool:
    """Equal and of one type: True is not 1, and 1 is not 1.0; the same within tuples."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    return type(a) is type(b) and a == b


@dataclass(frozen=True)
class Space:
    """The parameters that may be changed, and what restricts them at the moment.

    `domains`: every parameter in its order. `frozen`: parameters that must keep the parent's value, each with who
    froze it. `caps`: the largest step of a parameter from the parent's value, as a share of its unit scale. `weights`:
    how much a parameter should be preferred (1 unless said). Locks of domains cannot be taken away.
    """

    domains: Mapping[str, Domain]
    frozen: Mapping[str, str] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("domains", "frozen", "caps", "weights"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @functools.cached_property
    def active(self) -> tuple[str, ...]:
        """Names that may be changed now: neither locked nor frozen, in order."""
        return tuple(n for n, d in self.domains.items() if not d.locked and n not in self.frozen)

    @functools.cached_property
    def unlocked(self) -> tuple[str, ...]:
        """Names that are not locked, frozen or not, in order."""
        return tuple(name for name, domain in self.domains.items() if not domain.locked)

    def freeze(self, names: Iterable[str], by: str) -> "Space":
        """The space in which `names` keep the parent's values. Raises InputError for a name that does not exist."""
        names = tuple(names)
        for name in names:
            self.domain(name)
        return replace(self, frozen={**self.frozen, **dict.fromkeys(names, by)})

    def cap(self, name: str, step: float) -> "Space":
        """The space in which one parameter moves at most `step` (a share of its unit scale) from the parent's value."""
        self.domain(name)
        if not step >= 0:
            raise InputError(f"the cap of {name!r} must be a number of at least 0, not {step!r}")
        return replace(self, caps={**self.caps, name: min(step, self.caps.get(name, 1.0))})

    def weigh(self, name: str, weight: float) -> "Space":
        """The space in which one parameter is preferred by `weight` >= 0 times what it was."""
        self.domain(name)
        if not (weight >= 0 and math.isfinite(weight)):
            raise InputError(f"the weight of {name!r} must be a finite number of at least 0, not {weight!r}")
        return replace(self, weights={**self.weights, name: self.weights.get(name, 1.0) * weight})

    def narrow(self, name: str, domain: Domain) -> "Space":
        """The space with a narrower domain for one parameter; `domain` must be of the same kind and lie within."""
        old = self.domain(name)
        if type(old) is not type(domain):
            raise InputError(f"{name!r} is {type(old).__name__} and cannot be narrowed to {type(domain).__name__}")
        if isinstance(old, Float | Int) and isinstance(domain, Float | Int):
            domain = _intersect(old, domain)
        if isinstance(old, Choice) and isinstance(domain, Choice):
            domain = Choice(tuple(option for option in domain.options if old.check(option) is None))
        return replace(self, domains={**self.domains, name: replace(domain, locked=old.locked or domain.locked)})

    def domain(self, name: str) -> Domain:
        """The domain of a parameter. Raises InputError, with the names there are, where it does not exist."""
        try:
            return self.domains[name]
        except KeyError:
            known = ", ".join(self.domains) or "none"
            raise InputError(f"there is no parameter {name!r}; the parameters are: {known}") from None

    def problems(self, candidate: Candidate, parent: Candidate | None = None) -> list[str]:
        """Why a candidate may not be tried (from this parent): one sentence per problem, none if it may."""
        found = [f"there is no parameter {name!r}" for name in candidate.params if name not in self.domains]
        for name, domain in self.domains.items():
            if name not in candidate.params:
                found.append(f"parameter {name!r} has no value")
                continue
            value = candidate.params[name]
            unchanged = parent is not None and name in parent.params and same_value(parent.params[name], value)
            if unchanged:
                continue
            wrong = domain.check(value)
            if wrong:
                found.append(f"{name}: {wrong}")
            elif parent is not None and not isinstance(domain, Derived):
                found += self._moved(name, domain, parent.params[name], value)
        return found

    def widens(self, host: "Space") -> str | None:
        """How this space allows more than `host` does, or None if it does not."""
        if list(self.domains) != list(host.domains):
            return "it has other parameters than the task"
        for name, outer in host.domains.items():
            if outer.locked and not self.domains[name].locked:
                return f"{name} is locked by the task and cannot be unlocked"
            if name in host.frozen and name not in self.frozen:
                return f"{name} is frozen by {host.frozen[name]} and cannot be unfrozen"
            if _wider(self.domains[name], outer):
                return f"{name} admits values that the task does not admit"
        for name, cap in host.caps.items():
            if not self.caps.get(name, math.inf) <= cap:
                return f"the step of {name} is capped at {cap:g} and cannot be larger"
        return None

    def _moved(self, name: str, domain: Domain, old: Value, new: Value) -> list[str]:
        if domain.locked:
            return [f"{name} is locked by the task"]
        if name in self.frozen:
            return [f"{name} is frozen by {self.frozen[name]}"]
        step = self.step(name, old, new)
        if step > self.caps.get(name, math.inf) + 1e-9:
            return [f"{name}: a step of {step:.3g} is more than the cap of {self.caps[name]:.3g} (shares of its range)"]
        return []

    def step(self, name: str, old: Value, new: Value) -> float:
        """The distance of two values of one parameter on its unit scale: 0 to 1; for choices 0 or 1."""
        domain = self.domain(name)
        if isinstance(domain, Choice | Bool | Derived):
            return float(not same_value(old, new))
        return abs(domain.unit(new) - domain.unit(old))

    def distance(self, a: Candidate, b: Candidate) -> float:
        """The largest step of any parameter between two candidates: 0 for equal parameters, at most about 1."""
        return max((self.step(n, a.params[n], b.params[n]) for n in self.domains), default=0.0)

    def sample(self, rng: random.Random, parent: Candidate) -> Candidate:
        """The parent with every active parameter drawn anew, within its cap."""
        drawn = {name: self.draw(rng, name, parent.params[name]) for name in self.active}
        return parent.with_params(**drawn)

    def draw(self, rng: random.Random, name: str, old: Value) -> Value:
        """A value of one parameter, uniform on its unit scale, no farther from `old` than its cap."""
        domain, cap = self.domain(name), self.caps.get(name)
        if cap is None:
            return domain.at(rng.random())
        if isinstance(domain, Choice | Bool):
            return self.clip(name, old, domain.at(rng.random()))
        return self.clip(name, old, domain.at(min(max(domain.unit(old) + rng.uniform(-cap, cap), 0.0), 1.0)))

    def clip(self, name: str, old: Value, new: Value) -> Value:
        """The value nearest to `new` that lies within the parameter's domain and cap around `old`."""
        domain, cap = self.domain(name), self.caps.get(name, 1.0)
        if isinstance(domain, Choice | Bool):
            return new if domain.check(new) is None and self.step(name, old, new) <= cap else old
        here = domain.unit(old)
        clipped = domain.at(min(max(domain.unit(new), here - cap, 0.0), here + cap, 1.0))
        return clipped if self.step(name, old, clipped) <= cap + 1e-9 else old


def _wider(new: Domain, old: Domain) -> bool:
    if isinstance(old, Int) and isinstance(new, Int) and old.power_of_two and not new.power_of_two:
        return True
    if isinstance(old, Float | Int) and isinstance(new, Float | Int):
        return type(old) is not type(new) or new.low < old.low or new.high > old.high
    if isinstance(old, Choice) and isinstance(new, Choice):
        return any(old.check(option) for option in new.options)
    return type(old) is not type(new)


def _intersect(old: Float | Int, new: Float | Int) -> Float | Int:
    if isinstance(old, Int) and isinstance(new, Int):
        low, high = max(old.low, new.low), min(old.high, new.high)
        return replace(new, low=low, high=high, power_of_two=old.power_of_two or new.power_of_two)
    return Float(max(old.low, new.low), min(old.high, new.high), new.log, new.locked)


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"bounds must be finite with low <= high, not [{low!r}, {high!r}]")
    if log and low <= 0:
        raise InputError(f"a logarithmic scale needs bounds above 0, not [{low!r}, {high!r}]")


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{value!r} is not a number")
    return value


def _to_unit(number: float, low: float, high: float, log: bool) -> float:
    if log:
        number, low, high = math.log(max(number, low)), math.log(low), math.log(high)
    return (number - low) / (high - low) if high > low else 0.0  # two bounds may have one logarithm


def _from_unit(unit: float, low: float, high: float, log: bool) -> float:
    unit = min(max(unit, 0.0), 1.0)
    number = math.exp(math.log(low) + unit * (math.log(high) - math.log(low))) if log else low + unit * (high - low)
    return min(max(number, low), high)


def _is_finite(number: float) -> bool:
    """Whether a number has a finite value as a float; a whole number may be too large for one."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False
