"""`keyrung key verify`: read a key back from its store and name each attribute that is not as it should be."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keyrung_infra.cli.escrow_common import json_option
from keyrung_infra.cli.key_common import audit_keys, existing_inventory, inventory_option
from keyrung_infra.cli.key_stores import Stores, store_options
from keyrung_infra.cli.tables import printable, show, table
from keyrung_infra.errors import InfraError
from keyrung_infra.keys.check import Check, Verdict, verify_key
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.uri import KeyUri

FORMAT = "keyrung-key-verify/v1"
EXIT_DIFFERS = 1
_PURPOSES = [purpose.value for purpose in Purpose]


@click.command("verify")
@click.argument("uri")
@click.option("--algorithm", type=click.Choice(list(ALGORITHMS)), help="Expected; needed for a key of no inventory.")
@click.option("--purpose", type=click.Choice(_PURPOSES), help="Expected; needed for a key of no inventory.")
@click.option("--hardware", is_flag=True, help="Expect a key that hardware holds.")
@click.option(
    "--audit-key",
    "audit_key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Public audit key (JWK or PEM) for the evidence; may be repeated. [default: as the verifier is configured]",
)
@store_options
@inventory_option
@json_option
def command(
    *,
    uri: str,
    algorithm: str | None,
    purpose: str | None,
    hardware: bool,
    audit_key_files: tuple[Path, ...],
    stores: Stores,
    inventory: str | None,
    as_json: bool,
) -> None:
    """Compare the key URI in its store with its declaration, the inventory and its signed evidence.

    Exit code 1 if anything differs. Nothing is changed, and nothing is signed but a proof that the pair belongs
    together.
    """
    key, known = KeyUri.parse(uri), existing_inventory(inventory)
    row = None if known is None else known.find(key)
    if row is None and (algorithm is None or purpose is None):
        raise InfraError(f"the inventory has no living key {key}", fix="say --algorithm and --purpose")
    verdict = verify_key(
        key,
        stores.manager(key.scheme),
        row=row,
        statements=[] if known is None or row is None else known.statements(row),
        algorithm=algorithm,
        purpose=None if purpose is None else Purpose(purpose),
        hardware=hardware,
        audit_keys=audit_keys(audit_key_files),
    )
    click.echo(json.dumps(_document(verdict))) if as_json else _print(verdict)
    if not verdict.ok:
        click.get_current_context().exit(EXIT_DIFFERS)


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "uri": str(verdict.uri),
        "ok": verdict.ok,
        "evidence": verdict.evidence,
        "checks": [
            {
                "attribute": check.attribute,
                "against": check.against,
                "expected": check.expected,
                "found": check.found,
                "ok": check.ok,
            }
            for check in verdict.checks
        ],
    }


def _print(verdict: Verdict) -> None:
    differing = [check for check in verdict.checks if not check.ok]
    shown = table("", "attribute", "expected", "found", "against", fold=("expected", "found"))
    for check in sorted(verdict.checks, key=lambda check: check.ok):
        mark = "[green]ok[/green]" if check.ok else "[red]differs[/red]"
        cells = (check.attribute, _text(check.expected), _text(check.found), check.against)
        shown.add_row(mark, *map(printable, cells))
    show(shown, "")
    click.echo(f"{verdict.uri}: {_summary(differing)}\nEvidence: {verdict.evidence}.")


def _summary(differing: Sequence[Check]) -> str:
    if not differing:
        return "as it should be."
    names = list(dict.fromkeys(check.attribute for check in differing))
    return f"differs in {', '.join(names)}."


def _text(value: object) -> str:
    return "not reported" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
