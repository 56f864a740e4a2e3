"""The state of a key, changed on somebody's word: one allowed transition, one event (SP 800-57 part 1, section 7)."""

from datetime import datetime

from keyrung_provisioners.errors import KeyMissingError, KeyRefusedError
from keyrung_provisioners.inventory import Inventory, KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


def recorded(inventory: Inventory, uri: KeyUri) -> KeyRow:
    """Return the living row of ``uri``; raise `KeyMissingError` if the inventory has none."""
    row = inventory.find(uri)
    if row is None:
        raise KeyMissingError(
            f"the inventory has no living key {uri}", fix="see `keyrung key list` for those it has", uri=str(uri)
        )
    return row


def change_state(
    inventory: Inventory, uri: KeyUri, state: KeyState, *, now: datetime, only_from: KeyState | None = None
) -> tuple[KeyRow, KeyRow]:
    """Return the row of ``uri`` as it was and as it is now.

    Raises:
        KeyMissingError: If the inventory has no such key.
        KeyRefusedError: If the key cannot go from its state to ``state``, or is not in the state ``only_from``.
    """
    before = recorded(inventory, uri)
    with inventory.exclusive(before.claim.owner, before.claim.generation):
        before = recorded(inventory, uri)
        if only_from not in (None, before.state):
            raise KeyRefusedError(f"{uri} is not {only_from} but {before.state}", fix="leave it as it is", uri=str(uri))
        return before, inventory.transition(before, state, now=now)
