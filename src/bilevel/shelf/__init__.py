"""Mechanisms as users have them: where they lie, what is known of each, and how they come out of a run and in.

    find("user:mine")               the one mechanism that a name means: name, source, origin
    every()                         all there are, by the shortest name that means each
    evidence_for("gpt-table")       what was measured on tasks of that family, by the same names

`places` folders of a platform · `found` a mechanism with what is known of it · `record` the file NAME.toml · `shelves`
the four places · `packages` entry points · `archives` files that come from elsewhere · `storing` putting in and taking
out · `measuring` what a run's forks say · `lives` a mechanism's whole life in a run.
"""

from collections.abc import Mapping

from bilevel.shelf.found import ORIGINS, Found, read
from bilevel.shelf.record import Measurement, Record
from bilevel.shelf.shelves import every, find, plain, shipped_texts

__all__ = [
    "ORIGINS",
    "Found",
    "Measurement",
    "Record",
    "every",
    "evidence_for",
    "find",
    "plain",
    "read",
    "shipped_texts",
]


def evidence_for(family: str, *, foreign: bool = False) -> Mapping[str, Measurement]:
    """The measurement that says most of each mechanism that was measured at level 1 on tasks of a family, by its name.

    What somebody else measured (an imported mechanism's record, or a package's) is left out unless `foreign`.
    """
    best = {name: found.best(family) for name, found in every().items() if foreign or not found.foreign}
    return {name: measurement for name, measurement in best.items() if measurement is not None and not measurement.on}
