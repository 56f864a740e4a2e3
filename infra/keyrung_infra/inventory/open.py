"""Where an inventory is: a path for one machine, or a table that every machine reaches."""

from pathlib import Path

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.inventory import Inventory

_TABLE = "dynamodb:"


def is_table(place: str) -> bool:
    """Return whether ``place`` names a table of DynamoDB."""
    return place.startswith(_TABLE)


def open_inventory(place: str, *, root: Path) -> Inventory:
    """Return the inventory at ``place``: ``dynamodb:table=T;region=R``, or the path of a file, relative to ``root``."""
    if is_table(place):
        from keyrung_infra.inventory.dynamodb import DynamoInventory  # noqa: PLC0415 - boto3 only where it is asked

        return DynamoInventory.parse(place)
    return SqliteInventory(root / place)
