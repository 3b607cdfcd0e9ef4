"""`report`: a run's or a comparison's report, written as files."""

import sys
from pathlib import Path

from bilevel.cli.inspecting import opened
from bilevel.cli.printing import print_json, visible
from bilevel.compare.folder import is_comparison
from bilevel.reporting import plots
from bilevel.reporting.comparison import write_comparison
from bilevel.reporting.writing import write_run


def print_report(folder: Path, to: Path | None, wanted: bool | None, as_json: bool) -> None:
    """Write the report and name its files. Raises InputError where plots are wanted and matplotlib is missing."""
    with_plots = plots.there() if wanted is None else wanted
    write = write_comparison if is_comparison(folder) else write_run
    if write is write_run:
        with opened(folder):
            pass  # where its task is gone, this says so
    files = write(folder, to or folder, with_plots)
    if as_json:
        print_json([str(path) for path in files])
    else:
        for path in files:
            print(visible(f"wrote {path}"))
    if wanted is None and not with_plots:
        print("no plots as files: they need matplotlib (pip install 'bilevel[report]')", file=sys.stderr)
