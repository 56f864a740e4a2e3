"""`keyrung key conformance`: put a store through what every back end must pass, under scratch names."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import cast

import click

from keyrung_infra.cli.escrow_common import json_option
from keyrung_infra.cli.progress import progress
from keyrung_infra.cli.tables import printable, show, table
from keyrung_infra.cli.transit_access import TransitAccess, transit_options
from keyrung_infra.errors import InfraError
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import KeyManager, VaultDescription
from keyrung_provisioners.conformance import run as conformance
from keyrung_provisioners.conformance.run import Outcome, Result
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import VaultUri

FORMAT = "keyrung-key-conformance/v1"
EXIT_FAILED = 1
_CELLS = {Outcome.PASSED: "[green]ok[/green]", Outcome.FAILED: "[red]FAILED[/red]", Outcome.NOT_OFFERED: "[dim]-[/dim]"}


@click.command("conformance")
@click.argument("uri")
@click.option(
    "--algorithm",
    "algorithms",
    type=click.Choice(list(ALGORITHMS)),
    multiple=True,
    help="Only with this algorithm; may be repeated. [default: all that the back end states]",
)
@click.option("--module", help="PKCS#11 module: a path, file:PATH or env:NAME.")
@click.option("--pin", help="The token's user PIN, as file:PATH or env:NAME.")
@transit_options
@json_option
def command(
    *,
    uri: str,
    algorithms: tuple[str, ...],
    module: str | None,
    pin: str | None,
    transit: TransitAccess,
    as_json: bool,
) -> None:
    """Make, use, move and destroy scratch keys in the vault URI, and say what the store does otherwise than it must.

    URI is a vault, such as pkcs11:token=T, transit:mount=M or awskms:region=R. The names of the keys hold
    "-conformance-", and they are removed again, also after Ctrl-C. Exit code 1 if a check fails; what a store does not
    offer is no failure.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that scratch keys are removed then, too
    vault = VaultUri.parse(uri)
    reopen = _opener(vault.scheme, module=module, pin=pin, transit=transit)
    manager = reopen()
    chosen = algorithms or [name for name in ALGORITHMS if name in manager.algorithms]
    with progress("Conformance", conformance.total(chosen), shown=not as_json) as advance:
        results = conformance.run(
            reopen,
            vault,
            algorithms=chosen,
            random=token_bytes,
            reached=lambda result: advance(f"{result.algorithm} {result.check}"),
        )
    store = manager.describe_vault(vault)
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if as_json:
        click.echo(json.dumps(_document(store, results, ok=not failed)))
    else:
        _print(store, results)
    if failed:
        click.get_current_context().exit(EXIT_FAILED)


def _opener(scheme: str, *, module: str | None, pin: str | None, transit: TransitAccess) -> Callable[[], KeyManager]:
    """Return what makes managers of the store that know nothing of each other."""
    here = Path.cwd()
    if scheme == "pkcs11" and module is not None and pin is not None:
        return partial(open_manager, scheme, {"pkcs11Module": module, "pkcs11Pin": pin}, root=here)
    if scheme == "transit" and transit.stores(scheme) is not None:
        return lambda: cast(KeyManager, transit.stores(scheme))
    if scheme == "awskms":
        return partial(open_manager, scheme, {}, root=here)
    needs = {"pkcs11": "say --module and --pin", "transit": "say --transit-address, --transit-token and --transit-ca"}
    raise InfraError(
        f"it is not said how a {scheme}: vault is reached" if scheme in needs else f"{scheme}: vaults are not tried",
        fix=needs.get(scheme, "give a pkcs11:, transit: or awskms: vault"),
    )


def _document(store: VaultDescription, results: Sequence[Result], *, ok: bool) -> dict[str, object]:
    return {
        "format": FORMAT,
        "vault": str(store.uri),
        "store": dict(store.attributes),
        "ok": ok,
        "results": [
            {
                "check": result.check,
                "algorithm": result.algorithm,
                "outcome": result.outcome.value,
                "reason": result.reason,
            }
            for result in results
        ],
    }


def _print(store: VaultDescription, results: Sequence[Result]) -> None:
    algorithms = list(dict.fromkeys(result.algorithm for result in results))
    cells = {(result.check, result.algorithm): _CELLS[result.outcome] for result in results}
    shown = table("check", *algorithms, title=str(store.uri))
    for check in dict.fromkeys(result.check for result in sorted(results, key=_place)):
        shown.add_row(check, *(cells.get((check, algorithm), "") for algorithm in algorithms))
    show(", ".join(f"{name} {printable(str(value))}" for name, value in store.attributes.items()), shown)
    for outcome, style in ((Outcome.NOT_OFFERED, "dim"), (Outcome.FAILED, "red")):
        for reason, checks, names in _reasons(results, outcome):
            what = f"{', '.join(checks)} ({', '.join(names)})"
            show(f"[{style}]{outcome.value}[/{style}]  {what}: {printable(reason)}")
    counts = [f"{sum(result.outcome is outcome for result in results)} {outcome.value}" for outcome in Outcome]
    show(", ".join(counts))


def _reasons(results: Sequence[Result], outcome: Outcome) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each reason of ``outcome`` once, with the checks and the algorithms that it stands for."""
    chosen = [result for result in results if result.outcome is outcome]
    for reason in dict.fromkeys(result.reason for result in chosen):
        same = [result for result in chosen if result.reason == reason]
        yield (
            reason,
            list(dict.fromkeys(result.check for result in same)),
            list(dict.fromkeys(result.algorithm for result in same)),
        )


def _place(result: Result) -> int:
    """Return where a check stands in the order of the checks, whichever algorithms it is for."""
    names = [check.name for check in conformance.CHECKS]
    return names.index(result.check) if result.check in names else len(names)
