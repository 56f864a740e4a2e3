"""The file behind the inventory: tables, what older files gain, and transactions that commit whole or did nothing."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from keyrung_provisioners.errors import BackendUnavailableError

_BUSY_SECONDS = 30  # another process commits in milliseconds; a stuck one must not block for ever
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    owner TEXT NOT NULL,
    generation INTEGER NOT NULL,
    uri TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    purpose TEXT NOT NULL,
    claim_id BLOB NOT NULL,
    claimed_at TEXT NOT NULL,
    state TEXT NOT NULL,
    fingerprint TEXT,
    public_key_pem TEXT,
    evidence TEXT,
    custody TEXT NOT NULL DEFAULT 'sole',
    state_since TEXT NOT NULL DEFAULT '',
    use_not_before TEXT,
    cryptoperiod_days INTEGER,
    copy_uri TEXT,
    source TEXT,
    PRIMARY KEY (owner, generation)
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_living_owner_per_uri ON keys (uri) WHERE state <> 'destroyed';
CREATE TABLE IF NOT EXISTS holders (
    owner TEXT NOT NULL,
    generation INTEGER NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (owner, generation)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    event TEXT NOT NULL,
    at TEXT NOT NULL,
    uri TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    purpose TEXT NOT NULL,
    fingerprint TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS statements (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    generation INTEGER NOT NULL,
    statement TEXT NOT NULL,
    signed TEXT
) STRICT;
"""
# What an older inventory gains, by the column it lacks: none of its keys is escrowed, each was in use since its claim.
_MIGRATIONS = {
    "custody": "ALTER TABLE keys ADD COLUMN custody TEXT NOT NULL DEFAULT 'sole'",
    "state_since": "ALTER TABLE keys ADD COLUMN state_since TEXT NOT NULL DEFAULT '';"
    " UPDATE keys SET state_since = claimed_at",
    "use_not_before": "ALTER TABLE keys ADD COLUMN use_not_before TEXT;"
    " UPDATE keys SET use_not_before = claimed_at WHERE state <> 'pre-activation'",
    "cryptoperiod_days": "ALTER TABLE keys ADD COLUMN cryptoperiod_days INTEGER",
    "copy_uri": "ALTER TABLE keys ADD COLUMN copy_uri TEXT",
    "source": "ALTER TABLE keys ADD COLUMN source TEXT",
}


class SqliteFile:
    """One SQLite file; safe for many processes, each transaction in a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``; it is made, readable by its owner only, on first use."""
        self.path = path
        self._prepared = False
        self._turn = threading.Lock()  # threads that wait for SQLite's own lock would sleep and poll
        self._held: sqlite3.Connection | None = None

    def hold_open(self) -> None:
        """Keep the file open as long as this object lives, for a process with many transactions.

        Whoever closes it last writes the log back into it, which costs more than a commit.
        """
        with translated(self.path), self._turn:
            if self._held is None:
                self._prepare()
                self._held = self._connect()
                self._held.execute("SELECT 1 FROM keys LIMIT 1").fetchone()  # opens the log, too

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside a transaction that is committed at the end, or rolled back on an error."""
        with translated(self.path), self._turn:
            if not self._prepared or not self.path.exists():
                self._prepare()
            with closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    if connection.in_transaction:  # on a full disk SQLite has rolled back by itself
                        connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare(self) -> None:
        """Have the file with its tables there; once, since every call needs them and none changes them."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never a descriptor of a file that is there: closing it would drop the locks of this process's connections, and
        # another process would then remove the write-ahead log under them (sqlite.org, "How To Corrupt", section 2.2).
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            known = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('keys')")}
            for column, statements in _MIGRATIONS.items():
                for statement in statements.split(";") if column not in known else ():
                    connection.execute(statement)
            connection.execute("COMMIT")
        self._prepared = True


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Have what SQLite and the system raise about ``path`` leave as `BackendUnavailableError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise BackendUnavailableError(
            f"the key inventory {path} cannot be used ({error})", fix="check free space and permissions"
        ) from error
