"""`keyrung custodian`: keys of the people who hold shares of an escrow. Works offline, outside any project."""

import json
from pathlib import Path
from secrets import token_bytes

import click

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_provisioners.escrow.custodian import CustodianKey
from keyrung_provisioners.sources import resolve

PASSPHRASE_HELP = "`prompt`, `none`, file:PATH or env:NAME."  # noqa: S105 - what the option takes


@click.group("custodian")
def command() -> None:
    """Keys of the people who hold shares of an escrow."""


@command.command("keygen")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to keep the private key (0600).")
@click.option("--passphrase", default="prompt", show_default=True, help=f"Protects the file: {PASSPHRASE_HELP}")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
def keygen(out: Path, passphrase: str, as_json: bool) -> None:
    """Make a custodian's key and print its public recipient; nothing leaves this machine."""
    if out.exists():
        raise InfraError(f"{out} exists already", fix="choose another file; a key is never overwritten")
    key = CustodianKey.generate(token_bytes)
    chosen = read_passphrase(passphrase, confirm=True)
    write_private(out, key.to_file(passphrase=chosen, token_bytes=token_bytes))
    if as_json:
        click.echo(json.dumps({"recipient": key.recipient, "file": str(out), "encrypted": chosen is not None}))
        return
    click.echo(key.recipient)
    click.echo(
        f"The private key is in {out}. Keep it to yourself, and keep a copy where a fire does not reach it.", err=True
    )


def read_passphrase(source: str, *, confirm: bool) -> str | None:
    """Return the passphrase that ``source`` names, or None for `none`."""
    if source == "none":
        return None
    if source != "prompt":
        return resolve(source, root=Path(), secret=True)
    given: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return given
