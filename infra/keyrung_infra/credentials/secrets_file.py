"""The file that an import writes its secrets to: one JSON object a line, readable by its owner only.

It is whole on disk before the first credential is stored, so no secret is lost. When an import that ended in the middle
is run again, the secrets of what it had stored stay there, and what it had not stored gets new ones.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from keyrung_infra.credentials.csv_file import Row
from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private

_MAX_BYTES = 128 * 1024 * 1024  # a line has about 250 bytes

RowKey = tuple[str, str, str | None]


class _Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    subject: str
    kind: str
    serial: str | None
    uri: Annotated[str, Meta(min_length=1)]


def row_key(row: Row) -> RowKey:
    """Return what names a row in the file of secrets."""
    return row.subject, row.kind, row.serial


def secrets_for(
    path: Path, rows: Sequence[Row], all_rows: Sequence[Row], make: Callable[[Row], str]
) -> Mapping[RowKey, str]:
    """Return the URI of each of the rows, and have the file at ``path`` hold them before this returns.

    Args:
        path: Where they go; a file that an earlier run of the same import left is continued.
        rows: The rows that need one.
        all_rows: Every row of the import, fulfilled ones too; the file may name no other.
        make: Returns a URI with a new secret for a row.

    Raises:
        InfraError: The file is another import's, or cannot be read or written.
    """
    known = _read(path)
    foreign = known.keys() - {row_key(row) for row in all_rows}
    if foreign:
        raise InfraError(f"{path} holds secrets of another import", fix="name another file with --out")
    # Always new ones: a secret that is on file and not in the store may be that of a credential revoked since.
    kept = known | {row_key(row): make(row) for row in rows}
    lines = [
        json.dumps({"subject": subject, "kind": kind, "serial": serial, "uri": uri}, ensure_ascii=False)
        for (subject, kind, serial), uri in kept.items()
    ]
    write_private(path, "".join(f"{line}\n" for line in lines).encode())
    return kept


def _read(path: Path) -> dict[RowKey, str]:
    if not path.exists():
        return {}
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise InfraError(f"{path} is no file of an import", fix="name another file with --out")
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in path.read_bytes().splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Not chained: the text of the error may repeat a secret.
        raise InfraError(f"{path} is no file of an import", fix="name another file with --out") from None
    return {(line.subject, line.kind, line.serial): line.uri for line in lines}
