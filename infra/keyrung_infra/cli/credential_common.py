"""What the credential commands share: options, settings, and writing answers."""

import json
import re
from typing import Any

import click

from keyrung_verifier.limits import MAX_TICKET_TTL_SECONDS, MIN_TICKET_TTL_SECONDS

json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
issuer_name_option = click.option(
    "--issuer-name", default="Keyrung", show_default=True, help="What the authenticator app shows beside the code."
)
# Told wherever a link is made: it leads nowhere before the page behind it exists.
NO_PAGE = "the verifier serves no enrolment page yet: a link can be issued, listed and revoked, and opens nothing"
_UNIT_SECONDS = {"m": 60, "h": 60 * 60, "d": 24 * 60 * 60}


class Lifetime(click.ParamType[int]):
    """A whole number with a unit, as seconds: 30m, 24h or 7d."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds within the bounds of a ticket."""
        found = re.fullmatch(r"([0-9]{1,6})([mhd])", str(value))
        seconds = int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0
        if not MIN_TICKET_TTL_SECONDS <= seconds <= MAX_TICKET_TTL_SECONDS:
            self.fail(f"{value!r} is no time between 1m and 7d; write for instance 24h", param, ctx)
        return seconds


valid_for_option = click.option(
    "--valid-for",
    "ttl_seconds",
    type=Lifetime(),
    default="24h",
    show_default=True,
    help="How long an enrolment link works: minutes, hours or days, up to 7d.",
)


def write(document: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    """Write the answer for a program or for a person."""
    click.echo(json.dumps(document) if as_json else "\n".join(lines))
