"""`keyrung escrow share`: what a custodian does with the own share, on the own machine."""

from pathlib import Path

import click

from keyrung_infra.cli.custodian import PASSPHRASE_HELP, read_passphrase
from keyrung_infra.cli.custodian_stores import CustodianStores, custodian_store_options
from keyrung_infra.cli.escrow_common import envelope_argument, file_path, json_option, read_envelope, write
from keyrung_infra.files import write_private
from keyrung_provisioners.escrow import share as shares
from keyrung_provisioners.escrow.key_recipient import KeyRecipient
from keyrung_provisioners.escrow.recipients import Opener, read_opener


@click.group("share")
def share_group() -> None:
    """Open and check single shares; works offline."""


@share_group.command("open")
@envelope_argument
@click.option("--key", "key_file", type=file_path, help="The custodian's key file, or an age key file.")
@click.option("--as", "key_uri", help="Instead of a key file: the URI of the key that the share is sealed to.")
@click.option("--out", type=file_path, required=True, help="Where to put the opened share (0600).")
@click.option("--passphrase", default="prompt", show_default=True, help=f"Opens the key file: {PASSPHRASE_HELP}")
@custodian_store_options
@json_option
def open_share(
    *,
    envelope_file: Path,
    key_file: Path | None,
    key_uri: str | None,
    out: Path,
    passphrase: str,
    stores: CustodianStores,
    as_json: bool,
) -> None:
    """Open the share that is sealed to this custodian, on the custodian's own machine."""
    opener: Opener
    if (key_file is None) == (key_uri is None):
        raise click.UsageError("Give either --key or --as.")
    if key_file is not None:
        opener = read_opener(key_file.read_bytes(), passphrase=lambda: read_passphrase(passphrase, confirm=False) or "")
    else:
        uri = key_uri or ""
        opener = KeyRecipient.parse(uri, stores.open(uri.partition(":")[0]))
    opened = shares.open_share(read_envelope(envelope_file), opener)
    write_private(out, shares.encode(opened))
    write(
        {"set": opened.set_id, "index": opened.index, "file": str(out)},
        as_json=as_json,
        lines=[f"share {opened.index} of set {opened.set_id} is open in {out}; hand it over in person only"],
    )


@share_group.command("verify")
@envelope_argument
@click.argument("share_files", metavar="SHARE...", type=file_path, nargs=-1, required=True)
@json_option
def verify_share(envelope_file: Path, share_files: tuple[Path, ...], as_json: bool) -> None:
    """Check opened shares against the envelope; the first wrong one is named."""
    envelope = read_envelope(envelope_file)
    opened = [shares.decode(path.read_bytes()) for path in share_files]
    for one in opened:
        shares.check(envelope, one)
    indexes = [one.index for one in opened]
    write(
        {"set": envelope.set_id, "valid": indexes},
        as_json=as_json,
        lines=[f"share {index} of set {envelope.set_id} is whole" for index in indexes],
    )
