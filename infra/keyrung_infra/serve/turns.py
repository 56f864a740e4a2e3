"""One thread at a time works on a request; whoever waits for the disk or for a key lets the next one go on.

Python runs one thread at a time anyway, but hands over at every call into SQLite: with sixteen threads at work these
hand-overs cost as much as the work. With turns there are a few for each request.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Turns take fractions of a millisecond, so whoever waits this long waits for something else, and goes on without one:
# nothing is ever held up by a turn.
PATIENCE_SECONDS = 0.1


class _Mine(threading.local):
    held = False


class Turns:
    """The turns of a pool of threads; threads that never take one are not concerned."""

    def __init__(self, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._free = threading.Lock()
        self._mine = _Mine()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Work in a turn."""
        self._take()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others work meanwhile, if this thread has the turn; it takes another one afterwards."""
        if not self._mine.held:
            yield
            return
        self._leave()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        self._mine.held = self._free.acquire(timeout=self._patience_seconds)

    def _leave(self) -> None:
        if self._mine.held:
            self._mine.held = False
            self._free.release()
