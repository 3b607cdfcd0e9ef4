"""Where mechanisms run and who lets them in: what comes with the package in this process, everything else in a sandbox.

A recipe's [sandbox] table decides. Nothing is started before a mechanism is tried or loaded.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bilevel import mechanisms
from bilevel.admission import Admission
from bilevel.carrying import PYTHON, carrier_of
from bilevel.doors import sandboxed_door
from bilevel.mechanism import Guest, Mechanism, load
from bilevel.mishaps import Mishaps, watched
from bilevel.recipe import Recipe, SandboxTable
from bilevel.sandbox.cell import CellLimits
from bilevel.sandbox.proxy import Sandbox
from bilevel.shelf.shelves import plain


class Hosting:
    """The sandbox of one run and the door in front of it.

    `known` are verdicts of the door that the run gave before it was interrupted, `keep` is told of each new one.
    `patience` multiplies the limits of time.
    """

    def __init__(
        self,
        table: SandboxTable,
        known: Mapping[str, Admission] = MappingProxyType({}),
        keep: Callable[[str, Admission], object] = lambda key, admission: None,
        patience: float = 1.0,
    ) -> None:
        limits = CellLimits(
            call_cpu_seconds=table.call_seconds * patience,
            call_wall_seconds=table.wall_seconds * patience,
            memory_bytes=table.memory_bytes,
            purse_seconds=CellLimits.purse_seconds * patience,
            refill_seconds=CellLimits.refill_seconds * patience,
        )
        self.shipped_inside = table.shipped
        self.sandbox = Sandbox(table.isolation, limits)
        self.keep = keep
        self.mishaps = Mishaps()
        self.door = sandboxed_door(self.sandbox, known, lambda key, admission: self.keep(key, admission))

    def load(self, guest: Guest) -> Mechanism:
        """A mechanism to put in force; fits `LoopSpec.load`. Raises GuestError with the reason."""
        if not self.shipped_inside and mechanisms.is_shipped(guest.source):
            return load(guest)
        return watched(self.sandbox.load, guest, self.mishaps)

    @property
    def level(self) -> str:
        """The level of the sandbox that is in force. Raises InputError where the machine has not the one it names."""
        return self.sandbox.in_force

    def close(self) -> None:
        """End the processes; a later call would start them again."""
        self.sandbox.close()


def takes_mechanisms(recipe: Recipe) -> bool:
    """Whether mechanisms can run in the sandbox in a run of this recipe."""
    named = [*recipe.inner.mechanisms, *(name for level in recipe.outer for name in level.mechanisms)]
    named = [name for name in named if carrier_of(plain(name)) in PYTHON]
    foreign = [name for name in named if name.removeprefix("shipped:") not in mechanisms.library()]
    searched = any(level.level == "mechanisms" and not set(PYTHON).isdisjoint(level.carriers) for level in recipe.outer)
    return bool(foreign) or recipe.sandbox.shipped or searched
