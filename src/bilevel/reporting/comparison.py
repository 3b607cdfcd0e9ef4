"""The report of a comparison, made again from its runs as they are now."""

import json
from pathlib import Path
from typing import Any

from bilevel.codec import plain
from bilevel.compare.analysis import analyse
from bilevel.compare.folder import Folder, open_folder, write_text
from bilevel.compare.html import page
from bilevel.compare.markdown import markdown
from bilevel.compare.results import Result
from bilevel.compare.stating import statements_of
from bilevel.reporting import plots
from bilevel.reporting.writing import PAGE, TEXT, written
from bilevel.statements import lists
from bilevel.statements import write as state_claims

RESULT = "result.json"


def write_comparison(folder: Path, to: Path, with_plots: bool) -> list[Path]:
    """Write what a comparison's runs say by now into a folder, and say which files that are.

    In the comparison's own folder its result and claims are written too. Raises BilevelError where it cannot be read.
    """
    found = open_folder(folder)
    result = analyse(found)
    files = plots.drawn(plots.of_comparison(result)) if with_plots else {}
    if to.resolve() == folder.resolve():
        write_result(found, result)
    return written(to, {PAGE: page(result), TEXT: markdown(result)}, files)


def write_result(folder: Folder, result: Result) -> None:
    """The result and the claims, for other programs."""
    write_text(folder.path / RESULT, json.dumps(written_result(result), indent=2) + "\n")
    state_claims(folder.path, statements_of(folder, result))


def written_result(result: Result) -> Any:
    """The result as it is stored: what an older version did not know is left out where it says nothing."""
    found = lists(plain(result))
    for one in found["best"]:
        if not one["patch"]:
            del one["patch"]
    return found if found["sealed"] else {key: value for key, value in found.items() if key != "sealed"}
