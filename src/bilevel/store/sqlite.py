"""The store of a run: one SQLite file in write-ahead mode, one writer, whole records.

What was returned from a method is on disk: `synchronous=FULL` for everything that a resume builds on. One connection
serves all threads of the one writing process, one transaction at a time.
"""

import errno
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from bilevel.acts import TAKEN, Act, Effect
from bilevel.call import Call, Event
from bilevel.errors import DiskFull, Diverged, StoreError
from bilevel.lab import Branch, RunKey
from bilevel.space import Candidate
from bilevel.stints import Stint
from bilevel.store.migrations import MIGRATIONS, STEERED
from bilevel.store.reader import FILE, STANDS, Reader
from bilevel.store.records import dump_call, dump_candidate, dump_record, dump_run, text_column, text_hash
from bilevel.trial import Pending, Run, Trial

SYNCHRONOUS = "FULL"  # how SQLite waits for the disk: a transaction that has returned outlives a power cut
LEAST_FREE = 64 * 1024  # bytes; with less than this on its disk SQLite cannot work


class SqliteStore(Reader):
    """The writer. Only one process may have it open; `RunFolder` holds the lock."""

    def __init__(self, folder: Path) -> None:
        self._stored: set[str] = set()  # candidates that are on disk
        self._fresh: set[str] = set()  # candidates of the transaction that is open
        self._stints: dict[tuple[str, int], Stint] = {}  # of trials that are not stored yet
        super().__init__(folder)
        self._stored.update(row[0] for row in self._all("SELECT id FROM candidates"))
        self._session = self._one("SELECT COALESCE(MAX(session), 0) + 1 FROM stints")[0]

    def _connect(self) -> sqlite3.Connection:
        path = self.folder / FILE
        try:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            connection.execute("PRAGMA journal_mode = WAL")
            return connection
        except sqlite3.Error as error:
            raise mended(error, self.folder) from error

    def _check_version(self) -> None:
        super()._check_version()
        (version,) = self._one("PRAGMA user_version")
        if version < len(MIGRATIONS):
            with self._transaction():
                for migration in MIGRATIONS[version:]:
                    for statement in migration.split(";"):
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        self._has_calls = self._has_acts = True

    def open_branch(self, branch: Branch) -> None:
        with self._transaction():
            self._connection.execute(
                "INSERT OR IGNORE INTO branches (id, level, parent, at) VALUES (?, ?, ?, ?)",
                (branch.id, branch.level, branch.parent, branch.at),
            )

    def add_pending(self, branch_id: str, pending: Pending) -> None:
        self.branch(branch_id)
        with self._transaction():
            self._add_candidates(pending.parent, pending.proposal.candidate)
            self._connection.execute(
                "INSERT OR REPLACE INTO pendings VALUES (?, ?, ?)", (branch_id, pending.number, dump_record(pending))
            )
            self._took_up(pending.acts, branch_id, pending.number)

    def _took_up(self, acts: Sequence[Act], branch: str, number: int) -> None:
        now = time.time()
        self._connection.executemany(
            "INSERT OR IGNORE INTO effects VALUES (?, ?, ?, ?, '', ?)",
            [(act.number, branch, number, TAKEN, now) for act in acts],
        )

    def add_effect(self, effect: Effect) -> None:
        """Write what became of an act; the first word on it stands."""
        row = (effect.act, effect.branch, effect.number, effect.outcome, effect.said, effect.at)
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO effects VALUES (?, ?, ?, ?, ?, ?)", row)

    def worked(self, stint: Stint) -> None:
        """Keep a stint until its trial is stored; it is written with that."""
        self._stints[stint.branch, stint.number] = replace(stint, session=self._session)

    def add_trial(self, branch_id: str, trial: Trial) -> None:
        """Write a trial and remove its pending record. Raises Diverged where another trial has its number."""
        self.branch(branch_id)
        record = dump_record(trial)
        with self._transaction():
            row = self._one("SELECT record FROM trials WHERE branch = ? AND number = ?", branch_id, trial.number)
            if row is not None and row[0] != record:
                raise Diverged(f"trial {trial.number} of branch {branch_id!r} is stored already, and is another one")
            self._add_candidates(trial.parent, trial.candidate)
            self._connection.execute("INSERT OR IGNORE INTO trials VALUES (?, ?, ?)", (branch_id, trial.number, record))
            self._took_up(trial.late, branch_id, trial.number)
            if (stint := self._stints.pop((branch_id, trial.number), None)) is not None:
                times = stint.worker, stint.began, stint.ended, stint.session
                self._connection.execute(
                    "INSERT OR IGNORE INTO stints VALUES (?, ?, ?, ?, ?, ?)", (branch_id, trial.number, *times)
                )
            self._connection.execute("DELETE FROM pendings WHERE branch = ? AND number = ?", (branch_id, trial.number))

    def add_run(self, key: RunKey, run: Run) -> None:
        with self._transaction():
            self._connection.execute(
                "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?)",
                (key.harness, key.candidate, key.rung, key.seed, dump_run(run)),
            )

    def add_call(self, call: Call) -> None:
        reply, key = call.reply, call.key
        row = (
            call.number, key.request, key.seed, key.repeat, call.level, call.branch, call.trial, call.purpose,
            call.asked, reply.model, reply.finish.value, reply.tokens_in, reply.tokens_out, reply.money, call.at,
            call.seconds, dump_call(call),
        )  # fmt: skip
        with self._transaction():
            for message in call.request.messages:
                self._add_text(message.text)
            marks = ", ".join("?" * len(row))
            self._connection.execute(f"INSERT OR IGNORE INTO calls VALUES ({marks})", row)

    def add_event(self, event: Event) -> None:
        with self._transaction():
            self._connection.execute(
                "INSERT INTO events (at, kind, level, text) VALUES (?, ?, ?, ?)",
                (event.at, event.kind, event.level, event.text.encode("utf-8", "replace").decode()),
            )

    def put_meta(self, key: str, value: str) -> None:
        with self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def put_meta_soon(self, key: str, value: str) -> None:
        """Write a fact that outlives the process at once, and a power cut only once anything else is written."""
        with self._lock:
            self._connection.execute("PRAGMA synchronous = NORMAL")
            try:
                self.put_meta(key, value)
            finally:
                self._connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")

    def limit_pages(self, pages: int) -> None:
        """Let the file grow to so many pages at most: a full disk, for tests and quotas."""
        self._connection.execute(f"PRAGMA max_page_count = {int(pages)}")

    def _add_candidates(self, *candidates: Candidate) -> None:
        for candidate in candidates:
            if candidate.id not in self._stored and candidate.id not in self._fresh:
                self._fresh.add(candidate.id)
                for text in candidate.files.values():
                    self._add_text(text)
                self._connection.execute(
                    "INSERT OR IGNORE INTO candidates VALUES (?, ?)", (candidate.id, dump_candidate(candidate))
                )

    def _add_text(self, text: str) -> None:
        self._connection.execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (text_hash(text), text_column(text)))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
                self._stored |= self._fresh
                self._fresh = set()
            except (sqlite3.Error, OSError) as error:
                self._roll_back()
                raise mended(error, self.folder) from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        self._fresh = set()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def append_act(folder: Path, act: Act) -> Act:
    """Write down what a person tells the run, whoever is writing there; returns it with its number.

    Raises StoreError for a folder of an older version, which the process that writes there would not look at.
    """
    with _appending(folder) as connection:
        return _appended(connection, act)


