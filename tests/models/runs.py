"""What a run folder holds, and what a user calls a model."""

import sqlite3
from pathlib import Path

from asking import full_name

from bilevel.lab import Traces
from bilevel.levels import level_named
from bilevel.run import recorded
from bilevel.store.folder import RunFolder


def model_of(style: str) -> str:
    return full_name(style)


def fingerprints(folder: str | Path) -> list[str]:
    """The fingerprint of every branch's trace."""
    opened = RunFolder.read(Path(folder))
    try:
        _, spec = recorded(opened.config)
        traces = Traces(opened.store)
        return [
            traces.trace(b.id, level_named(spec, b.level).task.objective).fingerprint() for b in opened.store.branches()
        ]
    finally:
        opened.close()


def events(folder: str | Path, *kinds: str) -> list[str]:
    """The texts of a run's events of some kinds, in order."""
    with sqlite3.connect(Path(folder) / "run.sqlite3") as connection:
        rows = connection.execute("SELECT kind, text FROM events ORDER BY position").fetchall()
    return [text for kind, text in rows if not kinds or kind in kinds]
