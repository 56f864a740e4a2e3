"""A real SQLite store that ends a chosen commit as a crash would, and remembers what became durable."""

from collections.abc import Sequence
from typing import Literal

from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.store.protocol import RecordBuilder, Tail, Write
from keyrung_verifier.store.sqlite import SqliteStore

When = Literal["before", "after"]


class CrashingStore(SqliteStore):
    """Fails one commit, before or after it is durable; `durable` holds the writes of every commit that was."""

    crash: tuple[int, When] | None = None
    durable: tuple[Write, ...] = ()

    def crash_at(self, commits_from_now: int, when: When) -> None:
        """Have the commit with that distance fail: 0 is the next one."""
        self.crash = (commits_from_now, when)

    def commit(self, writes: Sequence[Write], records: Sequence[RecordBuilder], *, shard: str | None = None) -> Tail:
        when: When | None = None
        if self.crash is not None:
            left, when_it_fails = self.crash
            self.crash, when = (None, when_it_fails) if left == 0 else ((left - 1, when_it_fails), None)
        if when == "before":
            raise StoreUnavailableError("crashed before the commit")
        tail = super().commit(writes, records, shard=shard)
        self.durable += tuple(writes)
        if when == "after":
            raise StoreUnavailableError("crashed after the commit")
        return tail
