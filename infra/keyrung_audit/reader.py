"""Lines of a log or a checkpoint file, read without ever changing the source and with bounded memory for each line."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from keyrung_audit.errors import SourceError
from keyrung_audit.record import MAX_LINE_BYTES

_SQLITE_MAGIC = b"SQLite format 3\x00"  # the first 16 bytes of every SQLite file (its file format, 1.3)
_DRAIN_BYTES = 64 * 1024
# One byte more than allowed is enough for the check to see that a line is too long.
_SELECT_LINES = f"SELECT substr(CAST(line AS BLOB), 1, {MAX_LINE_BYTES + 1}) FROM audit ORDER BY shard, seq"  # noqa: S608 - a constant


def read_log(path: Path) -> Iterator[bytes]:
    """Yield the lines of the `audit` table of a SQLite file, of a text file, or of an archive's folder.

    Raises:
        SourceError: It is missing, unreadable or not a database with an audit table.
    """
    if path.is_dir():
        return _read_archive(path)
    try:
        with path.open("rb") as file:
            is_database = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError as error:
        raise _unreadable(path, error) from error
    return _read_database(path) if is_database else read_lines(path)


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a text file without their line feeds, each cut one byte after the longest allowed length.

    Raises:
        SourceError: The file is missing or unreadable.
    """
    return (line for line, _ in _split(path))


def read_checkpoints(path: Path) -> list[bytes]:
    """Return the lines of a checkpoint file, or of those in an archive's folder.

    What a crash left without its line feed was never a statement. All at once and to be called before the log is read,
    so that no checkpoint is newer than the records.

    Raises:
        SourceError: It is missing or unreadable.
    """
    files = _files(path, "*.jws") if path.is_dir() else [path]
    return [line for file in files for line, is_whole in _split(file) if is_whole]


def _read_archive(folder: Path) -> Iterator[bytes]:
    """Yield the lines of all objects of an archive, shard by shard, as their names order them.

    What was delivered twice may stand in two objects, byte for byte; anything else that stands twice is yielded twice.
    """
    seen: set[bytes] = set()
    for file in _files(folder, "*.jsonl"):
        for line in read_lines(file):
            digest = hashlib.sha256(line).digest()
            if digest not in seen:
                seen.add(digest)
                yield line


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        found = sorted(folder.rglob(pattern))
    except OSError as error:
        raise _unreadable(folder, error) from error
    if not found:
        raise SourceError(
            f"{folder} holds no {pattern}; copy the archive's objects there, folders and all.", path=folder
        )
    return found


def _split(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield each line, cut where it is too long, and whether a line feed ended it."""
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                is_whole, part = line.endswith(b"\n"), line
                while not part.endswith(b"\n") and (part := file.readline(_DRAIN_BYTES)):
                    is_whole = part.endswith(b"\n")
                yield line.removesuffix(b"\n"), is_whole
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_database(path: Path) -> Iterator[bytes]:
    # mode=ro: a reader that could write might repair what it should report.
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            for (line,) in connection.execute(_SELECT_LINES):
                yield line if isinstance(line, bytes) else b""
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SourceError(f"Cannot read {path} ({reason}); give a log with --log or --checkpoints.", path=path)
