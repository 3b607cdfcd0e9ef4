"""The command line: `bilevel COMMAND`. The commands are in `commands/`, the work that they do beside it.

Exit codes: 0 done · 1 our own failure, or the machine's · 2 the input cannot be used · 3 stopped, and `bilevel resume`
goes on · 4 `check` or `doctor` found problems · 130 Ctrl-C before a command began.
"""

import sys

from bilevel.errors import BilevelError, DiskFull, InputError, Stopped

INTERRUPTED = 130  # as a shell says it of a program that SIGINT ended


def main() -> None:
    """The entry point of the `bilevel` command. A Ctrl-C while it still starts ends it without a traceback."""
    try:
        load_commands()
        from bilevel.cli.program import app

        app()
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


def load_commands() -> None:
    """Put all commands into the program. Imported late: a Ctrl-C meanwhile is `main`'s to tell."""
    from bilevel.cli.commands import (  # noqa: F401 (each adds its own)
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


def _fail(error: BilevelError, code: int) -> None:
    from bilevel.cli.printing import visible

    print(f"bilevel: {visible(str(error))}", file=sys.stderr)
    sys.exit(code)
