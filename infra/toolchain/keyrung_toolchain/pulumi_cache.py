"""The cached Pulumi CLI and the note beside it: which version it is, where it came from, and what its files hash to.

The note guards against damage and half-finished copies. It does not guard against someone who may write in the
user's own cache folder; that person owns the account already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .context import Context
from .errors import DamagedError
from .files import sha256
from .processes import ask_version
from .versions import PULUMI_VERSION

NOTE = "note.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the note says.

    Attributes:
        needs_language_host: Whether it was built here, and so has no Python language host of its own.
        files: SHA-256 in hex of each file that we run.
    """

    version: str
    origin: str
    needs_language_host: bool
    files: dict[str, str]


def save(folder: Path, *, origin: str, needs_language_host: bool) -> None:
    """Write the note for the programs in `folder`/bin."""
    programs = sorted((folder / "bin").glob("pulumi*"))
    wanted = [path for path in programs if path.name == "pulumi" or "python" in path.name]
    note = {
        "version": PULUMI_VERSION,
        "origin": origin,
        "needs_language_host": needs_language_host,
        "files": {path.name: sha256(path) for path in wanted},
    }
    (folder / NOTE).write_text(json.dumps(note, indent=2))


def load(context: Context, target: Path) -> Entry | None:
    """Return the entry at `target`, or None when there is none or it is damaged; the latter is said."""
    if not target.exists():
        return None
    try:
        return check(context, target)
    except DamagedError as problem:
        context.progress.say(f"{problem} It is replaced.")
        return None


def check(context: Context, target: Path) -> Entry:
    """Return the entry at `target` after comparing hashes and version.

    Raises:
        DamagedError: Something differs.
    """
    try:
        entry = Entry(**json.loads((target / NOTE).read_text()))
        differing = [name for name, digest in entry.files.items() if sha256(target / "bin" / name) != digest]
    except (OSError, ValueError, TypeError) as error:
        raise DamagedError(f"The cached Pulumi CLI in {target} is incomplete.") from error
    if differing or "pulumi" not in entry.files:
        raise DamagedError(f"The cached Pulumi CLI in {target} was changed ({', '.join(differing)}).")
    said = ask_version([target / "bin" / "pulumi", "version"], env={**context.env, "PULUMI_SKIP_UPDATE_CHECK": "true"})
    if said.strip() != f"v{PULUMI_VERSION}" or entry.version != PULUMI_VERSION:
        raise DamagedError(f"The cached Pulumi CLI in {target} is version {said.strip() or 'unknown'}.")
    return entry
