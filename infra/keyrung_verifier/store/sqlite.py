"""The store in one SQLite file: write-ahead log, synchronous FULL, one immediate transaction for a group of commits.

One connection writes and one reads, each behind a lock, so that a reader never waits for a disk to sync. Several
processes may open the same file; SQLite's own lock puts their commits in a row.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

from keyrung_verifier.errors import StoreError, StoreUnavailableError
from keyrung_verifier.limits import CLOCK_SKEW_SECONDS
from keyrung_verifier.store import sqlite_audit, sqlite_rows
from keyrung_verifier.store.group_commit import Aside, GroupCommit, Unit
from keyrung_verifier.store.protocol import Credential, FailureRow, RecordBuilder, StoredChallenge, Tail, Ticket, Write
from keyrung_verifier.store.sqlite_writes import apply

Result = TypeVar("Result")

# Another process commits in milliseconds; a stuck one must not hold a request for ever.
BUSY_SECONDS = 5.0
# Enough that a sync to disk costs little for each, few enough that a verifier on the same file waits for milliseconds.
BATCH_LIMIT = 500
SCHEMA_VERSION = 4
SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (shard TEXT, seq INTEGER, line BLOB, PRIMARY KEY (shard, seq));
CREATE TABLE IF NOT EXISTS audit_head (shard TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS challenges (
    challenge_hash TEXT PRIMARY KEY, content BLOB NOT NULL, expires_at INTEGER NOT NULL,
    consumed INTEGER NOT NULL DEFAULT 0, wrong_answers INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS challenges_by_expiry ON challenges (expires_at);
CREATE TABLE IF NOT EXISTS consumed (kind TEXT, key TEXT, keep_until INTEGER NOT NULL, PRIMARY KEY (kind, key)) STRICT;
CREATE INDEX IF NOT EXISTS consumed_by_time ON consumed (keep_until);
CREATE TABLE IF NOT EXISTS uses (key TEXT PRIMARY KEY, count INTEGER NOT NULL, keep_until INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS uses_by_time ON uses (keep_until);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS failures (
    subject_id TEXT, factor TEXT, failures INTEGER NOT NULL, not_before INTEGER NOT NULL,
    PRIMARY KEY (subject_id, factor)
) STRICT;
CREATE TABLE IF NOT EXISTS credentials (
    credential_id TEXT PRIMARY KEY, subject_id TEXT NOT NULL, factor TEXT NOT NULL, sealed_seed TEXT, public_jwk TEXT,
    evidence_json TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER, last_used_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS credentials_by_subject ON credentials (subject_id);
CREATE TABLE IF NOT EXISTS answers (
    challenge_hash TEXT, name TEXT, content_json TEXT NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (challenge_hash, name)
) STRICT;
CREATE INDEX IF NOT EXISTS answers_by_expiry ON answers (expires_at);
CREATE TABLE IF NOT EXISTS earned (
    jti_hash TEXT, credential_id TEXT, keep_until INTEGER NOT NULL, PRIMARY KEY (jti_hash, credential_id)
) STRICT;
CREATE INDEX IF NOT EXISTS earned_by_time ON earned (keep_until);
CREATE TABLE IF NOT EXISTS tickets (
    ticket_hash TEXT PRIMARY KEY, ticket_id TEXT NOT NULL UNIQUE, subject_id TEXT NOT NULL, factor TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, redeemed_at INTEGER, revoked_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS tickets_by_subject ON tickets (subject_id);
CREATE TABLE IF NOT EXISTS policy_accepted (
    id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, digest TEXT NOT NULL
) STRICT;
"""
# What a file of a version before has to lose and gain, beside new tables; what it had in flight is refused.
_NEW_EARNED = "DROP TABLE IF EXISTS assertions;"
_UPGRADES = {
    1: f"ALTER TABLE credentials ADD COLUMN last_used_at INTEGER; {_NEW_EARNED}",
    2: _NEW_EARNED,
    3: _NEW_EARNED,
}


