"""The inventory in SQLite: one file, durable commits, unique claims, and an event for every change of state."""

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from keyrung_infra.inventory import changes
from keyrung_infra.inventory.sqlite_evidence import insert_statement, select_statements
from keyrung_infra.inventory.sqlite_file import SqliteFile, translated
from keyrung_infra.inventory.sqlite_rows import event_of, insert, insert_event, select
from keyrung_infra.inventory.text import utc_text
from keyrung_provisioners.api import Custody, KeyDescription
from keyrung_provisioners.inventory import Claim, CustodyEvent, KeyEvent, KeyRow, Origin, Statement
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_OWNED = ("keys", "holders", "statements")


class SqliteInventory:
    """An `Inventory` in one SQLite file; safe for many processes, each call in a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``; it is made, readable by its owner only, on first use."""
        self._path = path
        file = SqliteFile(path)
        self._transaction = file.transaction
        self.hold_open = file.hold_open

    @contextmanager
    def exclusive(self, owner: str, generation: int) -> Iterator[None]:
        """Hold a lock file of this claim; the system releases it when the holder dies."""
        name = hashlib.sha256(f"{generation}:{owner}".encode()).hexdigest()[:32]
        folder = self._path.parent / "inventory-locks"
        with translated(self._path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def claim(self, claim: Claim, *, claim_id: bytes, now: datetime) -> tuple[KeyRow, bool]:
        """Insert the row, or return the one that an earlier run inserted for the same thing."""
        with self._transaction() as connection:
            known = select(connection, "owner = ? AND generation = ?", (claim.owner, claim.generation))
            if known:
                changes.refuse_another_claim(known[0], claim)
                return known[0], False
            for uri in (claim.uri, claim.copy_to):
                changes.refuse_taken(uri, [] if uri is None else _living(connection, uri))
            row = changes.claimed(claim, claim_id, now)
            insert(connection, row)
            insert_event(connection, changes.event(row, "key.claimed", now))
            return row, True

    def record_created(self, row: KeyRow, found: KeyDescription, *, how: Origin, now: datetime) -> KeyRow:
        """Store fingerprint, public key and evidence, with the event that says how the key came to be."""
        created = changes.created(row, found)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE keys SET fingerprint = ?, public_key_pem = ?, evidence = ? WHERE owner = ? AND generation = ?",
                (
                    created.fingerprint,
                    created.public_key_pem,
                    json.dumps(created.evidence, sort_keys=True),
                    row.claim.owner,
                    row.claim.generation,
                ),
            )
            insert_statement(connection, created, found, how=how, now=now)
            insert_event(connection, changes.event(created, changes.event_of_origin(how), now))
        return created

    def record_custody(
        self, row: KeyRow, custody: Custody, found: KeyDescription, *, event: CustodyEvent, now: datetime
    ) -> KeyRow:
        """Store custody and evidence with the event; a key may be restored more than once, each time an event."""
        recorded = replace(row, custody=custody, evidence=dict(found.attributes))
        values = (custody, json.dumps(recorded.evidence, sort_keys=True), row.claim.owner, row.claim.generation)
        with self._transaction() as connection:
            connection.execute("UPDATE keys SET custody = ?, evidence = ? WHERE owner = ? AND generation = ?", values)
            if found.store:
                insert_statement(connection, recorded, found, how=event.removeprefix("key."), now=now)
            insert_event(connection, changes.event(recorded, event, now, at_each_time=True))
        return recorded

    def statements(self, row: KeyRow) -> Sequence[Statement]:
        """Return the statements about the key."""
        with self._transaction() as connection:
            return select_statements(
                connection, "owner = ? AND generation = ?", (row.claim.owner, row.claim.generation)
            )

    def unsigned_statements(self) -> Sequence[Statement]:
        """Return the statements without a signature."""
        with self._transaction() as connection:
            return select_statements(connection, "signed IS NULL", ())

    def record_signature(self, position: int, signed: bytes) -> None:
        """Keep the first signature; two processes may sign at once."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE statements SET signed = ? WHERE position = ? AND signed IS NULL",
                (signed.decode("ascii"), position),
            )

    def transition(
        self, row: KeyRow, state: KeyState, *, now: datetime, use_not_before: datetime | None = None
    ) -> KeyRow:
        """Move the key to ``state`` and append the event, both or neither."""
        with self._transaction() as connection:
            current = select(connection, "owner = ? AND generation = ?", (row.claim.owner, row.claim.generation))[0]
            moved, event = changes.moved(row, current, state, now=now, use_not_before=use_not_before)
            connection.execute(
                "UPDATE keys SET state = ?, state_since = ?, use_not_before = ? WHERE owner = ? AND generation = ?",
                (state, utc_text(now), utc_text(moved.use_not_before), row.claim.owner, row.claim.generation),
            )
            insert_event(connection, event)
        return moved

    def postpone(self, row: KeyRow, use_not_before: datetime) -> KeyRow:
        """Store the later moment."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE keys SET use_not_before = ? WHERE owner = ? AND generation = ?",
                (utc_text(use_not_before), row.claim.owner, row.claim.generation),
            )
        return replace(row, use_not_before=use_not_before)

    def set_cryptoperiod(self, row: KeyRow, days: int | None) -> KeyRow:
        """Store the days."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE keys SET cryptoperiod_days = ? WHERE owner = ? AND generation = ?",
                (days, row.claim.owner, row.claim.generation),
            )
        return replace(row, cryptoperiod_days=days)

    def note(self, event: KeyEvent) -> bool:
        """Append the event, once."""
        with self._transaction() as connection:
            return insert_event(connection, event, unless_known=True)

    def hand_over(self, row: KeyRow, owner: str) -> KeyRow:
        """Write the new owner into every table."""
        with self._transaction() as connection:
            taken = select(connection, "owner = ? AND generation = ?", (owner, row.claim.generation))
            changes.refuse_second_owner(row, owner, taken=bool(taken))
            for table in _OWNED:
                connection.execute(
                    f"UPDATE {table} SET owner = ? WHERE owner = ? AND generation = ?",  # noqa: S608 - constants only
                    (owner, row.claim.owner, row.claim.generation),
                )
        return replace(row, claim=replace(row.claim, owner=owner))

    def hold(self, row: KeyRow, holder: str) -> None:
        """Remember the last holder."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO holders (owner, generation, holder) VALUES (?, ?, ?)",
                (row.claim.owner, row.claim.generation, holder),
            )

    def holder(self, row: KeyRow) -> str | None:
        """Return the last holder."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT holder FROM holders WHERE owner = ? AND generation = ?",
                (row.claim.owner, row.claim.generation),
            ).fetchone()
        return None if found is None else str(found[0])

    def find(self, uri: KeyUri) -> KeyRow | None:
        """Return the row of ``uri``, key or copy, that is not destroyed."""
        with self._transaction() as connection:
            return next(iter(_living(connection, uri)), None)

    def row(self, owner: str, generation: int) -> KeyRow | None:
        """Return one row by its claim."""
        with self._transaction() as connection:
            return next(iter(select(connection, "owner = ? AND generation = ?", (owner, generation))), None)

    def line(self, owner: str) -> Sequence[KeyRow]:
        """Return the rows of one declared key, oldest generation first."""
        with self._transaction() as connection:
            return sorted(select(connection, "owner = ?", (owner,)), key=lambda row: row.claim.generation)

    def rows(self) -> Sequence[KeyRow]:
        """Return every row, oldest claim first."""
        with self._transaction() as connection:
            return select(connection, "1 = 1", ())

    def events(self, *, after: int = 0) -> Sequence[tuple[int, KeyEvent]]:
        """Return the events behind position ``after``."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT position, event_id, event, at, uri, generation, state, purpose, fingerprint"
                " FROM events WHERE position > ? ORDER BY position",
                (after,),
            ).fetchall()
        return [(position, event_of(values)) for position, *values in found]


def _living(connection: sqlite3.Connection, uri: KeyUri) -> list[KeyRow]:
    return select(connection, "(uri = ? OR copy_uri = ?) AND state <> 'destroyed'", (str(uri), str(uri)))
