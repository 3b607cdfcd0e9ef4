"""What a path states, computed again: a run folder, a comparison, or one of their files."""

from dataclasses import dataclass
from pathlib import Path

from bilevel.compare.folder import PLAN, is_comparison
from bilevel.errors import InputError
from bilevel.reporting.writing import PAGE, TEXT
from bilevel.statements import FILE as CLAIMS
from bilevel.store.reader import FILE as STORE
from bilevel.verifying.comparisons import REPORTS, check_comparison
from bilevel.verifying.reports import check_plots, check_report, check_reports
from bilevel.verifying.runs import check_run
from bilevel.verifying.tally import Difference, Tally


@dataclass(frozen=True)
class Verified:
    """How many numbers were compared with the records, what differs, and what must be known beside it."""

    of: str
    checked: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def verify(path: Path, run: Path | None = None) -> Verified:
    """Compute again what a run folder, a comparison's folder, or one file of theirs states.

    `run`: the run folder that a report rests on which lies elsewhere. Raises InputError for what is none of these.
    """
    folder, stated = (path, None) if path.is_dir() else (run or path.parent, path)
    if stated is not None and not stated.is_file():
        raise InputError(f"there is nothing at {str(path)!r} to verify")
    tally = Tally()
    if is_comparison(folder):
        if stated is not None and stated.name not in REPORTS:
            raise InputError(f"{str(path)!r} is no report of a comparison; those are {', '.join(REPORTS)}")
        check_comparison(tally, folder, stated)
        if stated is None or stated.suffix in (".html", ".md"):
            check_plots(tally, folder, folder if stated is None else stated.parent)
    elif (folder / STORE).is_file():
        _check_run(tally, folder, stated)
    else:
        raise InputError(
            f"there are no records in {str(folder)!r} ({STORE} of a run, {PLAN} of a comparison); a report is verified "
            "where it was written, beside the records that it rests on, or with --run and the run folder"
        )
    return Verified(str(path), tally.checked, tuple(tally.differences), tuple(tally.notes))


def _check_run(tally: Tally, folder: Path, stated: Path | None) -> None:
    if stated is None:
        check_run(tally, folder)
        check_reports(tally, folder)
    elif stated.suffix in (".html", ".md"):
        check_run(tally, folder)
        check_report(tally, folder, stated)
        check_plots(tally, folder, stated.parent)
    elif stated.name == CLAIMS:
        check_run(tally, folder, stated)
    else:
        what = f"its {CLAIMS}, and its {PAGE} and {TEXT} by `bilevel report`"
        raise InputError(f"{str(stated)!r} is no report of a run; what can be verified of one is {what}")
