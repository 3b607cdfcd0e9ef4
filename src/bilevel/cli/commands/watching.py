"""The command that shows runs in a browser: `serve`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bilevel.cli.program import app


@app.command
def serve(*runs: Path, port: int = 8425, steer: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show runs in a browser, live while they go on: pages on this machine alone, until Ctrl-C.

    They only read, unless they are opened with the token that --steer prints.

    Parameters
    ----------
    runs
        Run folders, comparisons, or folders that hold some (runs and comparisons if not given). Runs that appear there
        later are shown too.
    port
        Where to listen on 127.0.0.1; 0 is any free port. The address is printed.
    steer
        Print an address with a token: pages that are opened with it have buttons to steer a run (`bilevel steer`).
    """
    from bilevel.cli.serving import serve_runs

    serve_runs(runs, port, steer)
