"""Rows, events and statements of the inventory as items of its table.

`pk` says what an item is: ``keys``, ``uris`` (which living key has a name), ``events`` and ``event-ids``,
``statements``, ``locks``. An inventory is small, a few generations of a few keys, so one partition holds each kind and
reads of it are consistent.
"""

import json
from datetime import datetime

from keyrung_infra.inventory.dynamodb_table import Item
from keyrung_infra.inventory.text import utc_text
from keyrung_provisioners.api import ESCROW, Custody, Purpose
from keyrung_provisioners.inventory import Claim, KeyEvent, KeyRow, Statement
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_POSITION_DIGITS = 12


def row_key(owner: str, generation: int) -> str:
    """Return the sort key of a row."""
    return f"{owner}#{generation:09d}"


def position_key(position: int) -> str:
    """Return the sort key of what is in order."""
    return f"{position:0{_POSITION_DIGITS}d}"


def row_item(row: KeyRow, *, version: int, holder: str = "") -> Item:
    """Return a row; `version` counts its changes."""
    optional: dict[str, str | int | None] = {
        "copy_uri": None if row.claim.copy_to is None else str(row.claim.copy_to),
        "source": row.claim.source,
        "use_not_before": utc_text(row.use_not_before),
        "fingerprint": row.fingerprint,
        "public_key_pem": row.public_key_pem,
        "evidence": None if row.evidence is None else json.dumps(row.evidence, sort_keys=True),
        "cryptoperiod_days": row.cryptoperiod_days,
        "holder": holder or None,
    }
    return {
        "pk": "keys",
        "sk": row_key(row.claim.owner, row.claim.generation),
        "version": version,
        "owner": row.claim.owner,
        "generation": row.claim.generation,
        "uri": str(row.claim.uri),
        "algorithm": row.claim.algorithm,
        "purpose": row.claim.purpose.value,
        "claim_id": row.claim_id,
        "claimed_at": str(utc_text(row.claimed_at)),
        "state": row.state.value,
        "state_since": str(utc_text(row.state_since)),
        "custody": row.custody.value,
        **{name: value for name, value in optional.items() if value is not None},
    }


def row_of(item: Item) -> KeyRow:
    """Return the row in an item."""
    custody, claim_id, used_from = Custody(str(item["custody"])), item["claim_id"], item.get("use_not_before")
    return KeyRow(
        claim=Claim(
            owner=str(item["owner"]),
            generation=int(item["generation"]),
            uri=KeyUri.parse(str(item["uri"])),
            algorithm=str(item["algorithm"]),
            purpose=Purpose(str(item["purpose"])),
            escrowed=custody in ESCROW,
            copy_to=KeyUri.parse(str(item["copy_uri"])) if "copy_uri" in item else None,
            source=_text(item, "source"),
        ),
        claim_id=claim_id if isinstance(claim_id, bytes) else b"",
        claimed_at=datetime.fromisoformat(str(item["claimed_at"])),
        state=KeyState(str(item["state"])),
        state_since=datetime.fromisoformat(str(item["state_since"])),
        use_not_before=None if used_from is None else datetime.fromisoformat(str(used_from)),
        fingerprint=_text(item, "fingerprint"),
        public_key_pem=_text(item, "public_key_pem"),
        evidence=json.loads(str(item["evidence"])) if "evidence" in item else None,
        custody=custody,
        cryptoperiod_days=int(item["cryptoperiod_days"]) if "cryptoperiod_days" in item else None,
    )


def uri_item(uri: KeyUri, row: KeyRow) -> Item:
    """Return which living row has the name."""
    return {"pk": "uris", "sk": str(uri), "row": row_key(row.claim.owner, row.claim.generation)}


def event_item(event: KeyEvent, position: int) -> Item:
    """Return an event in its place."""
    optional = {"state": event.state, "purpose": event.purpose, "fingerprint": event.fingerprint}
    return {
        "pk": "events",
        "sk": position_key(position),
        "event_id": event.event_id,
        "event": event.event,
        "at": str(utc_text(event.at)),
        "uri": event.uri,
        "generation": event.generation,
        **{name: str(value) for name, value in optional.items() if value is not None},
    }


def event_of(item: Item) -> KeyEvent:
    """Return the event in an item."""
    return KeyEvent(
        event_id=str(item["event_id"]),
        event=str(item["event"]),
        at=datetime.fromisoformat(str(item["at"])),
        uri=str(item["uri"]),
        generation=int(item["generation"]),
        state=KeyState(str(item["state"])) if "state" in item else None,
        purpose=Purpose(str(item["purpose"])) if "purpose" in item else None,
        fingerprint=_text(item, "fingerprint"),
    )


def statement_item(row: KeyRow, statement: bytes, position: int) -> Item:
    """Return a statement that waits for its signature."""
    return {
        "pk": "statements",
        "sk": position_key(position),
        "row": row_key(row.claim.owner, row.claim.generation),
        "statement": statement.decode("utf-8"),
    }


def statement_of(item: Item) -> Statement:
    """Return the statement in an item."""
    signed = item.get("signed")
    return Statement(
        position=int(item["sk"]),
        statement=str(item["statement"]).encode("utf-8"),
        signed=None if signed is None else str(signed).encode("ascii"),
    )


def _text(item: Item, name: str) -> str | None:
    return str(item[name]) if name in item else None
