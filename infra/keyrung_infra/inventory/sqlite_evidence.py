"""Statements about keys as they stand in their table."""

import sqlite3
from datetime import datetime

from keyrung_provisioners.api import KeyDescription
from keyrung_provisioners.evidence import statement
from keyrung_provisioners.inventory import KeyRow, Statement


def insert_statement(
    connection: sqlite3.Connection, row: KeyRow, found: KeyDescription, *, how: str, now: datetime
) -> None:
    """Insert the statement about what was read back; it waits for its signature."""
    text = statement(row, found, how=how, now=now).decode("utf-8")
    connection.execute(
        "INSERT INTO statements (owner, generation, statement) VALUES (?, ?, ?)",
        (row.claim.owner, row.claim.generation, text),
    )


def select_statements(connection: sqlite3.Connection, condition: str, values: tuple[str | int, ...]) -> list[Statement]:
    """Return the statements for which ``condition`` (a constant) holds, oldest first."""
    query = f"SELECT position, statement, signed FROM statements WHERE {condition} ORDER BY position"  # noqa: S608
    return [
        Statement(
            position=position, statement=text.encode("utf-8"), signed=None if signed is None else signed.encode("ascii")
        )
        for position, text, signed in connection.execute(query, values)
    ]
