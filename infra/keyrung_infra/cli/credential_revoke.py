"""`keyrung credential revoke`: an end to a credential, or to everything that a subject holds, at once."""

import click

from keyrung_infra.cli.credential_common import json_option, write
from keyrung_infra.credentials.records import opened_records


@click.command("revoke")
@click.argument("credential_id", required=False)
@click.option("--subject", help="Revoke every credential and open enrolment ticket of this subject.")
@json_option
def command(credential_id: str | None, subject: str | None, as_json: bool) -> None:
    """Revoke a credential or an enrolment ticket; from the next request on it counts no more, nor what it earned."""
    if (credential_id is None) == (subject is None):
        raise click.UsageError("Give either the id of a credential or ticket, or --subject.")
    with opened_records() as records:
        if subject is not None:
            revoked = list(records.credentials.revoke_all(subject))
        else:
            found = str(credential_id)
            if any(ticket.ticket_id == found for ticket in records.tickets.list()):
                records.tickets.revoke(found)
            else:
                records.credentials.revoke(found)
            revoked = [found]
    write({"revoked": revoked}, as_json=as_json, lines=[f"revoked {each}" for each in revoked])
