"""What escrow means to the inventory: who may hold a share, and which set a key is sealed under now."""

from datetime import datetime

from keyrung_provisioners.api import Custody, KeyDescription, Purpose
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.key_recipient import KeyRecipient
from keyrung_provisioners.inventory import Inventory
from keyrung_provisioners.uri import VaultUri

CONFIRMED = (Custody.ESCROWED, Custody.RESTORED)


def refuse_shared_use(plan: Plan, vault: VaultUri, inventory: Inventory | None) -> None:
    """Refuse to seal a share of a key in ``vault`` to a key beside it, or to one that is known as anything but a kek.

    Whoever has that vault would have that share with it; and one key has one purpose (SP 800-57 part 1, 5.2).
    """
    for recipient in plan.recipients:
        if not isinstance(recipient, KeyRecipient):
            continue
        if recipient.uri.vault_uri == vault:
            raise KeyRefusedError(
                f"{recipient.uri} is in the vault of the key whose escrow it would share in",
                fix="seal the share to a person, or to a key in another vault",
                uri=str(recipient.uri),
            )
        row = None if inventory is None else inventory.find(recipient.uri)
        if row is not None and row.claim.purpose is not Purpose.KEK:
            raise KeyRefusedError(
                f"{row.claim.uri} is for {row.claim.purpose}, and a key has one purpose",
                fix="seal the share to a key of its own, with the purpose kek",
                uri=str(row.claim.uri),
            )


def record_reshare(inventory: Inventory | None, envelope: Envelope, *, now: datetime) -> bool:
    """Write the new set into the evidence of the key, if ``inventory`` has it escrowed, and say whether it has."""
    key = envelope.key
    row = None if inventory is None else inventory.find(key.uri)
    if inventory is None or row is None or row.fingerprint != key.fingerprint or row.custody not in CONFIRMED:
        return False
    found = KeyDescription(
        uri=key.uri,
        algorithm=row.claim.algorithm,
        fingerprint=key.fingerprint,
        public_key_pem=row.public_key_pem,
        claim_id=row.claim_id,
        attributes={**(row.evidence or {}), "escrow_set": envelope.set_id},
    )
    inventory.record_custody(row, row.custody, found, event="key.escrowed", now=now)
    return True
