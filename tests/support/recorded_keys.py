"""Rows of an inventory for keys that no store has to hold: what is tested is what is recorded."""

import secrets
from datetime import UTC, datetime

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import KeyDescription, Purpose
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


def record_key(
    inventory: SqliteInventory,
    uri: str,
    *,
    purpose: Purpose = Purpose.ASSERTION_SIGNING,
    at: datetime | None = None,
    generation: int = 1,
    algorithm: str = "P-256",
    owner: str | None = None,
) -> KeyRow:
    """Return the active row of a key that was made ``at`` (now)."""
    now = at or datetime.now(UTC)
    parsed = KeyUri.parse(uri)
    claim = Claim(owner=owner or f"urn:{uri}", generation=generation, uri=parsed, algorithm=algorithm, purpose=purpose)
    row, _ = inventory.claim(claim, claim_id=secrets.token_bytes(16), now=now)
    found = KeyDescription(
        uri=parsed, algorithm=algorithm, fingerprint=f"thumbprint of {uri}", public_key_pem=None, claim_id=row.claim_id
    )
    row = inventory.record_created(row, found, how="generated", now=now)
    return inventory.transition(row, KeyState.ACTIVE, now=now)
