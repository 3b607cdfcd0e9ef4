"""Surfaces: lenses through which an outer loop reads and changes part of an inner loop's description.

What a surface shows is what an outer level can search. The evaluator is never part of one.
"""

import ast
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from bilevel import addenda
from bilevel.carrying import CODE, STEP, TEXT_NAME, carrier_of, no_place_for
from bilevel.codec import content_hash
from bilevel.errors import BilevelError
from bilevel.hints import values_in
from bilevel.loop import LoopSpec
from bilevel.mechanism import HOOKS, Guest, load
from bilevel.settings import PICKERS, STRATEGIES
from bilevel.space import Bool, Candidate, Choice, Derived, Domain, Int, Space, Value

GUIDANCE = "guidance.md"  # the text of level 1.5


@dataclass(frozen=True)
class Test:
    """A mechanism that a fork tests: its name, the hash of its source, and +1 where the challenger has it, -1 where
    the challenger is the loop without it."""

    mechanism: str
    source: str
    sign: int


class Surface(Protocol):
    """A lens on part of a loop's description.

    Laws: `write(spec, read(spec)) == spec` and `read(write(spec, candidate)) == candidate`. The evaluator is never part
    of it.
    """

    @property
    def name(self) -> str: ...
    @property
    def depth(self) -> int:
        """How many loops below the one that it reads and writes lies: 0 unless it is `Inside` another."""
        ...

    def space(self, spec: LoopSpec) -> Space: ...
    def read(self, spec: LoopSpec) -> Candidate: ...
    def write(self, spec: LoopSpec, candidate: Candidate) -> LoopSpec: ...
    def problems(self, spec: LoopSpec, candidate: Candidate, parent: Candidate) -> list[str]: ...
    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        """Names of the mechanisms that a candidate adds or changes: they must prove that they changed a decision."""
        ...

    def tests(self, candidate: Candidate, parent: Candidate) -> tuple[Test, ...]:
        """The mechanisms on which a fork of candidate against parent gives evidence."""
        ...

    def door(self, guest: Guest) -> str | None:
        """Why a mechanism is refused, in sentences for its author, or None."""
        ...


