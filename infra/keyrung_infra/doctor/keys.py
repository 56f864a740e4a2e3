"""The keys: recorded as deployed, in the states that the deployment knows, and standing in their stores."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from keyrung_infra.doctor.deployment import Deployment
from keyrung_infra.doctor.model import Finding
from keyrung_infra.keys.drift import Managers, drift
from keyrung_infra.keys.report import report
from keyrung_provisioners.checks import describe_or_none
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.inventory import Inventory, KeyRow
from keyrung_provisioners.states import KeyState

VERIFYING = (KeyState.ACTIVE, KeyState.DEACTIVATED)  # SP 800-57 part 1, 7.3: a deactivated key still verifies
_OVER = (KeyState.COMPROMISED, KeyState.DESTROYED)
_FIX = {
    "missing": "recover the key, or raise keyGeneration and `pulumi up`",
    "altered": "find out who replaced it; raise keyGeneration and `pulumi up` to bring its successor",
    "unchecked": "make the store answer (network, credentials), then look again",
}


def recorded(deployment: Deployment, inventory: Inventory) -> Iterator[Finding]:
    """Yield where the inventory has a key otherwise than the deployment."""
    rows = inventory.rows()
    for name, key in deployment.keys.items():
        lines = [row for row in rows if _belongs(row, key)]
        for generation in key["generations"]:
            row = next((each for each in lines if each.claim.generation == generation["generation"]), None)
            yield from _generation(name, generation, row)
        newest = max(lines, key=lambda row: row.claim.generation, default=None)
        if newest is not None and newest.state in _OVER:
            fix = f"raise keyGeneration to {newest.claim.generation + 1} and `pulumi up`"
            yield Finding(text=f"the newest generation of {name} is {newest.state}, and nothing uses it", fix=fix)


def _belongs(row: KeyRow, key: Mapping[str, Any]) -> bool:
    return str(row.claim.uri) in {generation["uri"] for generation in key["generations"]}


def _generation(name: str, deployed: Mapping[str, Any], row: KeyRow | None) -> Iterator[Finding]:
    what = f"generation {deployed['generation']} of {name} (thumbprint {deployed['thumbprint']})"
    if row is None or (row.fingerprint or "") != deployed["thumbprint"]:
        known = "does not know" if row is None else f"has as {row.fingerprint}"
        yield Finding(text=f"the inventory {known} {what}", fix="restore the inventory that belongs to this state")
    elif row.state != deployed["state"]:
        text = f"{what} is {row.state}, and the verifier was told that it is {deployed['state']}"
        yield Finding(text=text, fix="`pulumi refresh` and `pulumi up`")


def withdrawn(inventory: Inventory) -> set[str]:
    """Return the thumbprints of keys whose signatures count no more, whatever was deployed."""
    return {row.fingerprint for row in inventory.rows() if row.fingerprint and row.state not in VERIFYING}


def standing(inventory: Inventory, managers: Managers, *, now: datetime) -> Iterator[Finding]:
    """Yield keys that do not stand in their store as recorded, that are past their time, or that outlive their end."""
    for found in drift(inventory.rows(), managers, checked=lambda _uri: None):
        if found.kind in _FIX:  # what else stands in a vault is nobody's business here
            yield Finding(text=found.text, fix=_FIX[found.kind])
    for line in report(inventory, now=now):
        if line.overdue:
            fix = f"raise keyGeneration to {line.row.claim.generation + 1} and `pulumi up`"
            yield Finding(text=f"{line.row.claim.uri} is overdue for rotation", fix=fix)
    for row in inventory.rows():
        if row.state is KeyState.DESTROYED and row.claim.source is not None and _lives(row, managers):
            text = f"{row.claim.uri} is over, and its KMS key {row.claim.source} still works"
            yield Finding(text=text, fix=f"set oldestSigningGeneration to {row.claim.generation + 1} and `pulumi up`")


def _lives(row: KeyRow, managers: Managers) -> bool:
    try:
        found = describe_or_none(managers(row.claim.uri.scheme), row.claim.uri)
    except KeyRefusedError:  # disabled
        return False
    return found is not None and found.fingerprint == row.fingerprint
