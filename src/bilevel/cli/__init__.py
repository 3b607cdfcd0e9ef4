"""The command line: `bilevel COMMAND`. The commands are in `commands/`, the work that they do beside it.

Exit codes: 0 done · 1 our own failure, or the machine's · 2 the input cannot be used · 3 stopped, and `bilevel resume`
goes on · 4 `check` or `doctor` found problems · 130 Ctrl-C before a command began.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bilevel.errors import BilevelError, DiskFull, InputError, Stopped

if TYPE_CHECKING:
    from cyclopts import App

INTERRUPTED = 130  # as a shell says it of a program that SIGINT ended


def main() -> None:
    """The entry point of the `bilevel` command. A Ctrl-C while it still starts ends it without a traceback."""
    try:
        assembled()()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
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


def assembled() -> App:
    """The program with all its commands, imported late: a Ctrl-C meanwhile is `main`'s to tell."""
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

    return app


def _fail(error: BilevelError, code: int) -> None:
    from bilevel.cli.printing import visible

    print(f"bilevel: {visible(str(error))}", file=sys.stderr)
    sys.exit(code)
