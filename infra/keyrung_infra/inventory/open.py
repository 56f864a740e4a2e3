"""Where an inventory is: a path for one machine, or a table that every machine reaches."""

from pathlib import Path

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.inventory import Inventory

_TABLE = "dynamodb:"


def is_there(place: str, *, root: Path) -> bool:
    """Return whether there is something to open at ``place``; a table is asked on its first use only."""
    return place.startswith(_TABLE) or (root / place).is_file()


def open_inventory(place: str, *, root: Path) -> Inventory:
    """Return the inventory at ``place``: ``dynamodb:table=T;region=R``, or the path of a file, relative to ``root``."""
    if place.startswith(_TABLE):
        from keyrung_infra.inventory.dynamodb import DynamoInventory  # noqa: PLC0415 - boto3 only where it is asked

        return DynamoInventory.parse(place)
    return SqliteInventory(root / place)
