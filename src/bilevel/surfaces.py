"""Surfaces: lenses through which an outer loop reads and changes part of an inner loop's description.

What a surface shows is what an outer level can search. The evaluator is never part of one.
"""

import ast
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from bilevel.errors import BilevelError
from bilevel.loop import LoopSpec
from bilevel.mechanism import HOOKS, Guest, load
from bilevel.settings import STRATEGIES
from bilevel.space import Bool, Candidate, Choice, Derived, Domain, Int, Space, Value


class Surface(Protocol):
    """A lens on part of a loop's description.

    Laws: `write(spec, read(spec)) == spec` and `read(write(spec, candidate)) == candidate`. The evaluator is never part
    of it.
    """

    @property
    def name(self) -> str: ...
    def space(self, spec: LoopSpec) -> Space: ...
    def read(self, spec: LoopSpec) -> Candidate: ...
    def write(self, spec: LoopSpec, candidate: Candidate) -> LoopSpec: ...
    def problems(self, spec: LoopSpec, candidate: Candidate, parent: Candidate) -> list[str]: ...
    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        """Names of the mechanisms that a candidate adds or changes: they must prove that they changed a decision."""
        ...


@dataclass(frozen=True)
class SettingsSurface:
    """Level 1.5: frozen parameters, strategy, drafts, history window, guidance.

    `least_active`: so many parameters stay free. `most_changed`: so many may be frozen or unfrozen per cycle.
    """

    least_active: int = 2
    most_changed: int = 3
    name: str = "settings"

    def space(self, spec: LoopSpec) -> Space:
        freezes: dict[str, Domain] = {f"freeze.{name}": Bool() for name in spec.task.space.unlocked}
        return Space({**freezes, "strategy": Choice(STRATEGIES), "drafts": Int(1, 8), "history_window": Int(0, 1000)})

    def read(self, spec: LoopSpec) -> Candidate:
        settings = spec.settings
        params: dict[str, Value] = {f"freeze.{n}": n in settings.frozen for n in spec.task.space.unlocked}
        params |= {
            "strategy": settings.strategy,
            "drafts": settings.drafts,
            "history_window": settings.history_window,
        }
        return Candidate(params, {"guidance.md": settings.guidance})

    def write(self, spec: LoopSpec, candidate: Candidate) -> LoopSpec:
        params, old = candidate.params, spec.settings
        frozen = {
            name: old.frozen.get(name, "level 1.5") for name in spec.task.space.unlocked if params[f"freeze.{name}"]
        }
        drafts, window = params["drafts"], params["history_window"]
        assert isinstance(drafts, int) and isinstance(window, int)  # their domains are Int
        settings = replace(
            old,
            frozen=frozen,
            strategy=str(params["strategy"]),
            drafts=drafts,
            history_window=window,
            guidance=candidate.files["guidance.md"],
        )
        return replace(spec, settings=settings)

    def problems(self, spec: LoopSpec, candidate: Candidate, parent: Candidate) -> list[str]:
        freezes = [name for name in candidate.params if name.startswith("freeze.")]
        active = sum(not candidate.params[name] for name in freezes)
        changed = sum(candidate.params[name] != parent.params.get(name) for name in freezes)
        found = []
        if set(candidate.files) != {"guidance.md"}:
            found.append("settings have one text, guidance.md")
        if active < min(self.least_active, len(freezes)):
            found.append(f"at least {self.least_active} parameters must stay active, not {active}")
        if changed > self.most_changed:
            found.append(f"at most {self.most_changed} parameters may be frozen or unfrozen per cycle, not {changed}")
        return found

    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        return ()


def admit_loadable(guest: Guest) -> str | None:
    """The simplest door: a reason to refuse a mechanism that cannot be loaded. It runs the source in this process."""
    try:
        load(guest)
    except BilevelError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class MechanismSurface:
    """Level 2: the whole ordered set of mechanisms in force, {name: source}; a proposal adds, replaces or removes one.

    The parameters of a candidate are features that the host derives from the sources. `door` says why a source is
    refused, or None.
    """

    door: Callable[[Guest], str | None] = admit_loadable
    most: int = 8
    name: str = "mechanisms"

    def space(self, spec: LoopSpec) -> Space:
        return Space({name: Derived() for name in ("carrier", "domain", "hooks", "newest", "order")})

    def read(self, spec: LoopSpec) -> Candidate:
        return mechanism_set(spec.mechanisms)

    def write(self, spec: LoopSpec, candidate: Candidate) -> LoopSpec:
        return replace(spec, mechanisms=guests_of(candidate))

    def problems(self, spec: LoopSpec, candidate: Candidate, parent: Candidate) -> list[str]:
        try:
            guests = guests_of(candidate)
        except (KeyError, TypeError):
            return ["the order must name each mechanism once, and there must be a source for each"]
        if candidate != mechanism_set(guests):
            return ["the features of a mechanism set are derived from its sources and cannot be set"]
        if len(guests) > self.most:
            return [f"at most {self.most} mechanisms may be in force, not {len(guests)}"]
        changed = candidate.files_changed_from(parent)
        if len(changed) > 1:
            return [f"one mechanism may be added, replaced or removed at a time, not {len(changed)}"]
        if candidate.id == parent.id:
            return ["it changes nothing: challenger and control would be the same loop"]
        refusals = (
            (name, self.door(Guest(name, candidate.files[name]))) for name in changed if name in candidate.files
        )
        return [f"mechanism {name!r} was refused at the door: {reason}" for name, reason in refusals if reason]

    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        return tuple(name for name in candidate.files_changed_from(parent) if name in candidate.files)


def mechanism_set(guests: tuple[Guest, ...]) -> Candidate:
    """The mechanisms in force as a candidate of level 2: sources as files, and features derived from them."""
    order = tuple(guest.name for guest in guests)
    newest = guests[-1] if guests else None
    domain, hooks = features(newest.source) if newest else ("", ())
    params: dict[str, Value] = {
        "order": order,
        "newest": newest.name if newest else "",
        "domain": domain,
        "hooks": hooks,
        "carrier": "code",
    }
    return Candidate(params, {guest.name: guest.source for guest in guests})


def guests_of(candidate: Candidate) -> tuple[Guest, ...]:
    """The mechanisms that a candidate of level 2 stands for, in order. Raises KeyError where order and files differ."""
    order = candidate.params["order"]
    if not isinstance(order, tuple) or sorted(map(str, order)) != sorted(candidate.files):
        raise KeyError("order")
    return tuple(Guest(str(name), candidate.files[str(name)]) for name in order)


@functools.lru_cache(maxsize=256)
def features(source: str) -> tuple[str, tuple[str, ...]]:
    """A mechanism's domain and the hooks that it defines, read from its source without running it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "", ()
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = {node.name for kind in classes for node in kind.body if isinstance(node, ast.FunctionDef)}
    domains = [
        node.value.value
        for kind in classes
        for node in kind.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and any(isinstance(t, ast.Name) and t.id == "domain" for t in _targets(node))
    ]
    return (domains[0] if domains else ""), tuple(hook for hook in HOOKS if hook in functions)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]
