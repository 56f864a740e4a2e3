"""`keyrung custodian`: keys of the people who hold shares of an escrow. Works offline, outside any project."""

import json
import sys
from pathlib import Path
from secrets import token_bytes
from typing import Any

import click

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_provisioners.api import KeySpec, Purpose
from keyrung_provisioners.checks import refuse_weak
from keyrung_provisioners.escrow.custodian import CustodianKey
from keyrung_provisioners.provision import CLAIM_ID_BYTES
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri

PASSPHRASE_HELP = "`prompt`, `none`, file:PATH or env:NAME."  # noqa: S105 - what the option takes


@click.group("custodian")
def command() -> None:
    """Keys of the people who hold shares of an escrow."""


@command.command("keygen")
@click.option("--out", type=click.Path(path_type=Path), help="Where to keep the private key (0600).")
@click.option("--passphrase", default="prompt", show_default=True, help=f"Protects the file: {PASSPHRASE_HELP}")
@click.option("--uri", help="Instead of a file: make an AES-256 key in a token, such as pkcs11:token=T;object=L.")
@click.option("--module", help="PKCS#11 module of that token: a path, file:PATH or env:NAME.")
@click.option("--pin", help="The token's user PIN, as file:PATH or env:NAME.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
def keygen(
    *, out: Path | None, passphrase: str, uri: str | None, module: str | None, pin: str | None, as_json: bool
) -> None:
    """Make a custodian's key and print its public recipient; nothing leaves this machine."""
    if (out is None) == (uri is None):
        raise click.UsageError("Give either --out or --uri.")
    if uri is not None and (module is None or pin is None):
        raise click.UsageError("Give --module and --pin with --uri.")
    if out is not None:
        document, advice = _in_file(out, passphrase)
    else:
        document, advice = _in_token(KeyUri.parse(uri or ""), module, pin)
    click.echo(json.dumps(document) if as_json else document["recipient"])
    if not as_json:
        click.echo(advice, err=True)


def _in_file(out: Path, passphrase: str) -> tuple[dict[str, Any], str]:
    if out.exists():
        raise InfraError(f"{out} exists already", fix="choose another file; a key is never overwritten")
    key = CustodianKey.generate(token_bytes)
    chosen = read_passphrase(passphrase, confirm=True)
    write_private(out, key.to_file(passphrase=chosen, token_bytes=token_bytes))
    document = {"recipient": key.recipient, "file": str(out), "encrypted": chosen is not None}
    return (
        document,
        f"The private key is in {out}. Keep it to yourself, and keep a copy where a fire does not reach it.",
    )


def _in_token(uri: KeyUri, module: str | None, pin: str | None) -> tuple[dict[str, Any], str]:
    if uri.scheme != "pkcs11":
        raise InfraError(f"{uri} is not in a token", fix="write it as pkcs11:token=LABEL;object=LABEL")
    spec = KeySpec(uri=uri, algorithm="AES-256", purpose=Purpose.KEK, claim_id=token_bytes(CLAIM_ID_BYTES))
    manager = open_manager(uri.scheme, {"pkcs11Module": module or "", "pkcs11Pin": pin or ""}, root=Path())
    made = manager.create(spec)
    refuse_weak(spec, made, manager)
    advice = (
        f"The key is in the token {uri.vault} and never leaves it. The token has to be there when a share is sealed."
    )
    return {"recipient": str(uri), "evidence": dict(made.attributes)}, advice


def read_passphrase(source: str, *, confirm: bool) -> str | None:
    """Return the passphrase that ``source`` names, or None for `none`."""
    if source == "none":
        return None
    if source != "prompt":
        return resolve(source, root=Path(), secret=True)
    if not sys.stdin.isatty():  # it would be echoed
        raise InfraError("there is no terminal to ask for the passphrase", fix="say --passphrase file:PATH or env:NAME")
    given: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return given
