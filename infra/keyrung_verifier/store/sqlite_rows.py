"""Rows of SQLite as the records of the store's Protocol, beside the queries that select them."""

import json
from typing import Any

from keyrung_verifier.store import kept_answers
from keyrung_verifier.store.protocol import Credential, StoredChallenge, Ticket

SELECT_CREDENTIAL = (
    "SELECT credential_id, subject_id, factor, sealed_seed, public_jwk, evidence_json, created_at, revoked_at,"
    " last_used_at FROM credentials"
)
SELECT_TICKET = (
    "SELECT ticket_id, ticket_hash, subject_id, factor, created_at, expires_at, redeemed_at, revoked_at FROM tickets"
)

SELECT_CHALLENGE = (
    "SELECT content, consumed, wrong_answers, (SELECT json_group_array(content_json) FROM answers"
    " WHERE answers.challenge_hash = challenges.challenge_hash) FROM challenges"
)


def challenge(row: tuple[Any, ...]) -> StoredChallenge:
    """Return the challenge in a row."""
    answers = tuple(kept_answers.from_text(text) for text in json.loads(row[3]))
    return StoredChallenge(content=row[0], consumed=bool(row[1]), wrong_answers=row[2], answers=answers)


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
