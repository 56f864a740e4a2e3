"""What a change makes of a row, and the event that tells of it: the same rules whatever stores the inventory."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from keyrung_provisioners.api import Custody, KeyDescription
from keyrung_provisioners.errors import KeyConflictError, KeyRefusedError
from keyrung_provisioners.inventory import Claim, KeyEvent, KeyRow, Origin
from keyrung_provisioners.states import KeyState, check_transition

_UNCONFIRMED = {
    Custody.ESCROWING: "is declared escrowed and has no confirmed escrow",
    Custody.PORTABLE: "is declared portable and has no confirmed copy",
}
_EVENT_OF_STATE = {
    KeyState.ACTIVE: "key.activated",
    KeyState.SUSPENDED: "key.suspended",
    KeyState.DEACTIVATED: "key.deactivated",
    KeyState.COMPROMISED: "key.compromised",
    KeyState.DESTROYED: "key.destroyed",
}


def claimed(claim: Claim, claim_id: bytes, now: datetime) -> KeyRow:
    """Return the row of a new claim."""
    return KeyRow(
        claim=claim,
        claim_id=claim_id,
        claimed_at=now,
        state=KeyState.PRE_ACTIVATION,
        state_since=now,
        custody=claim.custody,
    )


def refuse_another_claim(known: KeyRow, claim: Claim) -> None:
    """Raise `KeyConflictError` unless the row was claimed for the same thing."""
    if known.claim != claim:
        raise KeyConflictError(
            f"generation {claim.generation} was claimed for {known.claim.uri}",
            fix=f"raise `generation` to {claim.generation + 1} for what you changed",
            uri=str(claim.uri),
        )


def refuse_taken(uri: object, living: Sequence[KeyRow]) -> None:
    """Raise `KeyConflictError` if a living key, or copy of one, stands under ``uri``."""
    if living:
        raise KeyConflictError(f"{uri} belongs to {living[0].claim.owner}", fix="choose another name", uri=str(uri))


def refuse_second_owner(row: KeyRow, owner: str, *, taken: bool) -> None:
    """Raise `KeyConflictError` if the new owner has a key of this generation already."""
    if taken:
        raise KeyConflictError(
            f"{owner} has a key of generation {row.claim.generation} already",
            fix="take the key over under another name",
            uri=str(row.claim.uri),
        )


def created(row: KeyRow, found: KeyDescription) -> KeyRow:
    """Return the row with what was read back."""
    return replace(
        row, fingerprint=found.fingerprint, public_key_pem=found.public_key_pem, evidence=dict(found.attributes)
    )


def event_of_origin(how: Origin) -> str:
    """Return the name of the event that says how a key came to be."""
    return "key.created" if how == "generated" else "key.adopted"


def moved(
    row: KeyRow, current: KeyRow, state: KeyState, *, now: datetime, use_not_before: datetime | None
) -> tuple[KeyRow, KeyEvent]:
    """Return ``row``, which stands as ``current``, in its new state, and the event.

    Raises:
        KeyRefusedError: That transition is not allowed, or the key would become active before its escrow or copy.
    """
    check_transition(current.state, state)
    if state is KeyState.ACTIVE and current.custody in _UNCONFIRMED:
        raise KeyRefusedError(f"{row.claim.uri} {_UNCONFIRMED[current.custody]}", fix="finish that first")
    used_from = current.use_not_before
    if state is KeyState.ACTIVE and used_from is None:
        used_from = use_not_before or now
    found = replace(row, state=state, state_since=now, use_not_before=used_from)
    resumed = current.state is KeyState.SUSPENDED and state is KeyState.ACTIVE
    released = state is KeyState.DESTROYED and row.claim.source is not None
    name = "key.resumed" if resumed else "key.released" if released else _EVENT_OF_STATE[state]
    # A key may be suspended and resumed more than once.
    return found, event(found, name, now, at_each_time=resumed or state is KeyState.SUSPENDED)


def event(row: KeyRow, name: str, now: datetime, *, at_each_time: bool = False) -> KeyEvent:
    """Return the event; its id is made of what happened, so that a repeat cannot stand twice unless it may."""
    claim = row.claim
    what = f"{name}:{claim.generation}:{row.claim_id.hex()}:{row.state}"
    return KeyEvent(
        event_id=hashlib.sha256((f"{what}:{now.isoformat()}" if at_each_time else what).encode()).hexdigest()[:32],
        event=name,
        at=now,
        uri=str(claim.uri),
        generation=claim.generation,
        state=row.state,
        purpose=claim.purpose,
        fingerprint=row.fingerprint,
    )
