"""Reports by `bilevel report`, made again from the records: each number of the text, and the plots byte by byte."""

from pathlib import Path

from bilevel.compare.analysis import analyse
from bilevel.compare.folder import is_comparison, open_folder
from bilevel.errors import BilevelError
from bilevel.reporting import plots
from bilevel.reporting.seen import seen
from bilevel.reporting.writing import PAGE, TEXT, documents, plots_in
from bilevel.verifying.tally import NOTHING, Tally
from bilevel.verifying.text import check_text


def check_reports(tally: Tally, run: Path) -> None:
    """What lies in a run folder. A report of earlier records is said to be one, and not compared."""
    there = [run / name for name in (PAGE, TEXT) if (run / name).is_file()]
    current = [path for path in there if check_report(tally, run, path, older=True)]
    if current:
        check_plots(tally, run, run)


def check_report(tally: Tally, run: Path, path: Path, older: bool = False) -> bool:
    """One document against the one that the records give; whether it was compared.

    `older`: one that was made of earlier records is not; otherwise what differs is named.
    """
    try:
        with seen(run) as found:
            report, given = documents(found, path.parent)
    except BilevelError as error:
        tally.differs(path.name, "a report", f"none: {error}")
        return True
    stated = path.read_text("utf-8", "replace")
    if report.stamp not in stated:
        tally.note(
            f"{path.name} was made of other records than these (of a moment before, or of another run), or by another "
            f"version of this program; `bilevel report {run}` makes it anew"
        )
        if older:
            return False
    check_text(tally, path.name, stated, given[TEXT if path.suffix == ".md" else PAGE])
    return True


def check_plots(tally: Tally, records: Path, folder: Path) -> None:
    """The plots that lie in a folder, drawn again from a run or a comparison where that can be done alike."""
    files = plots_in(folder)
    if not files:
        return
    if not plots.there():
        tally.note("matplotlib is not installed, so the plots were not compared")
        return
    mark = f"Matplotlib v{plots.version()},".encode(), f"Matplotlib version{plots.version()},".encode()
    given = _drawn(records)
    for path in files:
        stated = path.read_bytes()
        if not any(one in stated for one in mark):
            tally.note(f"{plots.FOLDER}/{path.name} was drawn by another version of matplotlib, so it was not compared")
        elif path.name not in given:
            tally.differs(f"{plots.FOLDER}/{path.name}", "a plot", NOTHING)
        elif stated != given[path.name]:
            tally.differs(f"{plots.FOLDER}/{path.name}", "a plot", "another one")
        else:
            tally.checked += 1


def _drawn(folder: Path) -> dict[str, bytes]:
    """The plots that the records of a run, or of a comparison, give."""
    if is_comparison(folder):
        return plots.drawn(plots.of_comparison(analyse(open_folder(folder))))
    with seen(folder) as found:
        return plots.drawn(plots.of_run(found))
