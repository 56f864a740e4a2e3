"""`keyrung escrow`: seal a key to its custodians, look at envelopes and shares, restore a key, rehearse that."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from typing import Any

import click

from keyrung_infra.cli.custodian import PASSPHRASE_HELP, read_passphrase
from keyrung_infra.cli.progress import progress
from keyrung_infra.cli.transit_access import TransitAccess, transit_options
from keyrung_infra.errors import InfraError
from keyrung_infra.escrow_commands import create_escrow, open_inventory, scratch_token
from keyrung_infra.files import write_private
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.escrow import drill as drills
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow import share as shares
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.key_recipient import KeyRecipient
from keyrung_provisioners.escrow.recipients import Opener, parse_recipient, read_opener
from keyrung_provisioners.escrow.recovery import recover as recover_key
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

# Steps of `Provisioner.provision` and `recover`, for the progress bar.
_CREATE_STEPS = ("claimed", "generate", "generated", "escrow", "lock", "locked", "activate")
_RECOVER_STEPS = ("combine", "rehearse", "import", "prove")
_SIGNING_WARNING = (
    "This is a signing key: SP 800-57 advises against archiving those, since a quorum of custodians can sign in its "
    "name."
)
_PURPOSES = [purpose.value for purpose in (Purpose.ASSERTION_SIGNING, Purpose.POLICY_SIGNING, Purpose.AUDIT_SIGNING)]

_json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
_file = click.Path(path_type=Path, dir_okay=False)
_envelope_argument = click.argument("envelope_file", metavar="ENVELOPE", type=_file)
_share_option = click.option(
    "--share", "share_files", type=_file, multiple=True, required=True, help="An opened share; give one option each."
)
_module_option = click.option("--module", required=True, help="PKCS#11 module: a path, file:PATH or env:NAME.")
_pin_option = click.option("--pin", required=True, help="The token's user PIN, as file:PATH or env:NAME.")
_inventory_option = click.option(
    "--inventory", type=_file, help=f"The key inventory. [default: {STATE_FOLDER}/inventory.db of the project]"
)


@click.group("escrow")
def command() -> None:
    """Escrow keys with custodians, restore them, and rehearse it."""


@command.command("create")
@click.argument("uri")
@click.option("--purpose", type=click.Choice(_PURPOSES), help="Needed for a key that is not made yet.")
@click.option("--threshold", type=int, required=True, help="How many custodians must come together.")
@click.option("--recipient", "recipients", multiple=True, required=True, help="A custodian; give one option each.")
@click.option("--folder", type=click.Path(path_type=Path), help=f"Envelopes. [default: {STATE_FOLDER}/escrow]")
@_module_option
@_pin_option
@transit_options
@_inventory_option
@_json_option
def create(
    *,
    uri: str,
    purpose: str | None,
    threshold: int,
    recipients: tuple[str, ...],
    folder: Path | None,
    module: str,
    pin: str,
    transit: TransitAccess,
    inventory: Path | None,
    as_json: bool,
) -> None:
    """Generate the key URI and escrow it, or finish the escrow of a key that was declared escrowed."""
    root, key = find_root(), KeyUri.parse(uri)
    store = transit.manager()
    plan = Plan(threshold=threshold, recipients=tuple(parse_recipient(text, store=store) for text in recipients))
    manager = open_manager(key.scheme, {"pkcs11Module": module, "pkcs11Pin": pin}, root=root)
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
    document = {**_description(made.envelope), "file": str(made.path), "state": made.row.state.value}
    _write(
        {**document, "warning": _SIGNING_WARNING},
        as_json=as_json,
        lines=[f"{key} is escrowed and {made.row.state.value}", f"envelope  {made.path}", _SIGNING_WARNING],
    )


@command.command("inspect")
@_envelope_argument
@_json_option
def inspect(envelope_file: Path, as_json: bool) -> None:
    """Show what an envelope is for and who holds its shares; nothing is opened."""
    envelope = _envelope(envelope_file)
    document = _description(envelope)
    key = document["key"]
    lines = [
        f"set          {envelope.set_id}, made {document['created_at']}",
        f"key          {key['uri']} generation {key['generation']}, {key['algorithm']}, {key['purpose']}",
        f"fingerprint  {key['fingerprint']}",
        f"quorum       {envelope.threshold} of {len(envelope.shares)}",
        *(f"share {share.index:2}     {share.recipient}" for share in envelope.shares),
    ]
    _write(document, as_json=as_json, lines=lines)


@command.group("share")
def share_group() -> None:
    """Open and check single shares; works offline."""


@share_group.command("open")
@_envelope_argument
@click.option("--key", "key_file", type=_file, help="The custodian's key file, or an age key file.")
@click.option("--as", "key_uri", help="Instead of a key file: the Transit key that the share is sealed to.")
@click.option("--out", type=_file, required=True, help="Where to put the opened share (0600).")
@click.option("--passphrase", default="prompt", show_default=True, help=f"Opens the key file: {PASSPHRASE_HELP}")
@transit_options
@_json_option
def open_share(
    *,
    envelope_file: Path,
    key_file: Path | None,
    key_uri: str | None,
    out: Path,
    passphrase: str,
    transit: TransitAccess,
    as_json: bool,
) -> None:
    """Open the share that is sealed to this custodian, on the custodian's own machine."""
    opener: Opener
    if (key_file is None) == (key_uri is None):
        raise click.UsageError("Give either --key or --as.")
    if key_file is not None:
        opener = read_opener(key_file.read_bytes(), passphrase=lambda: read_passphrase(passphrase, confirm=False) or "")
    else:
        opener = KeyRecipient.parse(key_uri or "", transit.manager())
    opened = shares.open_share(_envelope(envelope_file), opener)
    write_private(out, shares.encode(opened))
    _write(
        {"set": opened.set_id, "index": opened.index, "file": str(out)},
        as_json=as_json,
        lines=[f"share {opened.index} of set {opened.set_id} is open in {out}; hand it over in person only"],
    )


