"""The report of a comparison, made again from its runs as they are now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bilevel.codec import plain
from bilevel.compare.analysis import analyse
from bilevel.compare.folder import Folder, open_folder, write_text
from bilevel.compare.html import page
from bilevel.compare.markdown import markdown
from bilevel.compare.results import Result
from bilevel.compare.stating import statements_of
from bilevel.reporting import plots
from bilevel.reporting.writing import PAGE, TEXT, plots_in, written
from bilevel.statements import FILE as CLAIMS
from bilevel.statements import lists
from bilevel.statements import write as state_claims

RESULT = "result.json"


class Written(NamedTuple):
    """The files that were written, and those that were there and stay: where a task is gone, the records give less
    than what was written while it was there."""

    files: list[Path]
    kept: list[Path]


def write_comparison(folder: Path, to: Path, with_plots: bool) -> Written:
    """Write what a comparison's runs say by now into a folder.

    In the comparison's own folder its result and claims are written too. Raises BilevelError where it cannot be read.
    """
    found = open_folder(folder)
    result = analyse(found)
    kept = write_result(found, result) if to.resolve() == folder.resolve() else []
    documents, stay = _unless_there(found, to, {PAGE: page(result), TEXT: markdown(result)})
    there = plots_in(to) if found.gone() else []
    files = plots.drawn(plots.of_comparison(result)) if with_plots and not there else {}
    return Written(written(to, documents, files, there), [*kept, *stay, *([to / plots.FOLDER] if there else [])])


def write_documents(folder: Folder, result: Result) -> list[Path]:
    """Write the result, the claims and the two documents into the comparison's folder; gives those that stay."""
    kept = write_result(folder, result)
    documents, stay = _unless_there(folder, folder.path, {TEXT: markdown(result), PAGE: page(result)})
    for name, text in documents.items():
        write_text(folder.path / name, text)
    return [*kept, *stay]


def write_result(folder: Folder, result: Result) -> list[Path]:
    """The result and the claims, for other programs; gives those that stay as they are."""
    documents, kept = _unless_there(
        folder, folder.path, {RESULT: json.dumps(written_result(result), indent=2) + "\n", CLAIMS: ""}
    )
    if RESULT in documents:
        write_text(folder.path / RESULT, documents[RESULT])
    if CLAIMS in documents:
        state_claims(folder.path, statements_of(folder, result))
    return kept


def _unless_there(folder: Folder, to: Path, documents: Mapping[str, str]) -> tuple[dict[str, str], list[Path]]:
    """What is to be written, and the files that stay."""
    kept = [to / name for name in documents if (to / name).exists()] if folder.gone() else []
    return {name: text for name, text in documents.items() if to / name not in kept}, kept


def written_result(result: Result) -> Any:
    """The result as it is stored: what an older version did not know is left out where it says nothing."""
    found = lists(plain(result))
    for one in found["best"]:
        if not one["patch"]:
            del one["patch"]
    return found if found["sealed"] else {key: value for key, value in found.items() if key != "sealed"}