def append_act_where(folder: Path, act: Act, stands: tuple[object, ...]) -> Act | None:
    """The same, if the run still stands with persons as it did (`Reader.stands`); None, and nothing written, if not."""
    with _appending(folder) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if tuple(connection.execute(STANDS).fetchone()) != stands:
                return None
            given = _appended(connection, act)
            connection.execute("COMMIT")
            return given
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


@contextmanager
def _appending(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection of a process that is not the one that writes here."""
    try:
        connection = sqlite3.connect(f"{_address(folder)}?mode=rw", uri=True, timeout=30, isolation_level=None)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if not STEERED <= version <= len(MIGRATIONS):
                raise StoreError(
                    f"run folder {str(folder)!r} has format {version}, and runs can be steered from format "
                    f"{STEERED} on; stop it and go on with it in this version: `bilevel resume {folder}`"
                )
            connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise mended(error, folder) from error


def _appended(connection: sqlite3.Connection, act: Act) -> Act:
    row = (
        act.kind, act.what, act.text, act.value, act.source, " ".join(act.levels), act.author, act.at,
    )  # fmt: skip
    done = connection.execute(
        "INSERT INTO acts (kind, what, text, value, source, levels, author, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
    )
    return replace(act, number=int(done.lastrowid or 0))


def _address(folder: Path) -> str:
    return f"file:{quote(str((folder / FILE).absolute()))}"


def mended(error: Exception, folder: Path) -> StoreError:
    """The error with a message that says what to do."""
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or _is_full(error, folder):
        return DiskFull(
            f"the disk of run folder {str(folder)!r} is full; what was stored is safe: free some space and go on with "
            f"`bilevel resume {folder}`"
        )
    return StoreError(f"run folder {str(folder)!r} cannot be written: {error}")


def _is_full(error: Exception, folder: Path) -> bool:
    """Whether SQLite says so, or fails where there is no room: on a very full disk it says "disk I/O error"."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code == sqlite3.SQLITE_FULL:
        return code is not None
    return code & 0xFF == sqlite3.SQLITE_IOERR and shutil.disk_usage(folder).free < LEAST_FREE
