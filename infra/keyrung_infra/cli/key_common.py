"""What the commands about keys share."""

from collections.abc import Sequence
from pathlib import Path

import click

from keyrung_audit import PublicKey, SourceError, load_public_key, public_key_from_jwk
from keyrung_infra.errors import InfraError
from keyrung_infra.inventory.open import is_there
from keyrung_infra.inventory.open import open_inventory as opened
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_infra.serve.settings import read_settings
from keyrung_provisioners.inventory import Inventory

_VERIFIER_CONFIG = Path(STATE_FOLDER) / "verifier" / "config.json"

inventory_option = click.option(
    "--inventory",
    metavar="FILE|dynamodb:table=T;region=R",
    help=f"The key inventory. [default: {STATE_FOLDER}/inventory.db of the project]",
)


def open_inventory(given: str | None) -> Inventory:
    """Return the inventory at ``given``, or the project's own; one that is not there is an error, not an empty one."""
    place = str(_default()) if given is None else given
    if not is_there(place, root=Path()):
        raise InfraError(
            f"there is no key inventory {place}", fix="deploy the stack with `pulumi up`, or give --inventory"
        )
    return opened(place, root=Path())


def existing_inventory(given: str | None) -> Inventory | None:
    """Return the inventory, or None where none was named and this is no deployed project."""
    if given is not None:
        return open_inventory(given)
    try:
        path = _default()
    except InfraError:
        return None
    return opened(str(path), root=Path()) if path.is_file() else None


def _default() -> Path:
    return find_root() / STATE_FOLDER / "inventory.db"


def audit_keys(files: Sequence[Path]) -> list[PublicKey]:
    """Return the public audit keys in ``files``, or those that the deployed verifier's log is checked with, if any."""
    if files:
        return [_read_key(path) for path in files]
    try:
        config = find_root() / _VERIFIER_CONFIG
    except InfraError:
        return []
    return [public_key_from_jwk(jwk) for jwk in read_settings(config).audit.keys] if config.is_file() else []


def _read_key(path: Path) -> PublicKey:
    try:
        return load_public_key(path.read_bytes())
    except OSError as error:
        raise SourceError(f"Cannot read {path} ({error.strerror}); give the public audit key.", path=path) from error
