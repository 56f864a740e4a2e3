"""Recovery: a key restored from its escrow, and the inventory told of it, so that its evidence stays true."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from keyrung_provisioners.api import Custody, KeyDescription, KeyManager
from keyrung_provisioners.checks import describe_or_none, in_its_store, spec_of
from keyrung_provisioners.errors import KeyConflictError, KeyRefusedError
from keyrung_provisioners.escrow.ceremony import TokenBytes
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.restoring import Scratch, restore
from keyrung_provisioners.escrow.share import OpenShare
from keyrung_provisioners.inventory import Inventory, KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_OVER = (KeyState.COMPROMISED, KeyState.DESTROYED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a recovery went.

    Attributes:
        already_there: Whether the key stood there before; then it was only proven.
        recorded: Whether an inventory row was brought up to date.
    """

    key: KeyDescription
    already_there: bool
    recorded: bool


def recover(
    envelope: Envelope,
    shares: Sequence[OpenShare],
    manager: KeyManager,
    uri: KeyUri,
    *,
    inventory: Inventory | None,
    token_bytes: TokenBytes,
    now: Callable[[], datetime],
    reached: Callable[[str], None],
    scratch: Scratch | None = None,
) -> Recovery:
    """Restore the key of ``envelope`` under ``uri``; see `restoring.restore`.

    The inventory's row under ``uri`` gains the evidence of the restored key. Without one, the row of the key where it
    was escrowed says where it was restored to. An interrupted recovery is finished by the next one.

    Raises:
        KeyRefusedError: If the inventory says that the key was destroyed or compromised; nothing is touched then.
        KeyConflictError: If the inventory records another key under ``uri``; nothing is touched then.
    """
    row = None if inventory is None else inventory.find(uri)
    if row is not None and row.fingerprint != envelope.key.fingerprint:
        raise KeyConflictError(
            f"the inventory records {row.fingerprint} under {uri}, and the envelope is for {envelope.key.fingerprint}",
            fix="take the envelope of that key, or restore under another name",
            uri=str(uri),
            recorded=row.fingerprint or "none",
            found=envelope.key.fingerprint,
        )
    if inventory is not None:
        _refuse_over(inventory, envelope)
    with ExitStack() as held:
        if inventory is not None and row is not None:
            held.enter_context(inventory.exclusive(row.claim.owner, row.claim.generation))
        there = describe_or_none(manager, uri) is not None
        key = restore(envelope, shares, manager, uri, token_bytes=token_bytes, scratch=scratch, reached=reached)
        recorded = False
        # A key that stands there and was never out of its store is as it was recorded.
        restored_before = there and row is not None and bool(manager.deviations(spec_of(row), key))
        if inventory is not None and row is not None and (not there or restored_before) and _is_escrowed(row):
            current = (row.evidence or {}).get("escrow_set", envelope.set_id)  # an older copy may have been used
            evidence = {**key.attributes, "escrowed": True, "escrow_set": current, "restored": True}
            restored = in_its_store(replace(key, attributes=evidence), manager)
            inventory.record_custody(row, Custody.RESTORED, restored, event="key.restored", now=now())
            recorded = True
        if inventory is not None and row is None:
            recorded = _record_elsewhere(inventory, envelope, uri, now())
    return Recovery(key=key, already_there=there, recorded=recorded)


def _refuse_over(inventory: Inventory, envelope: Envelope) -> None:
    """Refuse a key of which nothing lives on: neither state can be left for another (SP 800-57 part 1, section 7)."""
    states = {row.state for row in inventory.rows() if row.fingerprint == envelope.key.fingerprint}
    if states and states.issubset(_OVER):
        raise KeyRefusedError(
            f"{envelope.key.uri} is {' and '.join(sorted(states))}, and such a key does not come back",
            fix="make a new generation; destroy this envelope and its copies",
            uri=str(envelope.key.uri),
        )


def _record_elsewhere(inventory: Inventory, envelope: Envelope, uri: KeyUri, now: datetime) -> bool:
    """Record with the escrowed key that it now stands under ``uri``, too, and say whether that is news to it."""
    row = inventory.find(envelope.key.uri)
    if row is None or row.fingerprint != envelope.key.fingerprint or not _is_escrowed(row):
        return False
    if (row.evidence or {}).get("restored_to") == str(uri):
        return False
    known = KeyDescription(
        uri=row.claim.uri,
        algorithm=row.claim.algorithm,
        fingerprint=envelope.key.fingerprint,
        public_key_pem=row.public_key_pem,
        claim_id=row.claim_id,
        attributes={**(row.evidence or {}), "restored_to": str(uri)},
    )
    inventory.record_custody(row, row.custody, known, event="key.restored", now=now)
    return True


def _is_escrowed(row: KeyRow) -> bool:
    return row.custody in (Custody.ESCROWED, Custody.RESTORED)
