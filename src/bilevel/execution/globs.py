"""Patterns for relative POSIX paths: `*`, `?` and `[…]` inside one segment, `**` for any number of segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether the whole `path` matches one of the patterns; case counts, a leading dot is nothing special.

    `src/**` matches `src` and all below it, `**/*.py` a Python file at any depth, `*.py` one at the top only.
    """
    parts = path.split("/")
    return any(_match(parts, glob.split("/")) for glob in globs)


def _match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Row by row: which prefixes of `parts` the pattern so far can match; no backtracking."""
    reached = [True] + [False] * len(parts)
    for segment in pattern:
        if segment == "**":
            first = reached.index(True) if True in reached else len(reached)
            reached = [position >= first for position in range(len(reached))]
        else:
            fits = [before and fnmatchcase(part, segment) for before, part in zip(reached, parts, strict=False)]
            reached = [False, *fits]
    return reached[-1]
