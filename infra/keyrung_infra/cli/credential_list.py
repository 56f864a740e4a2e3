"""`keyrung credential list`: who holds what, in which state."""

import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from keyrung_infra.cli.credential_common import json_option, write
from keyrung_infra.cli.tables import span
from keyrung_infra.credentials.listing import Listed, listing
from keyrung_infra.credentials.records import opened_store

_TIMES = {
    "created_at": "created_at_seconds",
    "last_used_at": "last_used_at_seconds",
    "revoked_at": "revoked_at_seconds",
    "expires_at": "expires_at_seconds",
}
# They leave a subject 16 of 100 columns at the least, and 24 while nobody fails: so a time is told as how long ago it
# was, and what only some kinds have stands in one column.
_HEADER = ("CREDENTIAL", "STATE", "KIND", "AGE", "IDLE", "SEAL/SERIAL", "SUBJECT")


@click.command("list")
@click.argument("subject", required=False)
@json_option
def command(subject: str | None, as_json: bool) -> None:
    """List credentials and enrolment tickets, of SUBJECT or of everybody; --json has the exact times.

    IDLE is the time since the last use. SEAL/SERIAL is the generation of the key that sealed a seed, or the serial
    number of a token. It reads the store alone, so it works while a key store is down.
    """
    now_seconds = int(time.time())
    with opened_store() as store:
        found = listing(store, subject, now_seconds=now_seconds)
    if as_json:
        write({"credentials": [_document(each) for each in found]}, as_json=True, lines=[])
    elif found:
        write({}, as_json=False, lines=listed_lines(found, now_seconds=now_seconds))


def listed_lines(found: Sequence[Listed], *, now_seconds: int) -> list[str]:
    """Return a header and one line for each credential or ticket, its id first and whole."""
    return _table([_HEADER, *(_cells(each, now_seconds) for each in found)])


def _document(each: Listed) -> dict[str, Any]:
    members = dataclasses.asdict(each)
    times = {name: members.pop(source) for name, source in _TIMES.items()}
    return members | {name: None if at is None else _time(at).isoformat() for name, at in times.items()}


def _cells(each: Listed, now_seconds: int) -> tuple[str, ...]:
    failing = each.state == "active" and each.failures  # who is locked has failed as often as one may
    return (
        each.credential_id,
        f"{each.state}, {each.failures} failed" if failing else each.state,
        each.kind,
        _since(each.created_at_seconds, now_seconds),
        "" if each.last_used_at_seconds is None else _since(each.last_used_at_seconds, now_seconds),
        (each.serial or "") if each.generation is None else f"generation {each.generation}",
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


def _since(seconds: int, now_seconds: int) -> str:
    return span(timedelta(seconds=now_seconds - seconds))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
