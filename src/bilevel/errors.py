"""What can go wrong with the program or its input. What goes wrong with a *candidate* is data, never one of these.

    BilevelError
    ├── InputError            the user's input: a task, a recipe, an option, a value out of bounds
    │   └── MissingExtra      an optional package is needed and is not installed
    ├── HarnessError          our own machinery, or the machine, failed
    │   ├── StoreError        the run folder: locked, from a newer version, damaged
    │   │   └── DiskFull      nothing more can be written; the run stops and can be resumed
    │   └── Diverged          a resumed or replayed run is not the recorded one
    ├── Stopped               somebody asked to stop; everything finished is stored and `resume` goes on
    └── GuestError            a mechanism or researcher broke its contract (caught by the loop and stored as a fault)

Every message says what is wrong, which thing (`{name!r}`), where, and the way out.
"""


class BilevelError(Exception):
    """Any error that bilevel raises on purpose."""


class InputError(BilevelError):
    """The user's input cannot be used; nothing was run."""


class MissingExtra(InputError):
    """An optional package is needed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package; install it with: pip install 'bilevel[{extra}]'")


class HarnessError(BilevelError):
    """Our own machinery, or the machine underneath, failed."""


class StoreError(HarnessError):
    """The run folder cannot be used as it is."""


class DiskFull(StoreError):
    """Nothing more can be written; what was stored before is safe and the run can be resumed."""


class Diverged(HarnessError):
    """A resumed or replayed run differs from its record."""


class Stopped(BilevelError):
    """Somebody asked to stop in the middle of a trial; what was finished is stored and a resume goes on from there."""


class GuestError(BilevelError):
    """Guest code (a mechanism, a researcher) broke its contract."""
