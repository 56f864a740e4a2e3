"""The inventory's word on a key at this moment."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.recorded_keys import record_key

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.serve.key_watch import KeyWatch
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import BackendUnavailableError, KeyRefusedError
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_URI = KeyUri.parse("pkcs11:token=t;object=one")


@pytest.fixture
def inventory(tmp_path: Path) -> SqliteInventory:
    made = SqliteInventory(tmp_path / "inventory.db")
    record_key(made, str(_URI))
    return made


def _move(inventory: SqliteInventory, state: KeyState) -> None:
    row = inventory.find(_URI)
    assert row is not None
    inventory.transition(row, state, now=datetime.now(UTC))


def test_a_change_is_seen_by_the_next_question(inventory: SqliteInventory, tmp_path: Path) -> None:
    watch = KeyWatch(tmp_path / "inventory.db")
    for state in (KeyState.SUSPENDED, KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED):
        assert watch.state(_URI, 1) is not state
        _move(inventory, state)
        assert watch.state(_URI, 1) is state


_MOVE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.states import KeyState
inventory = SqliteInventory(Path(sys.argv[1]))
inventory.transition(inventory.rows()[0], KeyState(sys.argv[2]), now=datetime.now(UTC))
"""


def test_a_change_by_another_process_is_seen_though_this_one_opens_the_inventory_again_and_again(
    inventory: SqliteInventory, tmp_path: Path
) -> None:
    path = tmp_path / "inventory.db"
    watch = KeyWatch(path)
    for state in ("suspended", "active", "suspended", "compromised"):
        watch.state(_URI, 1)
        assert SqliteInventory(path).rows()
        subprocess.run([sys.executable, "-c", _MOVE, str(path), state], check=True)
        assert watch.state(_URI, 1) == state


def test_what_happened_is_handed_over_before_the_state_is_told_and_once(
    inventory: SqliteInventory, tmp_path: Path
) -> None:
    news: list[str] = []
    watch = KeyWatch(tmp_path / "inventory.db", on_news=lambda: news.append("news"))
    watch.state(_URI, 1)
    watch.state(_URI, 1)
    assert news == ["news"]
    _move(inventory, KeyState.SUSPENDED)
    watch.state(_URI, 1)
    watch.state(_URI, 1)
    assert news == ["news"] * 2


def test_news_that_cannot_be_handed_over_let_nothing_be_used(inventory: SqliteInventory, tmp_path: Path) -> None:
    def full() -> None:
        raise OSError("the disk is full")

    watch = KeyWatch(tmp_path / "inventory.db", on_news=full)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            watch.state(_URI, 1)


@pytest.mark.parametrize(("uri", "generation"), [(_URI, 2), (KeyUri.parse("pkcs11:token=t;object=other"), 1)])
def test_a_key_that_is_not_recorded_is_refused(
    inventory: SqliteInventory, tmp_path: Path, uri: KeyUri, generation: int
) -> None:
    with pytest.raises(KeyRefusedError, match="has no generation"):
        KeyWatch(tmp_path / "inventory.db").state(uri, generation)


def test_an_inventory_that_is_missing_or_broken_is_no_permission_and_is_not_made(
    inventory: SqliteInventory, tmp_path: Path
) -> None:
    with pytest.raises(BackendUnavailableError):
        KeyWatch(tmp_path / "nowhere.db").state(_URI, 1)
    assert not (tmp_path / "nowhere.db").exists()
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with pytest.raises(BackendUnavailableError):
        KeyWatch(tmp_path / "broken.db").state(_URI, 1)


def test_the_state_that_is_in_the_way_is_named(inventory: SqliteInventory, tmp_path: Path) -> None:
    watch = KeyWatch(tmp_path / "inventory.db")
    watch.require(_URI, 1, KeyState.ACTIVE)
    _move(inventory, KeyState.SUSPENDED)
    with pytest.raises(KeyRefusedError, match="object=one is suspended: use a key that is active"):
        watch.require(_URI, 1, KeyState.ACTIVE)


@pytest.mark.parametrize("generation", [1, 2])
def test_a_key_is_opened_for_the_purpose_it_was_made_for_and_no_other(
    inventory: SqliteInventory, tmp_path: Path, generation: int
) -> None:
    watch = KeyWatch(tmp_path / "inventory.db")
    watch.require_purpose(_URI, 1, Purpose.ASSERTION_SIGNING)
    with pytest.raises(KeyRefusedError, match="object=one is configured for audit-signing and is"):
        watch.require_purpose(_URI, generation, Purpose.AUDIT_SIGNING)


def _thumbprint() -> str:
    return f"thumbprint of {_URI}"


def test_what_a_compromised_key_signed_counts_no_more_not_even_once_it_is_destroyed(
    inventory: SqliteInventory, tmp_path: Path
) -> None:
    watch = KeyWatch(tmp_path / "inventory.db")
    assert watch.counts(_thumbprint())
    for state in (KeyState.COMPROMISED, KeyState.DESTROYED):
        _move(inventory, state)
        assert not watch.counts(_thumbprint())


def test_what_an_ended_key_signed_counts_and_what_an_unknown_one_signed_does_not(
    inventory: SqliteInventory, tmp_path: Path
) -> None:
    watch = KeyWatch(tmp_path / "inventory.db")
    for state in (KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.DESTROYED):
        _move(inventory, state)
        assert watch.counts(_thumbprint())
    assert not watch.counts("thumbprint of another")


def test_an_inventory_that_is_replaced_or_taken_away_is_noticed_by_the_next_question(
    inventory: SqliteInventory, tmp_path: Path
) -> None:
    watch = KeyWatch(tmp_path / "inventory.db")
    assert (watch.state(_URI, 1), watch.counts(_thumbprint())) == (KeyState.ACTIVE, True)
    other = SqliteInventory(tmp_path / "other" / "inventory.db")
    record_key(other, str(_URI))
    _move(other, KeyState.COMPROMISED)
    with sqlite3.connect(tmp_path / "other" / "inventory.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "other" / "inventory.db").replace(tmp_path / "inventory.db")
    assert (watch.state(_URI, 1), watch.counts(_thumbprint())) == (KeyState.COMPROMISED, False)
    (tmp_path / "inventory.db").unlink()
    for ask in (lambda: watch.state(_URI, 1), lambda: watch.counts(_thumbprint())):
        with pytest.raises(BackendUnavailableError):
            ask()
