"""The store in SQLite keeps the contract of all stores, and what only a file can get wrong."""

import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contract.store import MARK, Forget, StoreContract, holds, line
from contract.store_subjects import SubjectsContract, credential

from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.store.protocol import AddCredential, Store, UseCredential
from keyrung_verifier.store.sqlite import SqliteStore


class TestSqlite(StoreContract, SubjectsContract):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        opened: list[Store] = []

        def make() -> Store:
            opened.append(SqliteStore(tmp_path / "store.db"))
            return opened[-1]

        yield make
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, reopen: Callable[[], Store]) -> Store:
        return reopen()

    @pytest.fixture
    def forget(self, store: Store) -> Forget:
        return store.housekeep

    @pytest.fixture
    def remove_line(self, tmp_path: Path) -> Callable[[str, int], None]:
        def remove(shard: str, seq: int) -> None:
            with sqlite3.connect(tmp_path / "store.db") as connection:
                connection.execute("DELETE FROM audit WHERE shard = ? AND seq = ?", (shard, seq))
            connection.close()

        return remove


def test_the_file_and_what_sqlite_puts_beside_it_are_for_the_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    holds(store, MARK)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    store.close()


def test_commits_are_synced_in_full_to_a_write_ahead_log(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    assert store._writer is not None

    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_store_of_the_version_before_is_brought_up_to_date_with_all_it_holds(tmp_path: Path) -> None:
    old = SqliteStore(tmp_path / "store.db")
    assert holds(old, AddCredential(credential=credential(1)))
    old.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript(
        "ALTER TABLE credentials DROP COLUMN last_used_at; DROP TABLE earned; DROP TABLE tickets;"
        " CREATE TABLE assertions (jti_hash TEXT PRIMARY KEY, credential_id TEXT, keep_until INTEGER) STRICT;"
        " PRAGMA user_version = 1;"
    )
    connection.close()

    for _ in range(2):
        store = SqliteStore(tmp_path / "store.db")
        assert [each.credential_id for each in store.credentials()] == ["id-1"]
        assert holds(store, UseCredential(credential_id="id-1", now_seconds=7))
        store.close()


def test_a_store_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store.db").close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreUnavailableError, match="newer"):
        SqliteStore(tmp_path / "store.db")


@pytest.mark.parametrize("kind", ["folder", "garbage", "missing folder"])
def test_a_path_that_cannot_be_a_store_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"not a database, but long enough to be looked at as one" * 50)
    else:
        path = tmp_path / "nowhere" / "store.db"

    with pytest.raises(StoreUnavailableError, match="check free space and permissions"):
        SqliteStore(path)


def test_the_head_is_read_whole_while_another_appends(tmp_path: Path) -> None:
    """Number, hash and line come from one moment; read from two, an untouched log would look shortened."""
    store, ended = SqliteStore(tmp_path / "store.db"), threading.Event()

    def append() -> None:
        for _ in range(400):
            store.commit([], [line])
        ended.set()

    writer = threading.Thread(target=append)
    writer.start()
    try:
        while not ended.is_set():
            store.audit_tail("main")
    finally:
        writer.join()
    assert store.audit_tail("main").seq == 399
    store.close()
