"""`keyrung key drift`: does the inventory equal what the stores hold?"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from keyrung_infra.cli.escrow_common import json_option
from keyrung_infra.cli.key_common import inventory_option, open_inventory
from keyrung_infra.cli.key_stores import Stores, store_options
from keyrung_infra.cli.progress import progress
from keyrung_infra.cli.tables import printable, show, table
from keyrung_infra.keys.drift import Finding, drift, raise_events, vaults_of
from keyrung_provisioners.states import KeyState

FORMAT = "keyrung-key-drift/v1"
EXIT_DRIFT = 1
EXIT_NOT_CHECKED = 2
_STYLES = {"missing": "red", "altered": "red", "foreign": "yellow", "unchecked": "yellow"}


@click.command("drift")
@store_options
@inventory_option
@json_option
def command(*, stores: Stores, inventory: str | None, as_json: bool) -> None:
    """Find keys that are missing or altered in their store, and keys in a vault that no inventory has.

    Exit code 1 if there are any, 2 if a store could not be asked. Each finding becomes an event of the audit log,
    once a day while it lasts.
    """
    opened = open_inventory(inventory)
    rows = [row for row in opened.rows() if row.state is not KeyState.DESTROYED]
    vaults = vaults_of(rows)
    copies = sum(row.claim.copy_to is not None for row in rows)
    with progress("Drift", len(rows) + copies + len(vaults), shown=not as_json) as checked:
        findings = drift(rows, stores.manager, checked=checked)
    raise_events(opened, findings, now=datetime.now(UTC))
    if as_json:
        found = [{"kind": each.kind, "uri": each.uri, "text": each.text} for each in findings]
        click.echo(json.dumps({"format": FORMAT, "ok": not findings, "keys": len(rows), "findings": found}))
    else:
        _print(findings, f"{len(rows)} keys in {len(vaults)} vaults")
    if findings:
        only_unchecked = all(finding.kind == "unchecked" for finding in findings)
        click.get_current_context().exit(EXIT_NOT_CHECKED if only_unchecked else EXIT_DRIFT)


def _print(findings: Sequence[Finding], looked_at: str) -> None:
    if not findings:
        click.echo(f"{looked_at}: the stores hold exactly what the inventory says.")
        return
    shown = table("finding", "key", fold=("key",))
    for finding in findings:
        style = _STYLES[finding.kind]
        what = f"{printable(finding.uri)}\n[dim]{printable(finding.text)}[/dim]"
        shown.add_row(f"[{style}]{finding.kind}[/{style}]", what)
    show(shown, "")
    click.echo(f"{looked_at}: {len(findings)} {'finding' if len(findings) == 1 else 'findings'}.")
