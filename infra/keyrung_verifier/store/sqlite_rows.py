"""Rows of SQLite as the records of the store's Protocol, beside the queries that select them."""

import json
from typing import Any

from keyrung_verifier.store.protocol import Credential, Ticket

SELECT_CREDENTIAL = (
    "SELECT credential_id, subject_id, factor, sealed_seed, public_jwk, evidence_json, created_at, revoked_at,"
    " last_used_at FROM credentials"
)
SELECT_TICKET = (
    "SELECT ticket_id, ticket_hash, subject_id, factor, created_at, expires_at, redeemed_at, revoked_at FROM tickets"
)


def credential(row: tuple[Any, ...]) -> Credential:
    """Return the credential in a row."""
    return Credential(
        credential_id=row[0],
        subject_id=row[1],
        factor=row[2],
        sealed_seed=row[3],
        public_jwk=None if row[4] is None else json.loads(row[4]),
        evidence=json.loads(row[5]),
        created_at_seconds=row[6],
        revoked_at_seconds=row[7],
        last_used_at_seconds=row[8],
    )


def ticket(row: tuple[Any, ...]) -> Ticket:
    """Return the ticket in a row."""
    return Ticket(
        ticket_id=row[0],
        ticket_hash=row[1],
        subject_id=row[2],
        factor=row[3],
        created_at_seconds=row[4],
        expires_at_seconds=row[5],
        redeemed_at_seconds=row[6],
        revoked_at_seconds=row[7],
    )
