"""`keyrung key list`: every key of the inventory, its state, its age, and when its rotation is due."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import click

from keyrung_infra.cli.escrow_common import json_option
from keyrung_infra.cli.key_common import inventory_option, open_inventory
from keyrung_infra.cli.tables import printable, show, span, table
from keyrung_infra.generation_setting import with_setting
from keyrung_infra.keys.report import Line, raise_overdue, report
from keyrung_provisioners.cryptoperiod import Rotation
from keyrung_provisioners.states import KeyState

FORMAT = "keyrung-key-list/v1"
EXIT_FOUND = 1
_COLUMNS = ("key", "purpose", "gen", "state", "age", "rotation")
_STYLES = {
    KeyState.SUSPENDED: "[yellow]{}[/yellow]",
    KeyState.COMPROMISED: "[red]{}[/red]",
}
_FAILS: dict[str | None, tuple[Rotation, ...]] = {
    None: (),
    "overdue": (Rotation.OVERDUE,),
    "due": (Rotation.DUE, Rotation.OVERDUE),
}


@click.command("list")
@click.option(
    "--fail-on",
    type=click.Choice(["due", "overdue"]),
    help="Exit with 1 if a rotation is due (last tenth of the cryptoperiod) or overdue.",
)
@inventory_option
@json_option
def command(fail_on: str | None, inventory: str | None, as_json: bool) -> None:
    """List the keys that are not destroyed. Each overdue one becomes an event of the audit log, once."""
    opened, now = open_inventory(inventory), datetime.now(UTC)
    lines = report(opened, now=now)
    raise_overdue(opened, lines, now=now)
    if as_json:
        keys = [_document(line, now) for line in lines]
        click.echo(json.dumps({"format": FORMAT, "at": _utc(now), "keys": keys}))
    else:
        _print(lines, now)
    if any(line.rotation in _FAILS[fail_on] for line in lines):
        click.get_current_context().exit(EXIT_FOUND)


def _document(line: Line, now: datetime) -> dict[str, Any]:
    row, period = line.row, line.period
    return {
        "uri": str(row.claim.uri),
        "generation": row.claim.generation,
        "owner": row.claim.owner,
        "purpose": row.claim.purpose.value,
        "algorithm": row.claim.algorithm,
        "thumbprint": row.fingerprint,
        "state": row.state.value,
        "state_since": _utc(row.state_since),
        "created_at": _utc(row.claimed_at),
        "age_seconds": int((now - row.claimed_at).total_seconds()),
        "use_not_before": _utc(row.use_not_before),
        "cryptoperiod_days": period.days if period else None,
        "rotate_before": _utc(period.ends_at) if period else None,
        "rotation": line.rotation.value if line.rotation else None,
    }


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _print(lines: Sequence[Line], now: datetime) -> None:
    if not lines:
        click.echo("The inventory has no living key.")
        return
    for vault, keys in groupby(lines, key=lambda line: str(line.row.claim.uri.vault_uri)):
        shown = table(*_COLUMNS, right=("gen", "age"), fold=("key",), title=vault)
        for line in keys:
            row = line.row
            shown.add_row(
                printable(row.claim.uri.name),
                row.claim.purpose.value,
                str(row.claim.generation),
                _STYLES.get(row.state, "{}").format(row.state.value),
                span(now - row.claimed_at),
                _rotation(line, now),
            )
        show(shown, "")
    overdue = sum(line.overdue for line in lines)
    if overdue:
        click.echo(with_setting(f"{overdue} overdue: raise `generation` and run `pulumi up`."))


def _rotation(line: Line, now: datetime) -> str:
    if line.period is None:
        return "handed over" if line.row.state is KeyState.ACTIVE else "-"
    if line.period.begins_at > now:
        return f"used in {span(line.period.begins_at - now)}"
    if line.overdue:
        return f"[red]overdue {span(now - line.period.ends_at)}[/red]"
    text = f"in {span(line.period.ends_at - now)}"
    return f"[yellow]due, {text}[/yellow]" if line.rotation is Rotation.DUE else text
