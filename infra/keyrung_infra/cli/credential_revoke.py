"""`keyrung credential revoke`: an end to a credential, at once."""

import click

from keyrung_infra.cli.credential_common import json_option, write
from keyrung_infra.credentials.records import opened_records


@click.command("revoke")
@click.argument("credential_id")
@json_option
def command(credential_id: str, as_json: bool) -> None:
    """Revoke a credential or an enrolment ticket; from the next request on it counts no more, nor what it earned."""
    with opened_records() as records:
        if any(ticket.ticket_id == credential_id for ticket in records.tickets.list()):
            records.tickets.revoke(credential_id)
        else:
            records.credentials.revoke(credential_id)
    write({"revoked": credential_id}, as_json=as_json, lines=[f"revoked {credential_id}"])
