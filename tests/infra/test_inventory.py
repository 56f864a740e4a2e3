"""The inventory: a claim has one winner, a living key one owner, and each change of state one event."""

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import KeyDescription, Purpose
from keyrung_provisioners.errors import BackendUnavailableError, KeyConflictError, KeyRefusedError
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_URI = KeyUri("transit", "keyrung", "audit")


def _claim(owner: str = "urn:a", generation: int = 1, uri: KeyUri = _URI) -> Claim:
    return Claim(owner=owner, generation=generation, uri=uri, algorithm="P-256", purpose=Purpose.AUDIT_SIGNING)


def _description() -> KeyDescription:
    return KeyDescription(
        uri=_URI,
        algorithm="P-256",
        fingerprint="t",
        public_key_pem="pem",
        claim_id=None,
        attributes={"exportable": False},
    )


_CLAIMANT = """
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import KeyConflictError
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.uri import KeyUri

uri = KeyUri("transit", "keyrung", "audit")
claim = Claim(owner=sys.argv[2], generation=1, uri=uri, algorithm="P-256", purpose=Purpose.AUDIT_SIGNING)
sys.stdin.readline()
try:
    SqliteInventory(Path(sys.argv[1])).claim(claim, claim_id=b"1", now=datetime.now(UTC))
except KeyConflictError:
    sys.exit(3)
"""


def test_of_eight_processes_that_claim_one_uri_exactly_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "inventory.db"
    running = [
        subprocess.Popen([sys.executable, "-c", _CLAIMANT, str(path), f"urn:{n}"], stdin=subprocess.PIPE)
        for n in range(8)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
    codes = [process.wait(timeout=60) for process in running]
    assert sorted(codes) == [0] + [3] * 7
    assert len(SqliteInventory(path).rows()) == 1


def test_claiming_again_gives_the_first_row_back(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    first, new = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    again, new_again = inventory.claim(_claim(), claim_id=b"2", now=_NOW)
    assert (new, new_again) == (True, False)
    assert again == first


def test_a_generation_cannot_be_claimed_for_something_else(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    with pytest.raises(KeyConflictError, match="raise `generation` to 2"):
        inventory.claim(_claim(uri=KeyUri("transit", "keyrung", "other")), claim_id=b"2", now=_NOW)


def test_a_row_survives_being_read_from_another_connection(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    row = inventory.record_created(row, _description(), how="generated", now=_NOW)
    row = inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    other = SqliteInventory(tmp_path / "inventory.db")
    assert other.find(_URI) == row
    assert other.row("urn:a", 1) == row
    assert other.find(KeyUri("transit", "keyrung", "other")) is None


def test_each_change_of_state_is_one_event_in_order(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    row = inventory.record_created(row, _description(), how="generated", now=_NOW)
    row = inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    inventory.transition(row, KeyState.DESTROYED, now=_NOW)
    events = inventory.events()
    assert [event.event for _, event in events] == ["key.claimed", "key.created", "key.activated", "key.destroyed"]
    assert len({event.event_id for _, event in events}) == 4
    assert [event.event for _, event in inventory.events(after=events[1][0])] == ["key.activated", "key.destroyed"]


def test_a_forbidden_transition_changes_nothing_and_leaves_no_event(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    with pytest.raises(KeyRefusedError):
        inventory.transition(row, KeyState.SUSPENDED, now=_NOW)
    assert inventory.row("urn:a", 1) == row
    assert len(inventory.events()) == 1


def test_a_destroyed_key_frees_its_uri_for_the_next_generation_only(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    inventory.transition(row, KeyState.DESTROYED, now=_NOW)
    _, new = inventory.claim(_claim(generation=2), claim_id=b"2", now=_NOW)
    assert new
    kept, new = inventory.claim(_claim(), claim_id=b"3", now=_NOW)
    assert (kept.state, new) == (KeyState.DESTROYED, False)


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "inventory.db"
    SqliteInventory(path).rows()
    for file in path.parent.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "inventory.db"
    path.write_bytes(b"not a database, but long enough to be looked at as one" * 100)
    with pytest.raises(BackendUnavailableError, match="cannot be used"):
        SqliteInventory(path).rows()


def test_a_key_is_used_from_its_activation_unless_a_later_moment_is_named(tmp_path: Path) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    assert (row.state_since, row.use_not_before) == (_NOW, None)
    later = _NOW + timedelta(hours=1)
    first = inventory.transition(row, KeyState.ACTIVE, now=later)
    assert (first.state_since, first.use_not_before) == (later, later)

    second, _ = inventory.claim(_claim(generation=2, uri=_URI.of_generation(2)), claim_id=b"2", now=_NOW)
    second = inventory.transition(second, KeyState.ACTIVE, now=_NOW, use_not_before=later)
    assert (second.state_since, second.use_not_before) == (_NOW, later)
    second = inventory.postpone(second, later + timedelta(hours=1))
    ended = inventory.transition(second, KeyState.DEACTIVATED, now=later)
    assert ended.use_not_before == second.use_not_before
    assert inventory.line("urn:a") == [first, ended]
    assert inventory.line("urn:b") == []


def test_an_inventory_of_an_older_version_is_brought_up_to_date_in_place(tmp_path: Path) -> None:
    path = tmp_path / "inventory.db"
    inventory = SqliteInventory(path)
    waiting, _ = inventory.claim(_claim("urn:b", uri=KeyUri("transit", "keyrung", "other")), claim_id=b"2", now=_NOW)
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    row = inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    with closing(sqlite3.connect(path)) as connection:
        for column in ("custody", "state_since", "use_not_before"):
            connection.execute(f"ALTER TABLE keys DROP COLUMN {column}")
    assert SqliteInventory(path).rows() == [row, waiting]
    assert SqliteInventory(path).rows() == [row, waiting]
