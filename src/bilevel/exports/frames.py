"""Rows as a pandas data frame; pandas is imported when a frame is asked for."""

import importlib
import importlib.util
from typing import Any

from bilevel.errors import MissingExtra
from bilevel.exports.rows import Table

DTYPES = {str: "string", int: "Int64", float: "float64", bool: "boolean", object: "object"}


def frame(table: Table) -> Any:
    """A `pandas.DataFrame` with a row per row of the table; a missing number is NaN or NA, never 0.

    Whole numbers are `Int64`, truth values `boolean` and texts `string`, the kinds of pandas that can be missing.
    Raises MissingExtra where pandas is not installed.
    """
    if importlib.util.find_spec("pandas") is None:
        raise MissingExtra("a data frame", "pandas")
    pandas: Any = importlib.import_module("pandas")
    return pandas.DataFrame(
        {
            name: pandas.Series([row.get(name) for row in table.rows], dtype=DTYPES[kind])
            for name, kind in table.columns.items()
        }
    )
