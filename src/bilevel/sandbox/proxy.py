"""Mechanisms that live in another process and look like any other.

    with Sandbox() as sandbox:
        spec = LoopSpec(..., load=sandbox.load)

The source text never runs in this process. One process per distinct source lives at a time; each `load` makes an
instance and a namespace of its own, in a fresh process where the last one was at work already: so nothing that a guest
keeps against its contract passes from one arm of a fork to the other.
"""

import ast
import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from bilevel.errors import GuestError
from bilevel.imports import NUMERICAL, OF_STEPS, OURS, STANDARD
from bilevel.mechanism import HOOKS, Guest, Mechanism
from bilevel.sandbox.cell import Cell, CellLimits
from bilevel.sandbox.home import Channel, Home, Memory
from bilevel.sandbox.levels import AUTO, require
from bilevel.sandbox.mirror import Known
from bilevel.sandbox.wire import WireError
from bilevel.space import Candidate, Domain, Space
from bilevel.trial import Decision, Proposal, Run, Step, Trial
from bilevel.view import Briefing, View

ENTRY = "bilevel.sandbox.guest_side:handle"
MOST_CELLS = 16  # processes that live at a time
DEFAULTS = CellLimits()
Start: TypeAlias = Callable[[tuple[str, ...]], Channel]


class Sandbox:
    """Loads mechanisms into processes behind walls. `level` and `limits` are those of each process.

    At most `most_cells` live at a time: the one asked longest ago is closed to make room, and started again when it is
    asked. `start` makes a process that has imported the modules it is given, in place of a Cell.
    """

    def __init__(
        self,
        level: str = AUTO,
        limits: CellLimits = DEFAULTS,
        most_cells: int = MOST_CELLS,
        start: Start | None = None,
    ) -> None:
        self.level = level
        self.limits = limits
        self.most_cells = most_cells
        self._start = self._cell if start is None else start
        self._lock = threading.Lock()
        self._homes: weakref.WeakValueDictionary[str, Home] = weakref.WeakValueDictionary()
        self._living: set[Home] = set()

    def load(self, guest: Guest) -> Mechanism:
        """The one Mechanism that a source text defines, made without arguments; fits `LoopSpec.load`.

        Raises GuestError with the reason, and HarnessError where no process can be had.
        """
        home = self._home(guest.source)
        number, declared = home.load(guest.name)
        made: Mechanism = _kind(guest, declared)(home, number)
        weakref.finalize(made, home.unload, number).atexit = False
        return made

    def close(self) -> None:
        """End all processes. A mechanism that is asked afterwards would start its own again."""
        with self._lock:
            living = list(self._living)
            self._living.clear()
        for home in living:
            home.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def cells(self) -> int:
        """How many processes live."""
        return sum(home.open for home in list(self._living))

    @functools.cached_property
    def in_force(self) -> str:
        """The level of the processes: `level`, or the best of this machine. Raises InputError where it has it not."""
        return require(self.level)

    def _cell(self, modules: tuple[str, ...]) -> Cell:
        return Cell(ENTRY, self.in_force, self.limits, modules)

    def _home(self, source: str) -> Home:
        with self._lock:
            home = self._homes.get(source)
            if home is None:
                home = self._homes[source] = Home(source, self._open)
            return home

    def _open(self, home: Home) -> Channel:
        """A process for a source, after room was made for it."""
        with self._lock:
            self._living.add(home)
            for other in sorted(self._living - {home}, key=lambda other: other.used):
                if len(self._living) > self.most_cells and other.close(wait=False):
                    self._living.remove(other)
        return self._start(preloaded(home.source))


# ---- a mechanism of another process ----


class Sandboxed(Mechanism):
    """A mechanism in another process. Its class has exactly the hooks that the guest overrides."""

    def __init__(self, home: Home, number: int) -> None:
        self.home = home
        self.number = number

    def remember_all(self, memory: Any, trials: Sequence[Trial]) -> list[Any]:
        """The memory after each of several trials, as `remember` would give them one by one, in few messages; where it
        would raise, a GuestError stands in the list and the memory stays as it was."""
        answers = self.home.remember(self.number, memory, trials)
        return [GuestError(answer) if isinstance(answer, str) else answer for answer in answers]


def _kind(guest: Guest, declared: Any) -> Callable[[Home, int], Mechanism]:
    """A class for what a process says of a mechanism that it made."""
    match declared:
        case [list(hooks), list(needs), str(domain)] if all(h in HOOKS for h in hooks) and _texts(needs):
            body = {hook: _HOOKS[hook] for hook in hooks} | {"needs": frozenset(needs), "domain": domain}
            return type("Sandboxed", (Sandboxed,), body | {"__module__": f"bilevel_guest_{guest.name}"})
        case [list(), None, _]:
            raise GuestError(f"mechanism {guest.name!r}: needs must be a frozenset of texts")
        case [list(), list(), None]:
            raise GuestError(f"mechanism {guest.name!r}: domain must be a text of a word or two")
    raise GuestError(f"mechanism {guest.name!r}: the sandboxed process does not say what it made")


