"""`keyrung doctor`: is a deployment as it was deployed, and does it work?"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from keyrung_infra.cli.escrow_common import json_option
from keyrung_infra.cli.key_stores import Stores
from keyrung_infra.cli.tables import printable, show, table
from keyrung_infra.doctor.deployment import read_deployment
from keyrung_infra.doctor.examine import examination
from keyrung_infra.doctor.model import Check
from keyrung_infra.project import find_root

FORMAT = "keyrung-doctor/v1"
EXIT_FOUND = 1


@click.command("doctor")
@click.option("--stack", "-s", required=True, help="The stack, such as local or aws.")
@click.option("--url", help="Where to reach the verifier, if not at its public address.")
@click.option(
    "--ca",
    "authority",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file of the authority behind its certificate. [default: this machine's; locally the stack's own]",
)
@json_option
def command(*, stack: str, url: str | None, authority: Path | None, as_json: bool) -> None:
    """Look at a deployment from outside: files, keys, configuration, audit log, alarms, and the verifier itself.

    Nothing is changed. Exit code 1 if anything is wrong or could not be looked at; each finding says what to do. It
    needs what `pulumi up` needs: access to the stack's state, to the stores of its keys and, in AWS, credentials that
    may read.
    """
    deployment = read_deployment(find_root(), stack)
    managers = Stores(stack=stack, given={}).manager
    checks = list(examination(deployment, managers, authority=authority, url=url, now=datetime.now(UTC)))
    if as_json:
        click.echo(json.dumps(_document(stack, checks)))
    else:
        _print(checks)
    if any(check.findings for check in checks):
        click.get_current_context().exit(EXIT_FOUND)


def _document(stack: str, checks: Sequence[Check]) -> dict[str, object]:
    return {
        "format": FORMAT,
        "stack": stack,
        "ok": not any(check.findings for check in checks),
        "checks": [
            {
                "check": check.name,
                "ok": not check.findings,
                "findings": [{"text": found.text, "fix": found.fix} for found in check.findings],
            }
            for check in checks
        ],
    }


def _print(checks: Sequence[Check]) -> None:
    shown = table("check", "", "what was found", fold=("what was found",))
    for check in checks:
        if not check.findings:
            shown.add_row(check.name, "[green]ok[/green]", check.looked_at)
        for found in check.findings:
            if check.skipped:  # what to do stands with the cause
                shown.add_row(check.name, "[yellow]skipped[/yellow]", printable(found.text))
                continue
            shown.add_row(check.name, "[red]wrong[/red]", f"{printable(found.text)}\n[dim]{printable(found.fix)}[/dim]")
    show(shown)
