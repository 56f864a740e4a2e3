"""The audit log's tables in SQLite: lines, and beside them number and hash of the line appended last.

The head says what the log must end in. A log that ends otherwise was shortened or changed behind our back, and
nothing is appended to it.
"""

import hashlib
import sqlite3
from collections.abc import Sequence

from keyrung_verifier.errors import AuditTailError
from keyrung_verifier.store.protocol import NO_PREVIOUS, RecordBuilder, Tail

SHARD = "main"
# What the log must end in, and what it does end in.
_END = """
SELECT 'must', seq, hash FROM audit_head WHERE shard = ?1
UNION ALL SELECT 'does', seq, line FROM (SELECT seq, line FROM audit WHERE shard = ?1 ORDER BY seq DESC LIMIT 1)
"""


def append(connection: sqlite3.Connection, records: Sequence[RecordBuilder], tail: Tail) -> Tail:
    """Append the records behind ``tail`` within the connection's transaction; return the new tail."""
    for build in records:
        seq, text = tail.seq + 1, build(tail)
        connection.execute("INSERT INTO audit (shard, seq, line) VALUES (?, ?, ?)", (SHARD, seq, text))
        tail = Tail(SHARD, seq, hashlib.sha256(text).hexdigest())
    return tail


def keep_tail(connection: sqlite3.Connection, tail: Tail) -> None:
    """Note what the log must end in from now on."""
    connection.execute(
        "INSERT INTO audit_head (shard, seq, hash) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (shard) DO UPDATE SET seq = ?2, hash = ?3",
        tail,
    )


def tail(connection: sqlite3.Connection) -> Tail:
    """Return what the log ends in.

    Raises:
        AuditTailError: The last line is missing, changed, or not the last.
    """
    ends = {name: (seq, content) for name, seq, content in connection.execute(_END, (SHARD,))}
    if not ends:
        return Tail(SHARD, -1, NO_PREVIOUS)
    must, does = ends.get("must"), ends.get("does")
    if must is None or does is None or must != (does[0], _hash(does[1])):
        raise AuditTailError("the audit log does not end in what was written last; run `keyrung audit verify`")
    return Tail(SHARD, int(must[0]), str(must[1]))


def line(connection: sqlite3.Connection, shard: str, seq: int) -> bytes | None:
    """Return one line."""
    found = connection.execute("SELECT line FROM audit WHERE shard = ? AND seq = ?", (shard, seq)).fetchone()
    return None if found is None else bytes(found[0])


def _hash(stored: bytes | str) -> str:
    # Whoever edits the file by hand may leave text where bytes were.
    return hashlib.sha256(stored.encode() if isinstance(stored, str) else stored).hexdigest()
