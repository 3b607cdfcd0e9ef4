"""Writing a report: its two documents, and its plots beside them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bilevel.compare.folder import write_text
from bilevel.errors import InputError
from bilevel.reporting import plots
from bilevel.reporting.document import PAGE as PAGE
from bilevel.reporting.document import TEXT as TEXT
from bilevel.reporting.document import Report
from bilevel.reporting.html import page
from bilevel.reporting.markdown import markdown
from bilevel.reporting.run import report_of
from bilevel.reporting.seen import Seen, seen


def write_run(run: Path, to: Path, with_plots: bool) -> list[Path]:
    """Write the report of a run folder into a folder, and say which files that are.

    Raises BilevelError where the records cannot be read, InputError where the files cannot be written.
    """
    with seen(run) as found:
        report = report_of(found)
        files = plots.drawn(plots.of_run(found)) if with_plots else {}
    return written(to, {PAGE: page(report), TEXT: markdown(report, names(files))}, files)


def written(
    to: Path, documents: Mapping[str, str], files: Mapping[str, bytes], stay: Sequence[Path] = ()
) -> list[Path]:
    """The documents, and the plots in place of those that were there, but for some that `stay`."""
    try:
        to.mkdir(parents=True, exist_ok=True)
        for old in plots_in(to):
            if old.name not in files and old not in stay:
                old.unlink()
        for name, data in files.items():
            _write(to / plots.FOLDER / name, data)
        for name, text in documents.items():
            write_text(to / name, text)
    except OSError as error:
        raise InputError(f"the report cannot be written into {str(to)!r}: {error.strerror or error}") from error
    return [*(to / name for name in documents), *(to / plots.FOLDER / name for name in files)]


def names(files: Mapping[str, object]) -> list[str]:
    """The plots that there are, by name, from the names of their files."""
    return [name.removesuffix(".png") for name in files if name.endswith(".png")]


def plots_in(folder: Path) -> list[Path]:
    """The files of plots that lie beside a report."""
    return [path for kind in plots.KINDS for path in sorted((folder / plots.FOLDER).glob(f"*.{kind}"))]


def documents(found: Seen, folder: Path) -> tuple[Report, dict[str, str]]:
    """The report that the records give now, and both documents as they would be beside the plots of a folder."""
    report = report_of(found)
    beside = names({path.name: path for path in plots_in(folder)})
    return report, {PAGE: page(report), TEXT: markdown(report, beside)}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    os.replace(beside, path)
