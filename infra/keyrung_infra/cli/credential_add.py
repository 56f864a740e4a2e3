"""`keyrung credential add`: one credential for one person."""

import sys
from datetime import UTC, datetime

import click

from keyrung_infra.cli.credential_common import (
    NO_PAGE,
    issuer_name_option,
    json_option,
    valid_for_option,
    write,
)
from keyrung_infra.credentials.bulk import ENROL_PATH
from keyrung_infra.credentials.qr import terminal_qr
from keyrung_infra.credentials.records import opened_records
from keyrung_infra.project import find_root
from keyrung_infra.user_token import provision_user_key
from keyrung_provisioners.sources import resolve


@click.group("add")
def command() -> None:
    """Provision a credential for a subject."""


@command.command("totp", short_help="Make a TOTP seed, shown once.")
@click.argument("subject")
@issuer_name_option
@json_option
def add_totp(subject: str, issuer_name: str, as_json: bool) -> None:
    """Make a TOTP seed for SUBJECT, sealed by the seed key; the secret is shown this once.

    On a terminal also as a QR code. With --json the answer holds the secret too: it is what the caller is to hand over.
    """
    with opened_records() as records:
        made = records.credentials.add_totp(subject, sealer=records.sealer, issuer_name=issuer_name)
    lines = [f"credential {made.credential_id}", "Put this into the authenticator app now; it is not shown again:"]
    # A picture is for whoever looks; a file or a pipe gets the text alone.
    lines += [terminal_qr(made.otpauth_uri)] if sys.stdout.isatty() else []
    write(
        {"credential_id": made.credential_id, "factor": "otp", "otpauth_uri": made.otpauth_uri},
        as_json=as_json,
        lines=[*lines, f"  {made.otpauth_uri}"],
    )


@command.command("token", short_help="Have a PKCS#11 token make a key pair.")
@click.argument("subject")
@click.option("--token", required=True, help="Label of the person's PKCS#11 token.")
@click.option("--module", required=True, help="PKCS#11 module: a path, file:PATH or env:NAME.")
@click.option("--pin", required=True, help="The token's user PIN, as file:PATH or env:NAME.")
@click.option("--allow-software", is_flag=True, help="Take a token that does not say that it is hardware.")
@json_option
def add_token(*, subject: str, token: str, module: str, pin: str, allow_software: bool, as_json: bool) -> None:
    """Generate a key pair inside SUBJECT's token and register its public half with evidence.

    The attributes of the key are read back and judged, and the key signs a fresh text to prove that it is there.
    """
    with opened_records() as records:
        key = provision_user_key(
            token,
            {"pkcs11Module": module, "pkcs11Pin": pin},
            root=find_root(),
            allow_software=allow_software,
        )
        added = records.credentials.add_token(
            subject, public_jwk=key.public_jwk, evidence=key.evidence, prove=key.token.sign
        )
    write(
        {
            "credential_id": added.credential_id,
            "factor": added.factor,
            "key": key.uri,
            "hardware": key.evidence["hardware"],
        },
        as_json=as_json,
        lines=[
            f"credential {added.credential_id}",
            f"key        {key.uri}",
            f"hardware   {'yes' if key.evidence['hardware'] is True else 'no: it counts as a key in software'}",
        ],
    )


@command.command("webauthn", short_help="Issue a single-use enrolment link.")
@click.argument("subject")
@valid_for_option
@json_option
def add_webauthn(subject: str, ttl_seconds: int, as_json: bool) -> None:
    """Issue a link with which SUBJECT may enrol a security key or passkey, once; it is shown this once."""
    with opened_records() as records:
        order = records.tickets.order(subject)
        (ticket,) = records.tickets.issue([order], ttl_seconds=ttl_seconds)
    link = f"{resolve(records.issuer, root=find_root())}{ENROL_PATH}{order.secret}"
    expires_at = datetime.fromtimestamp(ticket.expires_at_seconds, UTC).isoformat()
    write(
        {"credential_id": ticket.ticket_id, "factor": ticket.factor, "link": link, "expires_at": expires_at},
        as_json=as_json,
        lines=[f"ticket     {ticket.ticket_id}", f"expires    {expires_at}", f"  {link}"],
    )
    click.echo(f"keyrung: {NO_PAGE}.", err=True)