@share_group.command("verify")
@_envelope_argument
@click.argument("share_files", metavar="SHARE...", type=_file, nargs=-1, required=True)
@_json_option
def verify_share(envelope_file: Path, share_files: tuple[Path, ...], as_json: bool) -> None:
    """Check opened shares against the envelope; the first wrong one is named."""
    envelope = _envelope(envelope_file)
    opened = [shares.decode(path.read_bytes()) for path in share_files]
    for one in opened:
        shares.check(envelope, one)
    indexes = [one.index for one in opened]
    _write(
        {"set": envelope.set_id, "valid": indexes},
        as_json=as_json,
        lines=[f"share {index} of set {envelope.set_id} is whole" for index in indexes],
    )


@command.command("recover")
@_envelope_argument
@_share_option
@click.option("--to", "uri", required=True, help="URI to restore under, such as pkcs11:token=T;object=L.")
@_module_option
@_pin_option
@_inventory_option
@_json_option
def recover(
    *,
    envelope_file: Path,
    share_files: tuple[Path, ...],
    uri: str,
    module: str,
    pin: str,
    inventory: Path | None,
    as_json: bool,
) -> None:
    """Restore a key into a PKCS#11 token and prove it by a signature against the recorded public key."""
    envelope, target = _envelope(envelope_file), KeyUri.parse(uri)
    manager = open_manager(target.scheme, {"pkcs11Module": module, "pkcs11Pin": pin}, root=Path())
    with progress("Recovery", len(_RECOVER_STEPS), shown=not as_json) as reached:
        done = recover_key(
            envelope,
            [shares.decode(path.read_bytes()) for path in share_files],
            manager,
            target,
            inventory=_inventory_here(inventory),
            token_bytes=token_bytes,
            now=lambda: datetime.now(UTC),
            reached=reached,
        )
    what = "was there already" if done.already_there else "is restored"
    _write(
        {
            "uri": str(target),
            "fingerprint": done.key.fingerprint,
            "proven": True,
            "already_there": done.already_there,
            "inventory_updated": done.recorded,
        },
        as_json=as_json,
        lines=[f"{target} {what} and signs as {done.key.fingerprint}"],
    )


@command.command("drill")
@_envelope_argument
@_share_option
@_json_option
def drill(envelope_file: Path, share_files: tuple[Path, ...], as_json: bool) -> None:
    """Restore in a scratch SoftHSM token by every quorum of the given shares, and refuse every set one short."""
    envelope = _envelope(envelope_file)
    opened = [shares.decode(path.read_bytes()) for path in share_files]
    total = drills.tries(envelope, opened)
    with tempfile.TemporaryDirectory(prefix="keyrung-drill-") as folder:
        manager, vault = scratch_token(Path(folder))
        with progress("Drill", total, shown=not as_json) as advance:
            report = drills.drill(
                envelope, opened, manager, vault, token_bytes=token_bytes, advanced=lambda: advance("")
            )
    lines = [
        f"{report.quorums} quorums restored {envelope.key.fingerprint}; {report.refused} sets one short were refused"
    ]
    if not report.complete:
        lines.append(
            f"Not rehearsed: quorums with the {len(envelope.shares) - len(opened)} shares that were not given."
        )
    _write(
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


def _inventory_here(given: Path | None) -> Any:
    """Return the inventory, or None on a machine that has no project: recovery may happen anywhere."""
    try:
        root = find_root()
    except InfraError:
        return None if given is None else open_inventory(given, Path())
    return open_inventory(given, root)


def _envelope(path: Path) -> Envelope:
    return envelopes.decode(path.read_bytes())


def _description(envelope: Envelope) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(envelopes.encode(envelope))
    del document["wrapped"]
    for share in document["shares"]:
        del share["sealed"]
    return document


def _write(document: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    click.echo(json.dumps(document) if as_json else "\n".join(lines))
