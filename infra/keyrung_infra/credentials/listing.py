"""What `keyrung credential list` tells of each credential and enrolment ticket."""

from collections.abc import Sequence
from dataclasses import dataclass

from keyrung_verifier.factors import token_signature, totp
from keyrung_verifier.limits import MAX_FAILURES
from keyrung_verifier.store.protocol import Credential, FailureRow, Store, Ticket

# The verifier's name of a factor -> the word that `keyrung credential add` has for it.
KINDS = {totp.NAME: "totp", token_signature.NAME: "token"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of the list; times are Unix seconds.

    Attributes:
        state: `active`, `locked` (too many failures in a row) or `revoked`; a ticket is `open`, `redeemed`, `expired`
            or `revoked`.
        failures: Failures in a row of this subject with this factor.
        sealed_by: The key that sealed the seed, and `generation` of it.
        expires_at_seconds: Until when a ticket can be redeemed.
    """

    credential_id: str
    subject: str
    kind: str
    factor: str
    state: str
    serial: str | None = None
    created_at_seconds: int
    last_used_at_seconds: int | None = None
    revoked_at_seconds: int | None = None
    expires_at_seconds: int | None = None
    failures: int = 0
    sealed_by: str | None = None
    generation: int | None = None
    hardware: bool | None = None


def listing(store: Store, subject: str | None, *, now_seconds: int) -> Sequence[Listed]:
    """Return what a subject holds, or everybody, by subject, kind and age."""
    failures = {(row.subject_id, row.factor): row for row in store.failure_rows(subject)}
    held = [_credential(one, failures.get((one.subject_id, one.factor))) for one in store.credentials(subject)]
    tickets = [_ticket(ticket, now_seconds) for ticket in store.tickets(subject)]
    return sorted([*held, *tickets], key=lambda one: (one.subject, one.kind, one.created_at_seconds))


def _credential(held: Credential, row: FailureRow | None) -> Listed:
    failures = 0 if row is None else row.failures
    if held.revoked_at_seconds is not None:
        state, failures = "revoked", 0
    else:
        state = "locked" if failures >= MAX_FAILURES else "active"
    return Listed(
        credential_id=held.credential_id,
        subject=held.subject_id,
        kind=KINDS.get(held.factor, held.factor),
        factor=held.factor,
        state=state,
        serial=_text(held.evidence.get("serial")),
        created_at_seconds=held.created_at_seconds,
        last_used_at_seconds=held.last_used_at_seconds,
        revoked_at_seconds=held.revoked_at_seconds,
        failures=failures,
        sealed_by=_text(held.evidence.get("sealed_by")),
        generation=_number(held.evidence.get("generation")),
        hardware=held.evidence.get("hardware") is True if held.public_jwk is not None else None,
    )


def _ticket(ticket: Ticket, now_seconds: int) -> Listed:
    if ticket.revoked_at_seconds is not None:
        state = "revoked"
    elif ticket.redeemed_at_seconds is not None:
        state = "redeemed"
    else:
        state = "open" if now_seconds < ticket.expires_at_seconds else "expired"
    return Listed(
        credential_id=ticket.ticket_id,
        subject=ticket.subject_id,
        kind="ticket",
        factor=ticket.factor,
        state=state,
        created_at_seconds=ticket.created_at_seconds,
        last_used_at_seconds=ticket.redeemed_at_seconds,
        revoked_at_seconds=ticket.revoked_at_seconds,
        expires_at_seconds=ticket.expires_at_seconds,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
