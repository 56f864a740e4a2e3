"""What the escrow commands do beyond the ceremonies: claims, places of files, and the scratch token of a drill."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes, token_hex

from keyrung_infra.errors import InfraError
from keyrung_infra.escrow_folder import EscrowFolder
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.key_algorithms import ALLOWED
from keyrung_infra.local.layout import SoftHsmLayout
from keyrung_infra.local.softhsm import SoftHsm
from keyrung_infra.project import STATE_FOLDER
from keyrung_infra.tools import tools
from keyrung_provisioners.api import KeyManager, Purpose
from keyrung_provisioners.checks import describe_or_none
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow.bookkeeping import refuse_shared_use
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.keeper import Keeper, envelope_name
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.provision import Provisioner, command_owner
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri, VaultUri


@dataclass(frozen=True, slots=True, kw_only=True)
class Escrowed:
    """A key with its confirmed escrow."""

    row: KeyRow
    envelope: Envelope
    path: Path


def open_inventory(path: Path | None, root: Path) -> SqliteInventory:
    """Return the inventory at ``path``, or the project's own."""
    return SqliteInventory(root / STATE_FOLDER / "inventory.db" if path is None else path)


def create_escrow(
    uri: KeyUri,
    manager: KeyManager,
    plan: Plan,
    *,
    purpose: Purpose | None,
    inventory: SqliteInventory,
    folder: Path,
    reached: Callable[[str], None],
) -> Escrowed:
    """Generate and escrow ``uri``, or finish the escrow of a key that was declared escrowed.

    Raises:
        KeyRefusedError: If the key was made without being declared escrowed: it can never leave its store. Or if a
            share would be sealed to a key that has another purpose.
    """
    refuse_shared_use(plan, uri.vault_uri, inventory)
    claim = _claim(uri, manager, inventory, purpose)
    store = EscrowFolder(folder=folder)
    keeper = Keeper(store=store, plan=plan, token_bytes=token_bytes, now=_now)
    provisioner = Provisioner(inventory=inventory, now=_now, token_bytes=token_bytes, escrow=keeper, reached=reached)
    row = provisioner.provision(claim, manager)
    name = envelope_name(row)
    stored = store.read(name)
    if stored is None:
        raise InfraError(
            f"{uri} is escrowed, and its envelope is not in {folder}", fix="put it back, or look for its copies"
        )
    return Escrowed(row=row, envelope=envelopes.decode(stored), path=store.path(name))


def scratch_token(folder: Path) -> tuple[KeyManager, VaultUri]:
    """Return a new SoftHSM token in ``folder``, and have this process's SoftHSM use it and no other."""
    layout = SoftHsmLayout(folder=folder)
    label = f"drill-{token_hex(8)}"
    SoftHsm(layout, module=tools().softhsm_module, token_bytes=token_bytes, label=label).up()
    os.environ["SOFTHSM2_CONF"] = str(layout.config)
    settings = {"pkcs11Module": f"file:{layout.module}", "pkcs11Pin": f"file:{layout.pin}"}
    return open_manager("pkcs11", settings, root=folder), VaultUri("pkcs11", label)


def _claim(uri: KeyUri, manager: KeyManager, inventory: SqliteInventory, purpose: Purpose | None) -> Claim:
    row = inventory.find(uri)
    if row is not None and row.claim.escrowed:
        return row.claim
    if row is not None or describe_or_none(manager, uri) is not None:
        raise KeyRefusedError(
            f"{uri} was made without being declared escrowed: it is never extractable, so nobody can escrow it",
            fix="make a new key that is declared escrowed from the start",
            uri=str(uri),
        )
    if purpose is None:
        raise InfraError(f"{uri} is not made yet, and its purpose is not given", fix="add --purpose")
    return Claim(
        owner=command_owner(uri), generation=1, uri=uri, algorithm=ALLOWED[purpose][0], purpose=purpose, escrowed=True
    )


def _now() -> datetime:
    return datetime.now(UTC)
