"""`report`: a run's or a comparison's report, written as files."""

import sys
from pathlib import Path

from bilevel.cli.comparisons import stays
from bilevel.cli.inspecting import opened
from bilevel.cli.printing import print_json, visible
from bilevel.compare.absent import note_of
from bilevel.compare.folder import is_comparison, open_folder
from bilevel.reporting import plots
from bilevel.reporting.comparison import write_comparison
from bilevel.reporting.writing import write_run


def print_report(folder: Path, to: Path | None, wanted: bool | None, as_json: bool) -> None:
    """Write the report and name its files. Raises InputError where plots are wanted and matplotlib is missing."""
    with_plots, kept = plots.there() if wanted is None else wanted, list[Path]()
    if is_comparison(folder):
        gone = note_of(open_folder(folder))
        if gone:
            print(f"note: {visible(gone)}", file=sys.stderr)
        files, kept = write_comparison(folder, to or folder, with_plots)
    else:
        with opened(folder):
            pass  # where its task is gone, this says so
        files = write_run(folder, to or folder, with_plots)
    if as_json:
        print_json([str(path) for path in files])
    else:
        for path in files:
            print(visible(f"wrote {path}"))
    if kept:
        print(visible(f"{stays(kept)}; `--to FOLDER` writes what the records give elsewhere"), file=sys.stderr)
    if wanted is None and not with_plots:
        print("no plots as files: they need matplotlib (pip install 'bilevel[report]')", file=sys.stderr)