@dataclass(frozen=True)
class SettingsSurface:
    """Level 1.5: frozen parameters, strategy, drafts, history window, picker, guidance.

    `least_active`: so many parameters stay free. `most_changed`: so many may be frozen or unfrozen per cycle. A new
    line of guidance may not give a parameter's value unless it starts with "hint:": the values are the researcher's.
    `steps`: those of the researcher whose addenda (see `addenda`) are measured: then one is changed at a time, alone.
    """

    least_active: int = 2
    most_changed: int = 3
    steps: tuple[str, ...] = ()
    name: str = "settings"
    depth: int = field(default=0, init=False)

    def space(self, spec: LoopSpec) -> Space:
        freezes: dict[str, Domain] = {f"freeze.{name}": Bool() for name in spec.task.space.unlocked}
        turned: dict[str, Domain] = {
            "strategy": Choice(STRATEGIES),
            "drafts": Int(1, 8),
            "history_window": Int(0, 1000),
            "picker": Choice(PICKERS),
        }
        return Space(freezes | turned)

    def read(self, spec: LoopSpec) -> Candidate:
        settings = spec.settings
        params: dict[str, Value] = {f"freeze.{n}": n in settings.frozen for n in spec.task.space.unlocked}
        params |= {
            "strategy": settings.strategy,
            "drafts": settings.drafts,
            "history_window": settings.history_window,
            "picker": settings.picker,
        }
        return Candidate(params, {GUIDANCE: settings.guidance})

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
            picker=str(params["picker"]),
            guidance=candidate.files[GUIDANCE],
        )
        return replace(spec, settings=settings)

    def problems(self, spec: LoopSpec, candidate: Candidate, parent: Candidate) -> list[str]:
        freezes = [name for name in candidate.params if name.startswith("freeze.")]
        active = sum(not candidate.params[name] for name in freezes)
        changed = sum(candidate.params[name] != parent.params.get(name) for name in freezes)
        found = []
        if set(candidate.files) != {GUIDANCE}:
            found.append(f"settings have one text, {GUIDANCE}")
        if active < min(self.least_active, len(freezes)):
            found.append(f"at least {self.least_active} parameters must stay active, not {active}")
        if changed > self.most_changed:
            found.append(f"at most {self.most_changed} parameters may be frozen or unfrozen per cycle, not {changed}")
        told = self._told(candidate, parent)
        if len(told) > 1:
            found.append(f"each addendum is measured alone: change the guidance of one step, not of {', '.join(told)}")
        if told and candidate.params != parent.params:
            found.append(f"the addendum of {told[0]} is measured alone: change no other setting with it")
        old = parent.files.get(GUIDANCE, "").splitlines()
        return found + values_in(spec.task.space, candidate.files.get(GUIDANCE, ""), known=old)

    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        return ()

    def tests(self, candidate: Candidate, parent: Candidate) -> tuple[Test, ...]:
        """The addendum that a candidate adds, changes or takes out."""
        new, old = (addenda.parts(one.files.get(GUIDANCE, ""), self.steps) for one in (candidate, parent))
        return tuple(
            Test(addendum_name(step), content_hash(new[step] if step in new else old[step]), 1 if step in new else -1)
            for step in self._told(candidate, parent)
        )

    def door(self, guest: Guest) -> str | None:
        return None

    def _told(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """The steps whose addenda a candidate changes, where they are measured."""
        old, new = (one.files.get(GUIDANCE, "") for one in (parent, candidate))
        return addenda.changed(old, new, self.steps) if self.steps else []


def addendum_name(step: str) -> str:
    """The name under which forks are evidence on a step's addendum; no mechanism has such a one."""
    return f"guidance: {step}"


def admit_loadable(guest: Guest) -> str | None:
    """The simplest door: a reason to refuse a mechanism that cannot be loaded.

    It runs the source in this process, with all that this process may do, as the default `LoopSpec.load` does with what
    is admitted. So it is for sources of your own only, and no surface has it unless it is given. For those that a model
    or a stranger wrote give the surface `doors.sandboxed_door(sandbox)` and the loop `load=sandbox.load`; a run from a
    recipe always does.
    """
    try:
        load(guest)
    except BilevelError as error:
        return str(error)
    return None


_NAME = re.compile(r"(?!researcher )\w[\w .-]{0,59}")  # it is printed, put into prompts, and no researcher's


@dataclass(frozen=True)
class MechanismSurface:
    """Level 2: the whole ordered set of mechanisms in force, {name: source}; a proposal adds, replaces or removes one.

    The parameters of a candidate are features that the host derives from the sources. `door` says why a source is
    refused, or None. `carriers`: what a mechanism may be carried by to be added, replaced or removed here (see
    `carrying`); the others in force are read and written back, and stay.
    """

    door: Callable[[Guest], str | None]
    most: int = 8
    name: str = "mechanisms"
    carriers: tuple[str, ...] = (CODE,)
    depth: int = field(default=0, init=False)

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
        fixed = [name for name in changed if carrier_of(name) not in self.carriers]
        if fixed:
            return [f"this level changes {' and '.join(self.carriers)}, and {fixed[0]!r:.80} is {carrier_of(fixed[0])}"]
        missing = [no_place_for(spec.researcher, name) for name in changed if name in candidate.files]
        if found := [said for said in missing if said]:
            return found
        odd = [name for name in changed if name in candidate.files and not _named(name)]
        if odd:
            said = "1 to 60 letters, digits, spaces and _ - . are"
            said = said if carrier_of(odd[0]) == CODE else "CARRIER:snake_case, with at most 40 characters, is"
            return [f"{odd[0]!r:.80} is no name of a mechanism: {said}"]
        if len(changed) > 1:
            return [f"one mechanism may be added, replaced or removed at a time, not {len(changed)}"]
        if candidate.id == parent.id:
            return ["it changes nothing: challenger and control would be the same loop"]
        return []

    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        return tuple(name for name in candidate.files_changed_from(parent) if name in candidate.files)

    def tests(self, candidate: Candidate, parent: Candidate) -> tuple[Test, ...]:
        changed = candidate.files_changed_from(parent)
        return tuple(
            Test(name, content_hash(candidate.files[name]), 1)
            if name in candidate.files
            else Test(name, content_hash(parent.files[name]), -1)
            for name in changed
        )


@dataclass(frozen=True)
class PromptSurface(MechanismSurface):
    """Level 2 on the inner researcher's prompts alone: texts added to its system message, or in place of a template."""

    carriers: tuple[str, ...] = ("prompt",)


@dataclass(frozen=True)
class SkillSurface(MechanismSurface):
    """Level 2 on the inner researcher's skills alone: texts with a line that says when to use them, and claims."""

    carriers: tuple[str, ...] = ("skill",)


@dataclass(frozen=True)
class MemorySurface(MechanismSurface):
    """Level 2 on the inner researcher's memory alone: which lessons are kept, and which of them are shown when."""

    carriers: tuple[str, ...] = ("memory",)


@dataclass(frozen=True)
class WorkflowSurface(MechanismSurface):
    """Level 2 on the steps of the inner researcher's workflow alone, by texts: inserted, replaced or removed."""

    carriers: tuple[str, ...] = ("workflow",)


@dataclass(frozen=True)
class StepSurface(MechanismSurface):
    """Level 2 on the same steps alone, by code: inserted, replaced or removed."""

    carriers: tuple[str, ...] = (STEP,)


def _named(name: str) -> bool:
    return bool((_NAME if carrier_of(name) == CODE else TEXT_NAME).fullmatch(name))


def mechanism_set(guests: tuple[Guest, ...]) -> Candidate:
    """The mechanisms in force as a candidate of level 2: sources as files, and features derived from them."""
    order = tuple(guest.name for guest in guests)
    newest = guests[-1] if guests else None
    carrier = carrier_of(newest.name) if newest else CODE
    domain, hooks = features(newest.source) if newest and carrier == CODE else ("", ())
    params: dict[str, Value] = {
        "order": order,
        "newest": newest.name if newest else "",
        "domain": domain,
        "hooks": hooks,
        "carrier": carrier,
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
