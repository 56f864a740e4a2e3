"""Items of DynamoDB as plain values and back, and the records of the store's Protocol in them.

Attribute names have an underscore, so that none is one of DynamoDB's reserved words.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from keyrung_verifier.limits import FAILURE_DELAYS_SECONDS
from keyrung_verifier.store import kept_answers
from keyrung_verifier.store.protocol import Credential, FailureRow, StoredChallenge, Ticket

Plain: TypeAlias = str | int | bytes | bool
Key: TypeAlias = tuple[str, str]
_ANSWER = "answer_"


def encode(value: Plain) -> dict[str, Any]:
    """Return a value as DynamoDB's JSON has it."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": base64.b64encode(value).decode("ascii")}
    return {"S": value}


def encode_all(values: Mapping[str, Plain | None]) -> dict[str, Any]:
    """Return values as DynamoDB's JSON has them, without those that are None."""
    return {name: encode(value) for name, value in values.items() if value is not None}


def decode_all(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an item's attributes as plain values."""
    return {name: _decode(value) for name, value in item.items()}


def encode_key(key: Key) -> dict[str, Any]:
    """Return a key as DynamoDB's JSON has it."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def answer_attribute(name: str) -> str:
    """Return the attribute of a challenge that holds its answer of this name."""
    return f"{_ANSWER}{re.sub(r'[^A-Za-z0-9]', '_', name)}"


def challenge(item: Mapping[str, Any]) -> StoredChallenge:
    """Return the challenge in an item."""
    answers = tuple(kept_answers.from_text(value) for name, value in item.items() if name.startswith(_ANSWER))
    return StoredChallenge(
        content=item["challenge_content"],
        consumed=item["is_consumed"],
        wrong_answers=item["wrong_answers"],
        answers=answers,
    )


def credential_item(credential: Credential) -> dict[str, Plain | None]:
    """Return a new credential's attributes, its keys aside."""
    jwk = credential.public_jwk
    return {
        "credential_id": credential.credential_id,
        "subject_id": credential.subject_id,
        "factor_name": credential.factor,
        "sealed_seed": credential.sealed_seed,
        "public_jwk": None if jwk is None else json.dumps(dict(jwk), sort_keys=True),
        "evidence_json": json.dumps(dict(credential.evidence), sort_keys=True),
        "created_at": credential.created_at_seconds,
    }


def credential(item: Mapping[str, Any]) -> Credential:
    """Return the credential in an item."""
    return Credential(
        credential_id=item["credential_id"],
        subject_id=item["subject_id"],
        factor=item["factor_name"],
        sealed_seed=item.get("sealed_seed"),
        public_jwk=json.loads(item["public_jwk"]) if "public_jwk" in item else None,
        evidence=json.loads(item["evidence_json"]),
        created_at_seconds=item["created_at"],
        revoked_at_seconds=item.get("revoked_at"),
        last_used_at_seconds=item.get("last_used_at"),
    )


def ticket_item(ticket: Ticket) -> dict[str, Plain | None]:
    """Return a new ticket's attributes, its keys and its time to be removed aside."""
    return {
        "ticket_id": ticket.ticket_id,
        "ticket_hash": ticket.ticket_hash,
        "subject_id": ticket.subject_id,
        "factor_name": ticket.factor,
        "created_at": ticket.created_at_seconds,
        "valid_until": ticket.expires_at_seconds,
    }


def ticket(item: Mapping[str, Any]) -> Ticket:
    """Return the ticket in an item."""
    return Ticket(
        ticket_id=item["ticket_id"],
        ticket_hash=item["ticket_hash"],
        subject_id=item["subject_id"],
        factor=item["factor_name"],
        created_at_seconds=item["created_at"],
        expires_at_seconds=item["valid_until"],
        redeemed_at_seconds=item.get("redeemed_at"),
        revoked_at_seconds=item.get("revoked_at"),
    )


def failure_row(item: Mapping[str, Any]) -> FailureRow:
    """Return the failures in a row in an item; when the wait ends follows from their number and the last one's time."""
    failures = item["failure_count"]
    return FailureRow(
        subject_id=item["subject_id"],
        factor=item["factor_name"],
        failures=failures,
        not_before_seconds=item["failed_at"] + FAILURE_DELAYS_SECONDS[failures - 1],
    )


def _decode(value: Mapping[str, Any]) -> Plain:
    ((kind, text),) = value.items()
    if kind == "N":
        return int(text)
    if kind == "B":
        return base64.b64decode(text)
    plain: Plain = text
    return plain
