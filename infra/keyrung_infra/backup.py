"""A copy of what a local verifier must not lose, made while it works."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from keyrung_infra.errors import InfraError
from keyrung_infra.local.folders import ensure_private
from keyrung_infra.serve.settings import Settings

_BUSY_SECONDS = 30.0


def back_up(settings: Settings, root: Path, folder: Path) -> Iterator[Path]:
    """Copy checkpoints, store, inventory and policy of the verifier to ``folder``, and yield each copy.

    The checkpoints come first: those of a moment later could name records that the copy of the store has not. The
    inventory comes after the store, which takes what it lacks from there.

    Raises:
        InfraError: ``folder`` has something in it already, a file cannot be read or written, or two have one name.
    """
    copied, snapshots = (settings.audit.checkpoints, settings.policy.bundle), (settings.store, settings.inventory)
    if len({Path(name).name for name in (*copied, *snapshots)}) < len(copied) + len(snapshots):
        raise InfraError(
            "two files of the verifier have one name, and one copy would replace the other",
            fix="rename one of store, inventory, checkpoints and policy in the configuration, and `pulumi up`",
        )
    if folder.exists() and any(folder.iterdir()):
        raise InfraError(f"{folder} is not empty", fix="name a new folder; no backup is written over")
    try:
        ensure_private(folder)
        for name in copied:
            target = folder / Path(name).name
            shutil.copyfile(root / name, target)
            target.chmod(0o600)
            yield target
        for name in snapshots:
            yield _snapshot(root / name, folder / Path(name).name)
    except (OSError, sqlite3.Error) as error:
        raise InfraError(
            f"the backup in {folder} is not whole ({error})", fix="remove it, check free space and permissions, repeat"
        ) from error


def _snapshot(source: Path, target: Path) -> Path:
    """Copy one moment of a SQLite file that others write to (sqlite.org, "SQLite Backup API"), and check the copy."""
    target.touch(mode=0o600)
    read_only = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(read_only, uri=True, timeout=_BUSY_SECONDS)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")  # one file, which can be copied further as it is
        (found,) = new.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        raise InfraError(f"{source} is damaged ({found})", fix="keep it as it is, and restore an older backup")
    return target
