"""What the escrow commands share: options, reading envelopes, and writing answers."""

import json
from pathlib import Path
from typing import Any

import click

from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow.envelope import Envelope

json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
file_path = click.Path(path_type=Path, dir_okay=False)
envelope_argument = click.argument("envelope_file", metavar="ENVELOPE", type=file_path)
share_option = click.option(
    "--share",
    "share_files",
    type=file_path,
    multiple=True,
    required=True,
    help="An opened share; one option each.",
)


def read_envelope(path: Path) -> Envelope:
    """Return the envelope in ``path``."""
    return envelopes.decode(path.read_bytes())


def description(envelope: Envelope) -> dict[str, Any]:
    """Return what an envelope says, without anything sealed."""
    document: dict[str, Any] = json.loads(envelopes.encode(envelope))
    del document["wrapped"]
    for share in document["shares"]:
        del share["sealed"]
    return document


def write(document: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    """Write the answer for a program or for a person."""
    click.echo(json.dumps(document) if as_json else "\n".join(lines))
