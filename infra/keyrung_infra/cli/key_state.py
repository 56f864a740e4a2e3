"""`keyrung key suspend | resume | deactivate | compromise`: the transitions that people decide on."""

import sys
from datetime import UTC, datetime

import click

from keyrung_infra.cli.escrow_common import json_option, write
from keyrung_infra.cli.key_common import inventory_option, open_inventory
from keyrung_infra.errors import InfraError
from keyrung_infra.generation_setting import with_setting
from keyrung_infra.keys.states import change_state, recorded
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_SUSPENDED = "A verifier refuses every use of it from now on. `keyrung key resume` gives it back."
_RESUMED = "It is in use again."
_DEACTIVATED = "It signs and seals no more. What it made before still verifies and opens."
_COMPROMISED = (
    "A verifier refuses every use of it from now on, and accepts nothing that it signed. "
    f"{with_setting('Raise `generation`')} for a new key, then destroy this one."
)


@click.command("suspend")
@click.argument("uri")
@inventory_option
@json_option
def suspend(uri: str, inventory: str | None, as_json: bool) -> None:
    """Stop every use of the key URI for now, such as while an incident is looked into."""
    _change(uri, KeyState.SUSPENDED, inventory, _SUSPENDED, as_json=as_json)


@click.command("resume")
@click.argument("uri")
@inventory_option
@json_option
def resume(uri: str, inventory: str | None, as_json: bool) -> None:
    """Use the suspended key URI again."""
    _change(uri, KeyState.ACTIVE, inventory, _RESUMED, as_json=as_json, only_from=KeyState.SUSPENDED)


@click.command("deactivate")
@click.argument("uri")
@inventory_option
@json_option
def deactivate(uri: str, inventory: str | None, as_json: bool) -> None:
    """End the use of the key URI for good: what it made before still verifies and opens."""
    _change(uri, KeyState.DEACTIVATED, inventory, _DEACTIVATED, as_json=as_json)


@click.command("compromise")
@click.argument("uri")
@click.option("--yes", is_flag=True, help="Do not ask: this cannot be taken back.")
@inventory_option
@json_option
def compromise(uri: str, yes: bool, inventory: str | None, as_json: bool) -> None:
    """Say that the key URI may be in other hands: nothing uses it or accepts what it signed any more."""
    if not yes:
        row = recorded(open_inventory(inventory), KeyUri.parse(uri))
        if as_json or not sys.stdin.isatty():
            raise InfraError(f"{uri} can never leave the state compromised but to be destroyed", fix="add --yes")
        what = f"{uri}, generation {row.claim.generation}, {row.claim.purpose}, is {row.state}."
        click.echo(f"{what} Once compromised, it can only be destroyed.", err=True)
        click.confirm("Go on?", abort=True, err=True)
    _change(uri, KeyState.COMPROMISED, inventory, _COMPROMISED, as_json=as_json)


def _change(
    text: str,
    state: KeyState,
    inventory: str | None,
    meaning: str,
    *,
    as_json: bool,
    only_from: KeyState | None = None,
) -> None:
    now = datetime.now(UTC)
    before, after = change_state(open_inventory(inventory), KeyUri.parse(text), state, now=now, only_from=only_from)
    claim = after.claim
    document = {
        "uri": str(claim.uri),
        "generation": claim.generation,
        "purpose": claim.purpose.value,
        "before": before.state.value,
        "state": after.state.value,
        "at": now.isoformat(timespec="seconds"),
    }
    lines = [f"{claim.uri} generation {claim.generation} was {before.state} and is {after.state}", meaning]
    write(document, as_json=as_json, lines=lines)