def _texts(data: list[Any]) -> bool:
    return all(type(one) is str for one in data)


def _remember(self: Sandboxed, memory: Any, trial: Trial) -> Any:
    if memory is not None and not isinstance(memory, Memory):
        raise GuestError(f"a {type(memory).__name__} is no memory of a mechanism in a sandbox")
    (answer,) = self.home.remember(self.number, memory, [trial])
    if isinstance(answer, str):
        raise GuestError(answer)
    return answer


def _select(self: Sandboxed, view: View, parent: Candidate) -> Candidate:
    return self.home.hook("select", self.number, view, lambda known: [known.candidate(parent)], parent, _candidate)


def _advise(self: Sandboxed, view: View, briefing: Briefing) -> Briefing:
    def arguments(known: Known) -> list[Any]:
        return [known.wire.pack(Briefing)(briefing)]

    return self.home.hook("advise", self.number, view, arguments, briefing, _of(Briefing))


def _constrain(self: Sandboxed, view: View, space: Space) -> Space:
    answer = functools.partial(_narrowed, space)
    return self.home.hook("constrain", self.number, view, lambda known: [known.space(space)], space, answer)


def _candidate(known: Known, data: Any) -> Candidate:
    return known.candidate_in(data)


def _of(kind: Any) -> Callable[[Known, Any], Any]:
    return lambda known, data: known.wire.unpack(kind)(data)


def _narrowed(space: Space, known: Known, data: Any) -> Space:
    """A space that is told by what differs from another one's domains."""
    if type(data) is not list or len(data) != 5:
        raise WireError("constrain must return a Space")
    names, unpack = data[0], known.wire.unpack
    order = tuple(space.domains) if names is None else unpack(tuple[str, ...])(names)
    new = unpack(Mapping[str, Domain])(data[1])
    if not all(name in new or name in space.domains for name in order):
        raise WireError("a Space needs a domain for each of its parameters")
    rest: Space = unpack(Space)([{}, *data[2:]])
    domains = {name: new[name] if name in new else space.domains[name] for name in order}
    return Space(domains, rest.frozen, rest.caps, rest.weights)


def _propose(self: Sandboxed, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    def arguments(known: Known) -> list[Any]:
        pack = known.wire.pack(Proposal)
        return [known.candidate(parent), [pack(proposal) for proposal in proposals]]

    def answer(known: Known, data: Any) -> tuple[Proposal, ...]:
        unpack, places = known.wire.unpack(Proposal), range(len(proposals))
        if type(data) is not list:
            raise WireError("propose must return a sequence of Proposal")
        return tuple([proposals[one] if type(one) is int and one in places else unpack(one) for one in data])

    return self.home.hook("propose", self.number, view, arguments, proposals, answer)


def _plan(
    self: Sandboxed, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]
) -> tuple[Step, ...]:
    def arguments(known: Known) -> list[Any]:
        pack = known.wire.pack
        return [pack(Proposal)(proposal), pack(tuple[Run, ...])(partial), pack(tuple[Step, ...])(steps)]

    return self.home.hook("plan", self.number, view, arguments, steps, _of(tuple[Step, ...]))


def _decide(self: Sandboxed, view: View, trial: Trial) -> Decision:
    def arguments(known: Known) -> list[Any]:
        return [known.wire.pack(Trial)(trial)]

    return self.home.hook("decide", self.number, view, arguments, trial.decision, _of(Decision))


_HOOKS: Mapping[str, Any] = {
    "remember": _remember,
    "select": _select,
    "advise": _advise,
    "constrain": _constrain,
    "propose": _propose,
    "plan": _plan,
    "decide": _decide,
}


# ---- what a source imports ----


def preloaded(source: str) -> tuple[str, ...]:
    """The modules that a process must have imported before its walls close: those that the source names, as far as a
    mechanism may import them and they are here."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # it cannot be loaded either, and the reason is given then
    return tuple(dict.fromkeys(name for name in _named(tree) if _may_be_loaded(name)))


def _named(tree: ast.Module) -> Iterator[str]:
    """Dotted names that may be modules: imported ones, and what is taken from them (`np.linalg`)."""
    called: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                top = alias.name.split(".")[0]
                called[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
                called[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            if root in called:
                yield f"{called[root]}.{rest}"


def _may_be_loaded(name: str) -> bool:
    if name in OURS | OF_STEPS:
        return True
    top, *inner = name.split(".")
    if top not in STANDARD | NUMERICAL:
        return False
    spec = find_spec(top)
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec is not None else []
    for part in inner:
        if not part.isidentifier() or part.startswith("_"):
            return False
        endings = ("/__init__.py", ".py", *EXTENSION_SUFFIXES)
        if not any((folder / f"{part}{ending}").is_file() for folder in folders for ending in endings):
            return False
        folders = [folder / part for folder in folders]
    return spec is not None
