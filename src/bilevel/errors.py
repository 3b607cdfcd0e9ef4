"""What can go wrong with the program or its input. What goes wrong with a *candidate* is data, never one of these.

    BilevelError
    ├── InputError            the user's input: a task, a recipe, an option, a value out of bounds
    │   └── MissingExtra      an optional package is needed and is not installed
    ├── HarnessError          our own machinery, or the machine, failed
    │   ├── StoreError        the run folder: locked, from a newer version, damaged
    │   │   └── DiskFull      nothing more can be written; the run stops and can be resumed
    │   ├── Diverged          a resumed or replayed run is not the recorded one
    │   └── ModelUnavailable  a language model did not answer after all retries
    ├── Stopped               somebody asked to stop; everything finished is stored and `resume` goes on
    │   └── LimitReached      the same, asked for by a limit on money, tokens or time
    └── GuestError            a mechanism or researcher broke its contract (caught by the loop and stored as a fault)
        ├── ContextOverflow   a request was too long for the model
        └── UnusableReply     a model's answer could not be used after all re-asks

Every message says what is wrong, which thing (`{name!r}`), where, and the way out.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class BilevelError(Exception):
    """Any error that bilevel raises on purpose."""


class InputError(BilevelError):
    """The user's input cannot be used; nothing was run."""


class MissingExtra(InputError):
    """An optional package is needed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package; install it with: pip install 'bilevel[{extra}]'")
        self._asked = what, extra

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str]]:
        """So that it comes back from another process as itself."""
        return MissingExtra, self._asked


class HarnessError(BilevelError):
    """Our own machinery, or the machine underneath, failed."""


class StoreError(HarnessError):
    """The run folder cannot be used as it is."""


class DiskFull(StoreError):
    """Nothing more can be written; what was stored before is safe and the run can be resumed."""


class Diverged(HarnessError):
    """A resumed or replayed run differs from its record."""


class ModelUnavailable(HarnessError):
    """A language model did not answer after all retries; a resume asks it again."""


class Stopped(BilevelError):
    """Somebody asked to stop in the middle of a trial; what was finished is stored and a resume goes on from there."""


class LimitReached(Stopped):
    """A limit on money, tokens or time is reached; what was paid for is stored, a resume with a higher one goes on."""


class GuestError(BilevelError):
    """Guest code (a mechanism, a researcher) broke its contract."""


class ContextOverflow(GuestError):
    """A request was too long for the model that was asked."""


class UnusableReply(GuestError):
    """A model's answer could not be used, also after it was told why. `notes`: what was done until then, for the
    trial's record."""

    notes: Mapping[str, Any] = MappingProxyType({})
