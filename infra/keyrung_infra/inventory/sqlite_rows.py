"""Rows and events of the inventory as they stand in the tables."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from keyrung_infra.inventory.text import utc_text
from keyrung_provisioners.api import ESCROW, Custody, Purpose
from keyrung_provisioners.inventory import Claim, KeyEvent, KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_COLUMNS = (
    "owner, generation, uri, algorithm, purpose, claim_id, claimed_at, state, fingerprint, public_key_pem, evidence,"
    " custody, state_since, use_not_before, cryptoperiod_days, copy_uri, source"
)


def select(connection: sqlite3.Connection, condition: str, values: tuple[str | int, ...]) -> list[KeyRow]:
    """Return the rows for which ``condition`` (a constant) holds, oldest claim first."""
    query = f"SELECT {_COLUMNS} FROM keys WHERE {condition} ORDER BY claimed_at, owner"  # noqa: S608 - constants only
    return [_row(found) for found in connection.execute(query, values)]


def _row(found: Sequence[object]) -> KeyRow:
    owner, generation, uri, algorithm, purpose, claim_id, claimed_at, state, fingerprint, pem, evidence, *rest = found
    kept, since, used_from, days, copy_uri, source = rest
    custody = Custody(str(kept))
    return KeyRow(
        claim=Claim(
            owner=str(owner),
            generation=int(str(generation)),
            uri=KeyUri.parse(str(uri)),
            algorithm=str(algorithm),
            purpose=Purpose(str(purpose)),
            escrowed=custody in ESCROW,
            copy_to=None if copy_uri is None else KeyUri.parse(str(copy_uri)),
            source=None if source is None else str(source),
        ),
        claim_id=claim_id if isinstance(claim_id, bytes) else b"",
        claimed_at=datetime.fromisoformat(str(claimed_at)),
        state=KeyState(str(state)),
        fingerprint=None if fingerprint is None else str(fingerprint),
        public_key_pem=None if pem is None else str(pem),
        evidence=None if evidence is None else json.loads(str(evidence)),
        custody=custody,
        state_since=datetime.fromisoformat(str(since)),
        use_not_before=None if used_from is None else datetime.fromisoformat(str(used_from)),
        cryptoperiod_days=None if days is None else int(str(days)),
    )


def insert(connection: sqlite3.Connection, row: KeyRow) -> None:
    """Insert a row that was just claimed."""
    connection.execute(
        f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, ?, ?, NULL, NULL, ?, ?)",  # noqa: S608 - constants
        (
            row.claim.owner,
            row.claim.generation,
            str(row.claim.uri),
            row.claim.algorithm,
            row.claim.purpose,
            row.claim_id,
            utc_text(row.claimed_at),
            row.state,
            row.custody,
            utc_text(row.state_since),
            None if row.claim.copy_to is None else str(row.claim.copy_to),
            row.claim.source,
        ),
    )


def insert_event(connection: sqlite3.Connection, event: KeyEvent, *, unless_known: bool = False) -> bool:
    """Insert the event and return whether it is new; a known id is an error, unless it is expected."""
    done = connection.execute(
        f"INSERT {'OR IGNORE ' if unless_known else ''}INTO events"  # noqa: S608 - constants only
        " (event_id, event, at, uri, generation, state, purpose, fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.event_id,
            event.event,
            utc_text(event.at),
            event.uri,
            event.generation,
            event.state or "",
            event.purpose or "",
            event.fingerprint,
        ),
    )
    return done.rowcount > 0


def event_of(values: Sequence[object]) -> KeyEvent:
    """Return the event in a row of the table `events`, position aside."""
    event_id, event, at, uri, generation, state, purpose, fingerprint = values
    return KeyEvent(
        event_id=str(event_id),
        event=str(event),
        at=datetime.fromisoformat(str(at)),
        uri=str(uri),
        generation=int(str(generation)),
        state=KeyState(str(state)) if state else None,
        purpose=Purpose(str(purpose)) if purpose else None,
        fingerprint=None if fingerprint is None else str(fingerprint),
    )
