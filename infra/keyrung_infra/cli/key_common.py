"""What the commands about keys share."""

from pathlib import Path

import click

from keyrung_infra.errors import InfraError
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.project import STATE_FOLDER, find_root

inventory_option = click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The key inventory. [default: {STATE_FOLDER}/inventory.db of the project]",
)


def open_inventory(given: Path | None) -> SqliteInventory:
    """Return the inventory at ``given``, or the project's own; one that is not there is an error, not an empty one."""
    path = find_root() / STATE_FOLDER / "inventory.db" if given is None else given
    if not path.is_file():
        raise InfraError(
            f"there is no key inventory {path}", fix="deploy the stack with `pulumi up`, or give --inventory"
        )
    return SqliteInventory(path)
