"""`keyrung credential`: step-up credentials, provisioned for people in advance."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from keyrung_infra.cli.serve import DEFAULT_CONFIG
from keyrung_infra.project import find_root
from keyrung_infra.serve.build import Records, build_records
from keyrung_infra.serve.settings import read_settings
from keyrung_infra.user_token import provision_user_key

_json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
_ISSUER_NAME = "Keyrung"


@contextmanager
def _records() -> Iterator[Records]:
    """Open the log, with what happened to keys before so that each change has its place in it; sign its end after."""
    root = find_root()
    records = build_records(read_settings(root / DEFAULT_CONFIG), root)
    records.audit.open()
    try:
        records.key_events.hand_over(records.audit)
        yield records
    finally:
        records.audit.checkpoint()


@click.group("credential")
def command() -> None:
    """Add, list and revoke people's step-up credentials."""


@command.group("add")
def add() -> None:
    """Provision a credential for a subject."""


@add.command("totp")
@click.argument("subject")
@_json_option
def add_totp(subject: str, as_json: bool) -> None:
    """Make a TOTP seed for SUBJECT, sealed by the seed key; the secret is shown this once."""
    with _records() as records:
        made = records.credentials.add_totp(subject, sealer=records.sealer, issuer_name=_ISSUER_NAME)
        if as_json:
            _write({"credential_id": made.credential_id, "factor": "otp", "otpauth_uri": made.otpauth_uri})
            return
        click.echo(f"credential {made.credential_id}")
        click.echo("Put this into the authenticator app now; it is not shown again:")
        click.echo(f"  {made.otpauth_uri}")


@add.command("token")
@click.argument("subject")
@click.option("--token", required=True, help="Label of the person's PKCS#11 token.")
@click.option("--module", required=True, help="PKCS#11 module: a path, file:PATH or env:NAME.")
@click.option("--pin", required=True, help="The token's user PIN, as file:PATH or env:NAME.")
@_json_option
def add_token(subject: str, token: str, module: str, pin: str, as_json: bool) -> None:
    """Generate a key pair inside SUBJECT's token and register its public half with evidence."""
    with _records() as records:
        key = provision_user_key(token, {"pkcs11Module": module, "pkcs11Pin": pin}, root=find_root())
        added = records.credentials.add_token(subject, public_jwk=key.public_jwk, evidence=key.evidence)
    document = {"credential_id": added.credential_id, "factor": added.factor, "key": key.uri}
    if as_json:
        _write(document)
        return
    click.echo(f"credential {added.credential_id}\nkey        {key.uri}")


@command.command("list")
@click.argument("subject", required=False)
@_json_option
def list_credentials(subject: str | None, as_json: bool) -> None:
    """List credentials, of SUBJECT or of everybody."""
    with _records() as records:
        found = records.credentials.list(subject)
    if as_json:
        _write(
            {
                "credentials": [
                    {
                        "credential_id": each.credential_id,
                        "subject": each.subject_id,
                        "factor": each.factor,
                        "created_at": _time(each.created_at_seconds),
                        "revoked_at": None if each.revoked_at_seconds is None else _time(each.revoked_at_seconds),
                    }
                    for each in found
                ]
            }
        )
        return
    for each in found:
        state = "active" if each.revoked_at_seconds is None else "revoked"
        click.echo(f"{each.credential_id}  {state:7}  {each.factor}  {each.subject_id}")


@command.command("revoke")
@click.argument("credential_id")
@_json_option
def revoke(credential_id: str, as_json: bool) -> None:
    """Revoke a credential; it counts no more from the next request on."""
    with _records() as records:
        records.credentials.revoke(credential_id)
    if as_json:
        _write({"revoked": credential_id})
    else:
        click.echo(f"revoked {credential_id}")


def _write(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document))


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
