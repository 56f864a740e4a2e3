"""`keyrung key evidence`: hand out the signed evidence of a key, for somebody who trusts the audit key only."""

from pathlib import Path

import click

from keyrung_infra.cli.key_common import inventory_option, open_inventory
from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.keys.states import recorded
from keyrung_provisioners.uri import KeyUri


@click.command("evidence")
@click.argument("uri")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file. [default: stdout]")
@inventory_option
def command(uri: str, out: Path | None, inventory: str | None) -> None:
    """Write the newest signed evidence of the key URI: a flattened JWS (RFC 7515), to check with `keyrung audit`."""
    opened = open_inventory(inventory)
    row = recorded(opened, KeyUri.parse(uri))
    signed = [one.signed for one in opened.statements(row) if one.signed is not None]
    if not signed:
        raise InfraError(f"the evidence of {uri} is not signed yet", fix="start the verifier, which signs it")
    if out is None:
        click.echo(signed[-1].decode("ascii"))
    else:
        write_private(out, signed[-1] + b"\n")
