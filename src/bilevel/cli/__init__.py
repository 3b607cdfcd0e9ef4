"""The command line: `bilevel COMMAND`. The commands are in `commands/`, the work that they do beside it.

Exit codes: 0 done · 1 our own failure, or the machine's · 2 the input cannot be used · 3 stopped, and `bilevel resume`
goes on · 4 `check` or `doctor` found problems.
"""

import sys

from bilevel.cli.commands import (  # noqa: F401 (each puts its commands into the program)
    comparing,
    measuring,
    mechanisms,
    outside,
    preparing,
    reading,
    searching,
    steering,
    watching,
)
from bilevel.cli.program import app
from bilevel.errors import BilevelError, DiskFull, InputError, Stopped


def main() -> None:
    """The entry point of the `bilevel` command."""
    try:
        app()
    except Stopped as error:
        _fail(error, 3)
    except DiskFull as error:
        _fail(error, 3)
    except InputError as error:
        _fail(error, 2)
    except BilevelError as error:
        _fail(error, 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _fail(error: BilevelError, code: int) -> None:
    from bilevel.cli.printing import visible

    print(f"bilevel: {visible(str(error))}", file=sys.stderr)
    sys.exit(code)
