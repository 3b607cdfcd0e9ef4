"""A mechanism as a library has it: its source text, where that comes from, and what is known of it."""

import ast
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bilevel.carrying import CODE, STEP, carrier_of
from bilevel.codec import content_hash
from bilevel.mechanism import HOOKS
from bilevel.shelf.record import Measurement, Record
from bilevel.workflow_step import KIND

ORIGINS = ("shipped", "project", "user", "package")  # where a plain name is looked for, in this order


@dataclass(frozen=True)
class Reading:
    """What a source text says of itself, read without running it."""

    title: str = ""
    domain: str = ""
    needs: frozenset[str] = frozenset()
    hooks: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Found:
    """A mechanism somewhere. `origin` is one of ORIGINS, or "file".

    `place` says where exactly. `by` is the distribution that brings it, of a package. `problem`: why it cannot be used.
    `note`: why its record cannot.
    """

    name: str
    origin: str
    source: str
    place: str
    by: str = ""
    record: Record | None = None
    problem: str = ""
    note: str = ""

    @property
    def qualified(self) -> str:
        """The name that only this one has, but for a package's where two distributions bring one of the same name."""
        return self.place if self.origin == "file" else f"{self.origin}:{self.name}"

    @functools.cached_property
    def source_hash(self) -> str:
        return content_hash(self.source)

    @property
    def changed(self) -> bool:
        """Whether the text is another than the one that its record speaks of."""
        return self.record is not None and self.record.source_hash != self.source_hash

    @property
    def foreign(self) -> bool:
        """Whether what its record says was measured by somebody else."""
        return self.origin == "package" or (self.record is not None and bool(self.record.origin.imported))

    @property
    def evidence(self) -> tuple[Measurement, ...]:
        """What is credited to this text."""
        return () if self.record is None or self.changed else self.record.evidence

    def kinds_of(self, measurement: Measurement) -> tuple[str, ...]:
        """The kinds of parameters that a measurement was made on; empty where nobody wrote them down."""
        known = self.record.preconditions.kinds if self.record is not None else ()
        return measurement.kinds or known

    def best(self, family: str = "") -> Measurement | None:
        """The measurement that says most: of level 1 before others, confirmed before decided before undecided, then
        the one of most forks."""
        fit = [m for m in self.evidence if not family or m.family == family]
        return max(fit, key=lambda m: (not m.on, m.confirmed, m.verdict != "undecided", m.told, m.forks), default=None)

    def standing(self, family: str = "") -> str:
        """What is known of its worth, in a line."""
        best = self.best(family)
        if self.problem:
            return f"cannot be used: {self.problem}"
        if self.note:
            return f"not measured ({self.note})"
        if self.changed:
            return "changed since it was measured"
        if best is None:
            return f"not measured on {family}" if family and self.evidence else "not measured"
        return best.sentence + (" -- measured elsewhere" if self.foreign else "")

    @functools.cached_property
    def reading(self) -> Reading:
        carrier = carrier_of(self.name)
        if carrier == STEP:
            return replace(read(self.source), domain=carrier, hooks=("advise",))
        return read(self.source) if carrier == CODE else Reading(_headline(self.source), carrier, hooks=("advise",))

    @property
    def title(self) -> str:
        return self.reading.title

    @property
    def domain(self) -> str:
        return self.reading.domain

    @property
    def needs(self) -> frozenset[str]:
        return self.reading.needs

    @property
    def hooks(self) -> tuple[str, ...]:
        return self.reading.hooks

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.reading.parameters


def _headline(text: str) -> str:
    """The first sentence of a text below its head."""
    lines = [line.strip() for line in text.strip().splitlines()]
    ends = [n for n, line in enumerate(lines) if line == "---"]
    below = lines[ends[1] + 1 :] if lines and lines[0] == "---" and len(ends) > 1 else lines
    first, stop, _ = next((line for line in below if line), "").partition(". ")
    return f"{first}." if stop else first


@functools.lru_cache(maxsize=256)
def read(source: str) -> Reading:
    """What a text says of itself. Whatever it is, this never fails: `problem` says what is wrong."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return Reading(problem=f"it does not parse: {getattr(error, 'msg', error)}{f' (line {line})' if line else ''}")
    doc = ast.get_docstring(tree) or ""
    kinds = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_mechanism(node)]
    if len(kinds) != 1:
        return Reading(problem=f"it defines {len(kinds) or 'no'} subclasses of Mechanism; one is wanted")
    kind = kinds[0]
    literals = _literals(kind)
    functions = {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}
    text = doc or ast.get_docstring(kind) or kind.name
    return Reading(
        title=text.splitlines()[0],
        domain=str(literals.pop("domain", "")),
        needs=_needs(kind),
        hooks=tuple(hook for hook in HOOKS if hook in functions),
        parameters=literals,
    )


def _is_mechanism(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split(".")[-1] in ("Mechanism", KIND) for base in node.bases)


def _assignments(kind: ast.ClassDef) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for node in kind.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            found[target.id] = value
    return found


def _literals(kind: ast.ClassDef) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, node in _assignments(kind).items():
        try:
            values[name] = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    values.pop("needs", None)
    return values


def _needs(kind: ast.ClassDef) -> frozenset[str]:
    node = _assignments(kind).get("needs")
    if isinstance(node, ast.Call):
        node = node.args[0] if node.args else None
    try:
        value = ast.literal_eval(node) if node is not None else ()
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return frozenset()
    return frozenset(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else frozenset()
