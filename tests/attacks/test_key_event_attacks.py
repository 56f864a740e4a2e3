"""A step in a key's life that the log could not take would keep the verifier from starting, and hide what follows."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.verifier import AUDIT_KEY, World

from keyrung_audit.keys import public_key_from_jwk
from keyrung_audit.verify import verify
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.serve.build import KeyEvents
from keyrung_provisioners.api import KeyDescription, Purpose
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_NOW = datetime(2026, 11, 25, 11, 0, 0, tzinfo=UTC)
_URI = KeyUri("transit", "keyrung", "another")


@pytest.mark.parametrize("state", [state for state in KeyState if state is not KeyState.PRE_ACTIVATION])
def test_every_state_that_the_inventory_knows_reaches_the_log_and_its_reader(
    world: World, tmp_path: Path, state: KeyState
) -> None:
    inventory = SqliteInventory(tmp_path / "inventory.db")
    claim = Claim(owner="urn:a", generation=1, uri=_URI, algorithm="P-256", purpose=Purpose.ASSERTION_SIGNING)
    row, _ = inventory.claim(claim, claim_id=b"1", now=_NOW)
    found = KeyDescription(
        uri=_URI, algorithm="P-256", fingerprint="t", public_key_pem="pem", claim_id=None, attributes={}
    )
    row = inventory.record_created(row, found, how="generated", now=_NOW)
    row = inventory.transition(row, KeyState.ACTIVE, now=_NOW)
    if state is not KeyState.ACTIVE:
        inventory.transition(row, state, now=_NOW)

    for event in KeyEvents(inventory).new():
        assert world.audit.append_key_event(event)

    world.audit.checkpoint()
    keys = [public_key_from_jwk(AUDIT_KEY.public_jwk)]
    assert verify(world.lines(), world.checkpoint_path.read_bytes().splitlines(), keys).findings == ()
    assert world.records()[-1]["key"]["state"] == state
