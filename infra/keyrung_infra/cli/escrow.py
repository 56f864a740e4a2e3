"""`keyrung escrow`: seal a key to its custodians, look at envelopes and shares, restore a key, rehearse that."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from typing import Any, NoReturn

import click

from keyrung_infra.cli.custodian_stores import CustodianStores, custodian_store_options
from keyrung_infra.cli.escrow_common import (
    description,
    envelope_argument,
    file_path,
    json_option,
    read_envelope,
    share_option,
    write,
)
from keyrung_infra.cli.escrow_share import share_group
from keyrung_infra.cli.progress import progress
from keyrung_infra.cli.transit_access import TransitAccess, transit_options
from keyrung_infra.errors import InfraError
from keyrung_infra.escrow_commands import (
    create_escrow,
    open_inventory,
    scratch_token,
)
from keyrung_infra.files import write_private
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_provisioners.api import Capability, KeyManager, Purpose
from keyrung_provisioners.escrow import drill as drills
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow import share as shares
from keyrung_provisioners.escrow.bookkeeping import record_reshare, refuse_shared_use
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.ceremony import reshare as reshare_key
from keyrung_provisioners.escrow.recipients import parse_recipient
from keyrung_provisioners.escrow.recovery import recover as recover_key
from keyrung_provisioners.escrow.restoring import Scratch
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

# Steps of `Provisioner.provision` and `recover`, for the progress bar.
_CREATE_STEPS = ("claimed", "generate", "generated", "escrow", "lock", "locked", "activate")
_RECOVER_STEPS = ("combine", "rehearse", "import", "prove")
_SIGNING_WARNING = (
    "This is a signing key: SP 800-57 advises against archiving those, since a quorum of custodians can sign in its "
    "name."
)
_OLD_COPIES_WARNING = (
    "Copies of the old envelope stay openable by the old quorum: destroy them, or rotate the key if you cannot "
    "(raise its `generation`)."
)
_PURPOSES = [purpose.value for purpose in Purpose if purpose is not Purpose.USER_CREDENTIAL]  # a person's key

_module_option = click.option("--module", required=True, help="PKCS#11 module: a path, file:PATH or env:NAME.")
_pin_option = click.option("--pin", required=True, help="The token's user PIN, as file:PATH or env:NAME.")
_inventory_option = click.option(
    "--inventory", type=file_path, help=f"The key inventory. [default: {STATE_FOLDER}/inventory.db of the project]"
)


@click.group("escrow")
def command() -> None:
    """Escrow keys with custodians, restore them, and rehearse it."""


command.add_command(share_group)


@command.command("create")
@click.argument("uri")
@click.option("--purpose", type=click.Choice(_PURPOSES), help="Needed for a key that is not made yet.")
@click.option("--threshold", type=int, required=True, help="How many custodians must come together.")
@click.option("--recipient", "recipients", multiple=True, required=True, help="A custodian; give one option each.")
@click.option("--folder", type=click.Path(path_type=Path), help=f"Envelopes. [default: {STATE_FOLDER}/escrow]")
@_module_option
@_pin_option
@custodian_store_options
@_inventory_option
@json_option
def create(
    *,
    uri: str,
    purpose: str | None,
    threshold: int,
    recipients: tuple[str, ...],
    folder: Path | None,
    module: str,
    pin: str,
    stores: CustodianStores,
    inventory: Path | None,
    as_json: bool,
) -> None:
    """Generate the key URI and escrow it, or finish the escrow of a key that was declared escrowed."""
    root, key = find_root(), KeyUri.parse(uri)
    plan = _plan(threshold, recipients, stores)
    manager = open_manager(key.scheme, {"pkcs11Module": module, "pkcs11Pin": pin}, root=Path())
    with progress("Escrow", len(_CREATE_STEPS), shown=not as_json) as reached:
        made = create_escrow(
            key,
            manager,
            plan,
            purpose=None if purpose is None else Purpose(purpose),
            inventory=open_inventory(inventory, root),
            folder=folder or root / STATE_FOLDER / "escrow",
            reached=reached,
        )
    document = {**description(made.envelope), "file": str(made.path), "state": made.row.state.value}
    warning = {} if made.row.public_key_pem is None else {"warning": _SIGNING_WARNING}
    lines = [f"{key} is escrowed and {made.row.state.value}", f"envelope  {made.path}", *warning.values()]
    write({**document, **warning}, as_json=as_json, lines=lines)


@command.command("inspect")
@envelope_argument
@json_option
def inspect(envelope_file: Path, as_json: bool) -> None:
    """Show what an envelope is for and who holds its shares; nothing is opened."""
    envelope = read_envelope(envelope_file)
    document = description(envelope)
    key = document["key"]
    lines = [
        f"set          {envelope.set_id}, made {document['created_at']}",
        f"key          {key['uri']} generation {key['generation']}, {key['algorithm']}, {key['purpose']}",
        f"fingerprint  {key['fingerprint']}",
        f"quorum       {envelope.threshold} of {len(envelope.shares)}",
        *(f"share {share.index:2}     {share.recipient}" for share in envelope.shares),
    ]
    write(document, as_json=as_json, lines=lines)


@command.command("recover")
@envelope_argument
@share_option
@click.option("--to", "uri", required=True, help="URI to restore under, such as pkcs11:token=T;object=L.")
@click.option("--module", help="PKCS#11 module of a token to restore into: a path, file:PATH or env:NAME.")
@click.option("--pin", help="That token's user PIN, as file:PATH or env:NAME.")
@transit_options
@_inventory_option
@json_option
def recover(
    *,
    envelope_file: Path,
    share_files: tuple[Path, ...],
    uri: str,
    module: str | None,
    pin: str | None,
    transit: TransitAccess,
    inventory: Path | None,
    as_json: bool,
) -> None:
    """Restore a key and prove it: by a signature, or for a key that seals by its fingerprint.

    Into a PKCS#11 token directly; a signing key into Transit or AWS KMS, too, by way of a scratch SoftHSM token,
    wrapped to their own key.
    """
    envelope, target = read_envelope(envelope_file), KeyUri.parse(uri)
    if target.scheme == "transit":
        manager = transit.stores("transit") or _unreachable(target, "--transit-address, --transit-token, --transit-ca")
    elif target.scheme == "pkcs11" and not (module and pin):
        manager = _unreachable(target, "--module and --pin")
    else:
        token = {"pkcs11Module": module or "", "pkcs11Pin": pin or ""} if target.scheme == "pkcs11" else {}
        manager = open_manager(target.scheme, token, root=Path())
    with progress("Recovery", len(_RECOVER_STEPS), shown=not as_json) as reached, _scratch(manager) as scratch:
        done = recover_key(
            envelope,
            [shares.decode(path.read_bytes()) for path in share_files],
            manager,
            target,
            inventory=_inventory_here(inventory),
            token_bytes=token_bytes,
            now=lambda: datetime.now(UTC),
            scratch=scratch,
            reached=reached,
        )
    what = "was there already" if done.already_there else "is restored"
    does = "seals" if done.key.public_key_pem is None else "signs"
    write(
        {
            "uri": str(target),
            "fingerprint": done.key.fingerprint,
            "proven": True,
            "already_there": done.already_there,
            "inventory_updated": done.recorded,
        },
        as_json=as_json,
        lines=[f"{target} {what} and {does} as {done.key.fingerprint}"],
    )


def _unreachable(target: KeyUri, options: str) -> NoReturn:
    raise InfraError(f"nothing says how to reach the store of {target}", fix=f"add {options}")


@contextmanager
def _scratch(manager: KeyManager) -> Iterator[Scratch | None]:
    """Give a token to open the key in, for a store that cannot open it itself."""
    if Capability.IMPORTING in manager.capabilities:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="keyrung-recovery-") as folder:
        opened, vault = scratch_token(Path(folder))
        yield Scratch(manager=opened, vault=vault)


@command.command("drill")
@envelope_argument
@share_option
@json_option
def drill(envelope_file: Path, share_files: tuple[Path, ...], as_json: bool) -> None:
    """Restore in a scratch SoftHSM token by every quorum of the given shares, and refuse every set one short."""
    envelope = read_envelope(envelope_file)
    opened = [shares.decode(path.read_bytes()) for path in share_files]
    total = drills.tries(envelope, opened)
    with tempfile.TemporaryDirectory(prefix="keyrung-drill-") as folder:
        manager, vault = scratch_token(Path(folder))
        with progress("Drill", total, shown=not as_json) as advance:
            report = drills.drill(
                envelope, opened, manager, vault, token_bytes=token_bytes, advanced=lambda: advance("")
            )
    lines = [
        f"quorums that restored {envelope.key.fingerprint}: {report.quorums};"
        f" sets one short that were refused: {report.refused}"
    ]
    if not report.complete:
        lines.append(
            f"Not rehearsed: quorums with the {len(envelope.shares) - len(opened)} shares that were not given."
        )
    write(
        {
            "set": envelope.set_id,
            "fingerprint": envelope.key.fingerprint,
            "quorums": report.quorums,
            "refused": report.refused,
            "complete": report.complete,
        },
        as_json=as_json,
        lines=lines,
    )


@command.command("reshare")
@envelope_argument
@share_option
@click.option("--threshold", type=int, required=True, help="How many of the new custodians must come together.")
@click.option("--recipient", "recipients", multiple=True, required=True, help="A new custodian; one option each.")
@custodian_store_options
@_inventory_option
@json_option
def reshare(
    *,
    envelope_file: Path,
    share_files: tuple[Path, ...],
    threshold: int,
    recipients: tuple[str, ...],
    stores: CustodianStores,
    inventory: Path | None,
    as_json: bool,
) -> None:
    """Replace ENVELOPE by one for other custodians, under a new wrapping key, in a scratch SoftHSM token."""
    old = read_envelope(envelope_file)
    opened = [shares.decode(path.read_bytes()) for path in share_files]
    plan = _plan(threshold, recipients, stores)
    known = _inventory_here(inventory)
    refuse_shared_use(plan, old.key.uri.vault_uri, known)
    with tempfile.TemporaryDirectory(prefix="keyrung-reshare-") as folder:
        manager, vault = scratch_token(Path(folder))
        new = reshare_key(old, opened, manager, vault, plan, token_bytes=token_bytes, now=datetime.now(UTC))
    write_private(envelope_file, envelopes.encode(new))
    recorded = record_reshare(known, new, now=datetime.now(UTC))
    write(
        {**description(new), "replaced": old.set_id, "inventory_updated": recorded, "warning": _OLD_COPIES_WARNING},
        as_json=as_json,
        lines=[f"{envelope_file} now holds set {new.set_id} instead of {old.set_id}", _OLD_COPIES_WARNING],
    )


def _plan(threshold: int, recipients: tuple[str, ...], stores: CustodianStores) -> Plan:
    return Plan(
        threshold=threshold,
        recipients=tuple(parse_recipient(text, stores=stores.open) for text in recipients),
    )


def _inventory_here(given: Path | None) -> Any:
    """Return the inventory, or None on a machine that has no project: recovery may happen anywhere."""
    try:
        root = find_root()
    except InfraError:
        return None if given is None else open_inventory(given, Path())
    return open_inventory(given, root)
