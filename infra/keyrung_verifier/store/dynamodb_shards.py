"""Which chain of the audit log a commit appends to: a process stays on one until another process is there as well.

A chain takes one commit after the other, so writers that share one fail on each other's. A process begins at a random
chain, knows what it ends in after its own commits, and moves on when it finds it changed. Threads never share one.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.protocols import Random
from keyrung_verifier.store.protocol import Tail


class Lease:
    """One chain in the hands of one thread; `tail` is what it ends in, None when that is not known."""

    def __init__(self, shard: str, tail: Tail | None) -> None:
        self.shard = shard
        self.tail = tail


class Shards:
    """The chains of the log and what is known of their ends."""

    def __init__(self, names: Sequence[str], *, random: Random) -> None:
        start = int.from_bytes(random.token_bytes(4)) % len(names)
        self.names = tuple(names)
        self._free = deque([*names[start:], *names[:start]])
        self._tails: dict[str, Tail] = {}
        self._freed = threading.Condition()

    @contextmanager
    def lease(self, shard: str | None, *, wait_seconds: float) -> Iterator[Lease]:
        """Hold a chain, that one or any free one; raises `StoreUnavailableError` when none becomes free in time."""
        lease = self._take(lambda: shard is None or shard in self._free, shard, wait_seconds)
        try:
            yield lease
        finally:
            self._give_back(lease)

    def _take(self, ready: Callable[[], bool], shard: str | None, wait_seconds: float) -> Lease:
        with self._freed:
            if not self._freed.wait_for(lambda: bool(self._free) and ready(), wait_seconds):
                raise StoreUnavailableError("too many commits wait for the audit log; try again")
            name = shard or self._free[0]
            self._free.remove(name)
            return Lease(name, self._tails.pop(name, None))

    def _give_back(self, lease: Lease) -> None:
        with self._freed:
            if lease.tail is None:
                self._free.append(lease.shard)  # perhaps another process is there: the last to be tried again
            else:
                self._tails[lease.shard] = lease.tail
                self._free.appendleft(lease.shard)
            self._freed.notify_all()
