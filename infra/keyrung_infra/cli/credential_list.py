"""`keyrung credential list`: who holds what, in which state."""

import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from keyrung_infra.cli.credential_common import json_option, write
from keyrung_infra.credentials.listing import Listed, listing
from keyrung_infra.credentials.records import opened_store

_TIMES = {
    "created_at": "created_at_seconds",
    "last_used_at": "last_used_at_seconds",
    "revoked_at": "revoked_at_seconds",
    "expires_at": "expires_at_seconds",
}
_HEADER = ("CREDENTIAL", "STATE", "KIND", "CREATED", "LAST USED", "FAILURES", "SEALED BY", "SERIAL", "SUBJECT")


@click.command("list")
@click.argument("subject", required=False)
@json_option
def command(subject: str | None, as_json: bool) -> None:
    """List credentials and enrolment tickets, of SUBJECT or of everybody. Times are UTC.

    It reads the store alone, so it works while a key store is down.
    """
    with opened_store() as store:
        found = listing(store, subject, now_seconds=int(time.time()))
    if as_json:
        write({"credentials": [_document(each) for each in found]}, as_json=True, lines=[])
    elif found:
        write({}, as_json=False, lines=_table([_HEADER, *map(_cells, found)]))


def _document(each: Listed) -> dict[str, Any]:
    members = dataclasses.asdict(each)
    times = {name: members.pop(source) for name, source in _TIMES.items()}
    return members | {name: None if at is None else _time(at).isoformat() for name, at in times.items()}


def _cells(each: Listed) -> tuple[str, ...]:
    sealed_by = "" if each.generation is None else f"generation {each.generation}"
    return (
        each.credential_id,
        each.state,
        each.kind,
        _short(each.created_at_seconds),
        _short(each.last_used_at_seconds),
        str(each.failures) if each.failures else "",
        sealed_by,
        each.serial or "",
        each.subject,
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows in columns; the last, which may hold spaces, is not padded, and an empty cell is a dash."""
    filled = [tuple(cell or "-" for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in filled
    ]


def _short(seconds: int | None) -> str:
    return "" if seconds is None else _time(seconds).strftime("%Y-%m-%dT%H:%M")


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
