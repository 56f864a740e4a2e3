"""The inventory: a claim has one winner, a living key one owner, and each change of state one event."""

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.aws_account import REGION, Account, inventory_table, running_account

from keyrung_infra.errors import InfraError
from keyrung_infra.inventory.open import open_inventory
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Custody, KeyDescription, Purpose
from keyrung_provisioners.errors import BackendUnavailableError, KeyConflictError, KeyRefusedError
from keyrung_provisioners.inventory import Claim, Inventory, KeyEvent
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


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with running_account() as found:
        yield found


@pytest.fixture(params=["sqlite", "dynamodb"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where an empty inventory is."""
    if request.param == "sqlite":
        return str(tmp_path / "inventory.db")
    account: Account = request.getfixturevalue("account")
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    return inventory_table(account)


@pytest.fixture
def inventory(place: str) -> Inventory:
    return open_inventory(place, root=Path())


_CLAIMANT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from keyrung_infra.inventory.open import open_inventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import KeyConflictError
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.uri import KeyUri

uri = KeyUri("transit", "keyrung", "audit")
claim = Claim(owner=sys.argv[2], generation=1, uri=uri, algorithm="P-256", purpose=Purpose.AUDIT_SIGNING)
sys.stdin.readline()
try:
    open_inventory(sys.argv[1], root=Path()).claim(claim, claim_id=b"1", now=datetime.now(UTC))
except KeyConflictError:
    sys.exit(3)
"""


def test_of_eight_processes_that_claim_one_uri_exactly_one_wins(place: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", _CLAIMANT, place, f"urn:{n}"], stdin=subprocess.PIPE) for n in range(8)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
    codes = [process.wait(timeout=60) for process in running]
    assert sorted(codes) == [0] + [3] * 7
    assert len(open_inventory(place, root=Path()).rows()) == 1


def test_claiming_again_gives_the_first_row_back(inventory: Inventory) -> None:
    first, new = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    again, new_again = inventory.claim(_claim(), claim_id=b"2", now=_NOW)
    assert (new, new_again) == (True, False)
    assert again == first


def test_a_generation_cannot_be_claimed_for_something_else(inventory: Inventory) -> None:
    inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    with pytest.raises(KeyConflictError, match="raise `generation` to 2"):
        inventory.claim(_claim(uri=KeyUri("transit", "keyrung", "other")), claim_id=b"2", now=_NOW)


def test_a_row_survives_being_read_from_another_connection(place: str) -> None:
    inventory = open_inventory(place, root=Path())
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    row = inventory.record_created(row, _description(), how="generated", now=_NOW)
    row = inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    other = open_inventory(place, root=Path())
    assert other.find(_URI) == row
    assert other.row("urn:a", 1) == row
    assert other.find(KeyUri("transit", "keyrung", "other")) is None


def test_each_change_of_state_is_one_event_in_order(inventory: Inventory) -> None:
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    row = inventory.record_created(row, _description(), how="generated", now=_NOW)
    row = inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    inventory.transition(row, KeyState.DESTROYED, now=_NOW)
    events = inventory.events()
    assert [event.event for _, event in events] == ["key.claimed", "key.created", "key.activated", "key.destroyed"]
    assert len({event.event_id for _, event in events}) == 4
    assert [event.event for _, event in inventory.events(after=events[1][0])] == ["key.activated", "key.destroyed"]


def test_a_forbidden_transition_changes_nothing_and_leaves_no_event(inventory: Inventory) -> None:
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    with pytest.raises(KeyRefusedError):
        inventory.transition(row, KeyState.SUSPENDED, now=_NOW)
    assert inventory.row("urn:a", 1) == row
    assert len(inventory.events()) == 1


def test_a_destroyed_key_frees_its_uri_for_the_next_generation_only(inventory: Inventory) -> None:
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    inventory.transition(row, KeyState.DESTROYED, now=_NOW)
    _, new = inventory.claim(_claim(generation=2), claim_id=b"2", now=_NOW)
    assert new
    kept, new = inventory.claim(_claim(), claim_id=b"3", now=_NOW)
    assert (kept.state, new) == (KeyState.DESTROYED, False)


def test_a_copy_has_its_name_to_itself_until_the_key_is_destroyed(inventory: Inventory) -> None:
    place = KeyUri("awskms", "eu-central-1", "copy")
    row, _ = inventory.claim(replace(_claim(), copy_to=place), claim_id=b"1", now=_NOW)
    assert inventory.find(place) == row
    with pytest.raises(KeyConflictError, match="belongs to urn:a"):
        inventory.claim(_claim("urn:b", uri=place), claim_id=b"2", now=_NOW)
    inventory.transition(row, KeyState.DESTROYED, now=_NOW)
    assert inventory.find(place) is None
    inventory.claim(_claim("urn:b", uri=place), claim_id=b"2", now=_NOW)


def test_what_was_read_back_becomes_a_statement_that_is_signed_once(inventory: Inventory) -> None:
    row, _ = inventory.claim(_claim(), claim_id=b"1", now=_NOW)
    row = inventory.record_created(row, _description(), how="generated", now=_NOW)
    (waiting,) = inventory.unsigned_statements()
    assert b'"how":"generated"' in waiting.statement
    for signed in (b"first", b"second"):
        inventory.record_signature(waiting.position, signed)
    assert [each.signed for each in inventory.statements(row)] == [b"first"]
    assert list(inventory.unsigned_statements()) == []


def test_custody_cryptoperiod_holder_and_owner_are_kept_beside_all_else(inventory: Inventory) -> None:
    source = "arn:aws:kms:eu-central-1:123456789012:key/k"
    row, _ = inventory.claim(replace(_claim(), escrowed=True, source=source), claim_id=b"1", now=_NOW)
    row = inventory.record_created(row, _description(), how="imported", now=_NOW)
    with pytest.raises(KeyRefusedError, match="has no confirmed escrow"):
        inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    row = inventory.record_custody(row, Custody.ESCROWED, _description(), event="key.escrowed", now=_NOW)
    row = inventory.set_cryptoperiod(inventory.transition(row, KeyState.ACTIVE, now=_NOW), 30)
    assert inventory.holder(row) is None
    inventory.hold(row, "one")
    assert inventory.row("urn:a", 1) == row
    given = inventory.hand_over(row, "urn:b")
    assert (inventory.row("urn:b", 1), inventory.row("urn:a", 1), inventory.find(_URI)) == (given, None, given)
    assert inventory.holder(given) == "one"
    assert len(inventory.statements(given)) == 1
    with pytest.raises(KeyConflictError, match="has a key of generation 1 already"):
        inventory.hand_over(given, "urn:b")
    inventory.transition(given, KeyState.DESTROYED, now=_NOW)
    assert [event.event for _, event in inventory.events()][-1] == "key.released"


def test_what_was_seen_of_a_key_is_noted_once(inventory: Inventory) -> None:
    seen = KeyEvent(
        event_id="1", event="key.foreign", at=_NOW, uri="u", generation=0, state=None, purpose=None, fingerprint=None
    )
    assert [inventory.note(seen), inventory.note(seen)] == [True, False]
    assert [event for _, event in inventory.events()] == [seen]


def test_rows_come_by_the_age_of_their_claims(inventory: Inventory) -> None:
    for number in (3, 1, 2):
        claim = _claim(f"urn:{number}", uri=KeyUri("transit", "keyrung", f"key-{number}"))
        inventory.claim(claim, claim_id=bytes([number]), now=_NOW + timedelta(seconds=number))
    assert [row.claim.owner for row in inventory.rows()] == ["urn:1", "urn:2", "urn:3"]


def test_events_of_many_writers_stand_one_by_one_and_none_is_lost(place: str) -> None:
    def write(number: int) -> None:
        for step in range(4):
            event = KeyEvent(
                event_id=f"{number}-{step}",
                event="key.overdue",
                at=_NOW,
                uri="u",
                generation=1,
                state=None,
                purpose=None,
                fingerprint=None,
            )
            assert open_inventory(place, root=Path()).note(event)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = open_inventory(place, root=Path()).events()
    assert [position for position, _ in found] == list(range(1, 17))
    assert len({event.event_id for _, event in found}) == 16


def test_a_claim_is_held_by_one_at_a_time(place: str) -> None:
    order: list[str] = []

    def second() -> None:
        with open_inventory(place, root=Path()).exclusive("urn:a", 1):
            order.append("second")

    with open_inventory(place, root=Path()).exclusive("urn:a", 1):
        waiting = threading.Thread(target=second)
        waiting.start()
        with open_inventory(place, root=Path()).exclusive("urn:a", 2):  # another claim is not kept waiting
            time.sleep(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


_HOLDER = """
import os, signal, sys
from pathlib import Path
from keyrung_infra.inventory.open import open_inventory

with open_inventory(sys.argv[1], root=Path()).exclusive("urn:a", 1):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_claim_of_a_process_that_died_goes_to_the_next(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    died = subprocess.run([sys.executable, "-c", _HOLDER, place], timeout=60)
    assert died.returncode == -signal.SIGKILL
    monkeypatch.setattr("keyrung_infra.inventory.dynamodb_table._LEASE_SECONDS", 1.0)
    with open_inventory(place, root=Path()).exclusive("urn:a", 1):
        pass


def test_a_holder_that_stood_still_for_too_long_learns_that_it_lost_the_claim(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    place = inventory_table(account)
    monkeypatch.setattr("keyrung_infra.inventory.dynamodb_table._LEASE_SECONDS", 0.3)
    monkeypatch.setattr("keyrung_infra.inventory.dynamodb_table._RENEW_SECONDS", 3.0)
    first = open_inventory(place, root=Path()).exclusive("urn:a", 1)
    first.__enter__()
    with open_inventory(place, root=Path()).exclusive("urn:a", 1):
        time.sleep(3.5)
    with pytest.raises(BackendUnavailableError, match="was lost on the way"):
        first.__exit__(None, None, None)


@pytest.mark.parametrize("place", ["dynamodb:table=t", "dynamodb:region=eu-central-1;table=tables", "dynamodb:"])
def test_a_name_that_is_no_table_is_refused(place: str) -> None:
    with pytest.raises(InfraError, match="write dynamodb:table=TABLE;region=REGION"):
        open_inventory(place, root=Path())


def test_a_table_that_is_not_there_is_one_clear_error(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    inventory = open_inventory(f"dynamodb:table=nothing;region={REGION}", root=Path())
    with pytest.raises(BackendUnavailableError, match=r"table nothing cannot be used \(ResourceNotFoundException\)"):
        inventory.rows()


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


def test_a_key_is_used_from_its_activation_unless_a_later_moment_is_named(inventory: Inventory) -> None:
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
