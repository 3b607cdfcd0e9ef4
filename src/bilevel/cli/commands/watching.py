"""The command that shows runs in a browser: `serve`."""

from pathlib import Path

from bilevel.cli.program import app


@app.command
def serve(*runs: Path, port: int = 8425) -> None:
    """Show runs in a browser, live while they go on: read-only pages on this machine alone, until Ctrl-C.

    Parameters
    ----------
    runs
        Run folders, comparisons, or folders that hold some (runs and comparisons if not given). Runs that appear there
        later are shown too.
    port
        Where to listen on 127.0.0.1; 0 is any free port. The address is printed.
    """
    from bilevel.cli.serving import serve_runs

    serve_runs(runs, port)