class SqliteStore:
    """A `Store` in the file at `path`, which is made on first use and readable by its owner only.

    Threads wait for each other's commits, and for the disk, in ``aside``.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS, aside: Aside = nullcontext) -> None:
        self._path = path
        self._aside = aside
        self._busy_seconds = busy_seconds
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._sync_failed = False
        self._group = GroupCommit(self._commit_together, aside=aside)
        with self._write_lock, self._translated():
            # Made before SQLite opens it: the log and shared memory beside it take over its permissions.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = self._open()
            self._prepare(self._writer)

    @property
    def audit_shards(self) -> Sequence[str]:
        """Return the one chain: a file has one writer at a time."""
        return (sqlite_audit.SHARD,)

    @property
    def batch_limit(self) -> int:
        """Return how many credentials or tickets one commit takes."""
        return BATCH_LIMIT

    def commit(self, writes: Sequence[Write], records: Sequence[RecordBuilder], *, shard: str | None = None) -> Tail:
        """Do all writes and append all records durably, or nothing; commits that come together share one sync."""
        return self._group.commit(Unit(writes, records))

    def challenge(self, challenge_hash: str) -> StoredChallenge | None:
        """Return a challenge, whatever its state."""
        found = self._rows(f"{sqlite_rows.SELECT_CHALLENGE} WHERE challenge_hash = ?", challenge_hash)
        return sqlite_rows.challenge(found[0]) if found else None

    def credentials(self, subject_id: str | None = None) -> Sequence[Credential]:
        """Return the credentials of a subject, or all, oldest first."""
        rows = self._rows_of(sqlite_rows.SELECT_CREDENTIAL, subject_id, order_by="created_at, credential_id")
        return [sqlite_rows.credential(row) for row in rows]

    def credential(self, credential_id: str) -> Credential | None:
        """Return one credential, whatever its state."""
        found = self._rows(f"{sqlite_rows.SELECT_CREDENTIAL} WHERE credential_id = ?", credential_id)
        return sqlite_rows.credential(found[0]) if found else None

    def ticket(self, ticket_hash: str) -> Ticket | None:
        """Return one enrolment ticket."""
        found = self._rows(f"{sqlite_rows.SELECT_TICKET} WHERE ticket_hash = ?", ticket_hash)
        return sqlite_rows.ticket(found[0]) if found else None

    def tickets(self, subject_id: str | None = None) -> Sequence[Ticket]:
        """Return the enrolment tickets of a subject, or all, oldest first."""
        rows = self._rows_of(sqlite_rows.SELECT_TICKET, subject_id, order_by="created_at, ticket_id")
        return [sqlite_rows.ticket(row) for row in rows]

    def failure_rows(self, subject_id: str | None = None) -> Sequence[FailureRow]:
        """Return the failures in a row of a subject, or of all."""
        query = "SELECT subject_id, factor, failures, not_before FROM failures"
        return [
            FailureRow(subject_id=row[0], factor=row[1], failures=row[2], not_before_seconds=row[3])
            for row in self._rows_of(query, subject_id, order_by="subject_id, factor")
        ]

    def accepted_policy_version(self) -> int:
        """Return the highest policy version accepted so far, 0 before the first."""
        found = self._rows("SELECT version FROM policy_accepted")
        return int(found[0][0]) if found else 0

    def audit_line(self, shard: str, seq: int) -> bytes | None:
        """Return one line of the audit log."""
        return self._read(lambda connection: sqlite_audit.line(connection, shard, seq))

    def audit_tail(self, shard: str) -> Tail:
        """Return what the log ends in after comparing it with the line itself."""
        return self._read(sqlite_audit.tail)

    def housekeep(self, now_seconds: int) -> None:
        """Forget what is over; a used mark says itself until when it is kept."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM consumed WHERE keep_until < ?", (now_seconds,))
            connection.execute("DELETE FROM uses WHERE keep_until < ?", (now_seconds,))
            connection.execute("DELETE FROM earned WHERE keep_until < ?", (now_seconds,))
            over = (now_seconds - 2 * CLOCK_SKEW_SECONDS,)
            connection.execute("DELETE FROM challenges WHERE expires_at < ?", over)
            connection.execute("DELETE FROM answers WHERE expires_at < ?", over)
            connection.execute("DELETE FROM tickets WHERE expires_at < ?", over)

    def close(self) -> None:
        """Close both connections."""
        with self._write_lock, self._read_lock:
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _open_again(self) -> sqlite3.Connection:
        connection = self._open()
        if self._sync_failed:
            # What was not synced may be lost though the system has it in memory and will not write it again. Nothing
            # may follow it in the log, so all of it goes into the database first, which is synced.
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                connection.close()
                raise StoreUnavailableError(f"the store {self._path} is read by another program; try again")
            self._sync_failed = False
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreUnavailableError(f"{self._path} was written by a newer version of this program; update it")
        connection.execute("BEGIN IMMEDIATE")
        # Asked again under the lock: another process may have brought the file up to date just now.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        statements = f"{SCHEMA}{_UPGRADES.get(version, '')} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
        for statement in statements.split(";"):  # `executescript` would commit first, and let the lock go
            connection.execute(statement)

    def _commit_together(self, group: Sequence[Unit]) -> None:
        ends: list[Tail] = []
        try:
            with self._transaction() as connection:
                before = tail = sqlite_audit.tail(connection)
                for unit in group:
                    tail = _do(connection, unit, tail)
                    ends.append(tail)
                if tail != before:
                    sqlite_audit.keep_tail(connection, tail)
        except StoreError as error:
            for unit in group:  # a condition that failed on what an earlier unit did, and did not do after all, too
                unit.error = type(error)(str(error))
        else:
            for unit, end in zip(group, ends, strict=True):
                unit.tail = end

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, self._translated():
            connection = self._writer = self._writer or self._open_again()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                with self._aside():
                    connection.execute("COMMIT")
            except sqlite3.Error as error:
                # After a failed write nobody knows what this connection believes: the next commit opens a new one,
                # and recovery reads only what the file holds.
                self._writer = None
                self._sync_failed |= getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_FSYNC
                with suppress(sqlite3.Error):
                    connection.close()
                raise
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _read(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what one statement reads; what comes from one statement comes from one moment."""
        with self._read_lock:
            try:
                connection = self._reader = self._reader or self._open()
                return read(connection)
            except (sqlite3.Error, OSError) as error:
                broken, self._reader = self._reader, None
                with suppress(sqlite3.Error):
                    if broken is not None:
                        broken.close()
                raise self._unavailable(error) from error

    def _rows(self, query: str, *values: str | int) -> list[Any]:
        return self._read(lambda connection: connection.execute(query, values).fetchall())

    def _rows_of(self, query: str, subject_id: str | None, *, order_by: str) -> list[Any]:
        """Return the rows of a subject, found by an index, or all."""
        if subject_id is None:
            return self._rows(f"{query} ORDER BY {order_by}")
        return self._rows(f"{query} WHERE subject_id = ? ORDER BY {order_by}", subject_id)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the store {self._path} cannot be used ({error}); check free space and permissions"
        )


def _do(connection: sqlite3.Connection, unit: Unit, tail: Tail) -> Tail:
    """Do one unit's part of a transaction and return the log's end after it; a unit that fails leaves nothing."""
    connection.execute("SAVEPOINT unit")
    try:
        for write in unit.writes:
            apply(connection, write)
        tail = sqlite_audit.append(connection, unit.records, tail)
    except sqlite3.Error:
        raise  # nobody knows what is left of the transaction
    except Exception as error:
        unit.error = error
        connection.execute("ROLLBACK TO unit")
    connection.execute("RELEASE unit")
    return tail
