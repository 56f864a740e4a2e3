"""`keyrung backup`: copy what the local verifier must not lose."""

from pathlib import Path

import click

from keyrung_infra.backup import back_up
from keyrung_infra.project import find_root
from keyrung_infra.serve.settings import DEFAULT_CONFIG, read_settings


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> None:
    """Copy store, audit checkpoints, key inventory and policy to the new folder FOLDER, while the verifier works.

    Keys are not in it: they stay in their stores, which have backups of their own. Whoever reads the copy of the store
    learns names and records; seeds stay sealed.

    \b
    To restore, with the verifier stopped:
      1. The store is lost, the checkpoints are not: copy store.db back, and
         leave the checkpoints alone. If records are missing, the verifier
         refuses to start and `keyrung audit verify` names the first of them.
         To accept that loss, move the checkpoints to a place that is kept,
         revoke again what was revoked since the backup, and start.
      2. All is lost: copy store.db and checkpoints.jsonl back.
      3. The inventory is lost: copy inventory.db back, then `pulumi refresh`
         and `keyrung key drift` say what has changed since.
    In AWS the tables have point-in-time recovery instead, see infra/README.md.
    """  # noqa: D301 - click knows a paragraph to be left as it is by this character
    root = find_root()
    for path in back_up(read_settings(root / DEFAULT_CONFIG), root, folder):
        click.echo(f"{path}: {path.stat().st_size} bytes")
