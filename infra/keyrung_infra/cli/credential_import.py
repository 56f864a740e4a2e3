"""`keyrung credential import`: many credentials from one file."""

import time
from collections import Counter
from pathlib import Path

import click

from keyrung_infra.cli.credential_common import (
    NO_PAGE,
    issuer_name_option,
    json_option,
    valid_for_option,
    write,
)
from keyrung_infra.cli.progress import progress
from keyrung_infra.credentials.bulk import Import
from keyrung_infra.credentials.csv_file import KINDS
from keyrung_infra.credentials.records import opened_records
from keyrung_infra.local.locks import exclusive
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_provisioners.sources import resolve
from keyrung_verifier.credentials import check_issuer_name


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where secrets go that are made here.")
@click.option("--check", is_flag=True, help="Check the file and say what would be done; change nothing.")
@issuer_name_option
@valid_for_option
@json_option
def command(*, file: Path, out: Path | None, check: bool, issuer_name: str, ttl_seconds: int, as_json: bool) -> None:
    """Import the credentials in FILE, a CSV with the columns subject, kind, serial, seed, public_key.

    The whole file is checked first. An import that ended in the middle is run again; it does the rest. Secrets made
    here (otpauth URIs, enrolment links) go to the file named by --out, readable by you only, and never to the
    terminal. A FILE with seeds is as secret as they are: destroy it afterwards.
    """
    check_issuer_name(issuer_name)
    root = find_root()
    # One at a time: two imports of one file would both find its rows missing, and the file of secrets would hold those
    # of one of them.
    with exclusive(root / STATE_FOLDER / "verifier" / "store.import.lock"), opened_records() as records:
        work = Import.of(file, records, now_seconds=int(time.time()))
        counts = Counter(row.kind for row in work.plan.rows)
        if not check:
            total = len(work.plan.rows)
            with progress("Importing", total, shown=not as_json) as advance:
                work.run(
                    issuer_name=issuer_name,
                    public_url=resolve(records.issuer, root=root),
                    out=out,
                    ttl_seconds=ttl_seconds,
                    done=lambda rows: [advance("") for _ in range(rows)].clear(),
                )
    wrote = out is not None and bool(work.plan.secret_rows()) and not check
    verb = "to add" if check else "added"
    write(
        {
            "checked_only": check,
            "added": {kind: counts[kind] for kind in KINDS},
            "already_there": work.plan.already,
            "out": str(out) if wrote else None,
        },
        as_json=as_json,
        lines=[
            *(f"{counts[kind]} {kind} {verb}" for kind in KINDS if counts[kind]),
            *([f"{work.plan.already} already there"] if work.plan.already else []),
            *([f"the secrets are in {out}; hand them over, then destroy it"] if wrote else []),
        ]
        or ["nothing to do"],
    )
    if counts["webauthn"] and not check:
        click.echo(f"keyrung: {NO_PAGE}.", err=True)
