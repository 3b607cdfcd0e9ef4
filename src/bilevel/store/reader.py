"""Reading a run's records; also while another process writes them."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from bilevel.acts import Act, Effect
from bilevel.call import Call, CallKey, Event
from bilevel.calls import CallSummary
from bilevel.errors import StoreError
from bilevel.lab import Branch, RunKey
from bilevel.space import Candidate
from bilevel.stints import Stint
from bilevel.store.migrations import MIGRATIONS, STEERED, TIMED
from bilevel.store.records import load_call, load_candidate, load_pending, load_run, load_trial, text_hash
from bilevel.trial import Pending, Run, Trial

FILE = "run.sqlite3"
KEPT = 1_000  # trials that a reader keeps: a summary asks for the same ones many times
SUMMARY = "number, level, branch, trial, purpose, asked, model, finish, tokens_in, tokens_out, money, at, seconds"
ACT = "number, kind, what, text, value, source, levels, author, at"
STANDS = (  # what a person's act is checked against, beside the records of trials
    "SELECT (SELECT MAX(number) FROM acts), (SELECT COUNT(*) FROM effects), "
    "(SELECT value FROM meta WHERE key = 'state'), (SELECT value FROM meta WHERE key = 'gate')"
)
T = TypeVar("T")


class Reader:
    """A read-only view of a run folder's records. It never blocks the writer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._candidates: dict[str, Candidate] = {}
        self._by_record: dict[str, Trial] = {}
        self._connection = self._connect()
        self._check_version()

    def _connect(self) -> sqlite3.Connection:
        path = self.folder / FILE
        try:
            connection = _open(path, "ro")
            try:
                connection.execute("PRAGMA user_version")
            except sqlite3.OperationalError:
                if path.with_name(f"{FILE}-wal").exists():
                    raise
                # Nobody writes and we may not: SQLite cannot make its shared memory, and need not.
                connection.close()
                connection = _open(path, "ro&immutable=1")
            return connection
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be opened: {error}") from error

    def _check_version(self) -> None:
        (version,) = self._one("PRAGMA user_version")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"run folder {str(self.folder)!r} was written by a newer version of bilevel (format {version}, this "
                f"one knows {len(MIGRATIONS)}); upgrade bilevel, or use another --folder"
            )
        self._has_calls, self._has_acts = version >= 2, version >= STEERED

    def branches(self) -> list[Branch]:
        """All branches, in the order in which they were opened."""
        rows = self._all("SELECT id, level, parent, at FROM branches ORDER BY position")
        return [Branch(*row) for row in rows]

    def branch(self, branch_id: str) -> Branch:
        row = self._one("SELECT id, level, parent, at FROM branches WHERE id = ?", branch_id)
        if row is None:
            raise StoreError(f"run folder {str(self.folder)!r} has no branch {branch_id!r}")
        return Branch(*row)

    def trials(self, branch_id: str, after: int = -1) -> Sequence[Trial]:
        """A branch's own trials with a number above `after`, in order."""
        rows = self._all("SELECT record FROM trials WHERE branch = ? AND number > ? ORDER BY number", branch_id, after)
        return [self._trial(row[0]) for row in rows]

    def pendings(self, branch_id: str) -> Sequence[Pending]:
        rows = self._all("SELECT record FROM pendings WHERE branch = ? ORDER BY number", branch_id)
        return [self._loaded("a pending trial", load_pending, row[0], self._candidate) for row in rows]

    def under_way(self) -> Sequence[tuple[str, Pending]]:
        """The trials of all branches that are not finished, each with its branch's id."""
        rows = self._all("SELECT branch, record FROM pendings ORDER BY branch, number")
        return [(row[0], self._loaded("a pending trial", load_pending, row[1], self._candidate)) for row in rows]

    def find_run(self, key: RunKey) -> Run | None:
        row = self._one(
            "SELECT record FROM runs WHERE harness = ? AND candidate = ? AND rung = ? AND seed = ?",
            key.harness,
            key.candidate,
            key.rung,
            key.seed,
        )
        return None if row is None else self._loaded("a measurement", load_run, row[0])

    def find_call(self, key: CallKey) -> Call | None:
        if not self._has_calls:
            return None
        row = self._one(
            "SELECT record FROM calls WHERE request = ? AND seed = ? AND repeat = ?", key.request, key.seed, key.repeat
        )
        return None if row is None else self._loaded("a call", load_call, row[0], self._text)

    def call(self, number: int) -> Call:
        """A call by its number. Raises StoreError where there is none."""
        row = self._one("SELECT record FROM calls WHERE number = ?", number) if self._has_calls else None
        if row is None:
            last = len(self.calls())
            raise StoreError(f"run folder {str(self.folder)!r} has no call {number}; its last one is {last}")
        return self._loaded("a call", load_call, row[0], self._text)

    def calls(self, after: int = 0) -> Sequence[CallSummary]:
        if not self._has_calls:
            return []  # written before calls were stored
        rows = self._all(f"SELECT {SUMMARY} FROM calls WHERE number > ? ORDER BY number", after)
        return [CallSummary(*row) for row in rows]

    def events(self, after: int = 0) -> Sequence[tuple[int, Event]]:
        if not self._has_calls:
            return []
        rows = self._all(
            "SELECT position, at, kind, level, text FROM events WHERE position > ? ORDER BY position", after
        )
        return [(row[0], Event(*row[1:])) for row in rows]

    def acts(self, after: int = 0) -> list[Act]:
        """What persons told the run, with a number above `after`, in order."""
        if not self._has_acts:
            return []
        rows = self._all(f"SELECT {ACT} FROM acts WHERE number > ? ORDER BY number", after)
        return [
            Act(number, kind, what, text, value, source, tuple(levels.split()), author, at)
            for number, kind, what, text, value, source, levels, author, at in rows
        ]

    def stands(self) -> tuple[Any, ...]:
        """How the run stands with persons: another tuple after any act, effect, question or change of state."""
        return tuple(self._one(STANDS)) if self._has_acts else ()

    def taken_with(self, branch: str, number: int) -> set[int]:
        """The numbers of the acts that were taken up with a trial."""
        rows = self._all("SELECT act FROM effects WHERE branch = ? AND number = ?", branch, number)
        return {row[0] for row in rows}

    def written_by_others(self) -> int:
        """A number that is another one as soon as another connection has written here."""
        return int(self._one("PRAGMA data_version")[0])

    def effects(self) -> list[Effect]:
        """What became of the acts, by act and time."""
        if not self._has_acts:
            return []
        rows = self._all("SELECT act, branch, number, outcome, said, at FROM effects ORDER BY act, at, branch")
        return [Effect(*row) for row in rows]

    def stints(self) -> list[Stint]:
        """When trials were measured and by which worker, in the order of time; none in a folder of an older version.

        A run that is gone on with gets the table while somebody reads: so the version is looked at each time.
        """
        if self._one("PRAGMA user_version")[0] < TIMED:
            return []
        rows = self._all("SELECT branch, number, worker, began, ended, session FROM stints ORDER BY began, branch")
        return [Stint(*row) for row in rows]

    def misnamed(self) -> list[str]:
        """The candidates and texts whose content is not what their name, a hash of it, says."""
        found = [
            f"candidate {name!r}"
            for name, record in self._all("SELECT id, record FROM candidates ORDER BY id")
            if self._loaded("a candidate", load_candidate, record, self._text).id != name
        ]
        hashes = [row[0] for row in self._all("SELECT hash FROM texts ORDER BY hash")]
        return found + [f"text {name[:12]!r}" for name in hashes if text_hash(self._text(name)) != name]

    def written(self) -> int:
        """A number that differs from the one before where another process, or connection, has written something."""
        (number,) = self._one("PRAGMA data_version")
        return int(number)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block all that is read is of one moment, whatever is written meanwhile."""
        self._all("BEGIN")
        try:
            yield
        finally:
            self._all("ROLLBACK")

    def get_meta(self, key: str) -> str | None:
        row = self._one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _trial(self, record: str) -> Trial:
        """The trial of a record. Equal records are one trial: it is read once, while it is among the last so many."""
        with self._lock:
            made = self._by_record.pop(record, None)
            if made is None:
                made = self._loaded("a trial", load_trial, record, self._candidate)
                if len(self._by_record) >= KEPT:
                    del self._by_record[next(iter(self._by_record))]
            self._by_record[record] = made
            return made

    def _candidate(self, candidate_id: str) -> Candidate:
        if candidate_id not in self._candidates:
            row = self._one("SELECT record FROM candidates WHERE id = ?", candidate_id)
            if row is None:
                raise StoreError(f"run folder {str(self.folder)!r} is damaged: candidate {candidate_id!r} is missing")
            self._candidates[candidate_id] = self._loaded("a candidate", load_candidate, row[0], self._text)
        return self._candidates[candidate_id]

    def _text(self, digest: str) -> str:
        row = self._one("SELECT text FROM texts WHERE hash = ?", digest)
        if row is None:
            raise StoreError(f"run folder {str(self.folder)!r} is damaged: text {digest[:12]!r} is missing")
        text: str | bytes = row[0]
        return text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")

    def _loaded(self, what: str, load: Callable[..., T], record: str, *more: object) -> T:
        try:
            return load(record, *more)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"run folder {str(self.folder)!r} is damaged: {what} cannot be read ({error}); restore it from a copy, "
                f"or use another --folder. The record begins: {record[:80]!r}"
            ) from error

    def _one(self, statement: str, *values: object) -> Any:
        rows = self._all(statement, *values)
        return rows[0] if rows else None

    def _all(self, statement: str, *values: object) -> list[Any]:
        try:
            with self._lock:
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"run folder {str(self.folder)!r} cannot be read: {error}") from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=30, check_same_thread=False)
