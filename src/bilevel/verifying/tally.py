"""What was compared, and what differs: a statement beside what the records give."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING = "nothing"
CLOSE = 1e-9  # relative; on another machine sums and powers may come out in another last digit


@dataclass(frozen=True)
class Difference:
    """Something stated that the records do not give: where it stands, what it says, what they give."""

    where: str
    stated: str
    given: str

    def __str__(self) -> str:
        return f"{self.where}: {self.stated} is stated, the records give {self.given}"


@dataclass
class Tally:
    """Counts numbers that were compared, and keeps differences and what must be known beside them.

    `exact`: numbers must be equal to the last digit. `place` comes before each `where`: a run of a comparison.
    """

    exact: bool = True
    place: str = ""
    checked: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def equal(self, where: str, stated: Any, given: Any) -> bool:
        """Compare two values of JSON, part by part; each number is one that is checked. Whether all is equal."""
        before = len(self.differences)
        for path, one, other in _leaves(where, stated, given):
            number = _is_number(one) or _is_number(other)
            self.checked += number
            if not self._same(one, other):
                self.differs(path, _shown(one), _shown(other))
        return len(self.differences) == before

    def said(self, where: str, stated: str, given: str) -> None:
        """Compare two sentences; the numbers in them count as one."""
        self.checked += any(map(str.isdigit, stated + given))
        if stated != given:
            self.differs(where, repr(stated), repr(given))

    def differs(self, where: str, stated: str, given: str) -> None:
        self.differences.append(Difference(f"{self.place}{where}", stated, given))

    def note(self, text: str) -> None:
        self.notes.append(f"{self.place}{text}")

    def _same(self, one: Any, other: Any) -> bool:
        if self.exact or not (_is_number(one) and _is_number(other)):
            return bool(one == other) and _is_number(one) == _is_number(other)
        return math.isclose(one, other, rel_tol=CLOSE)


def _leaves(path: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in [*one, *(key for key in other if key not in one)]:
            yield from _leaves(f"{path}.{key}", one.get(key, _Missing), other.get(key, _Missing))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for number, (mine, its) in enumerate(zip(one, other, strict=True)):
            yield from _leaves(f"{path}[{number}]", mine, its)
    else:
        yield path, one, other


class _Missing:
    """In the place of a value that is not there."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if value is _Missing:
        return NOTHING
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
