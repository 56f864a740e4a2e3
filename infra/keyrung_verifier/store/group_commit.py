"""Commits of several threads in one transaction and one sync of the disk, each with an outcome of its own.

Whoever finds nobody at work leads: it commits all that waits and hands the lead to the first that came meanwhile. So a
single caller waits for nobody, and under load one sync serves everybody who came during the one before.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeAlias

from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.store.protocol import RecordBuilder, Tail, Write

# What a thread waits in, so that others may work meanwhile.
Aside: TypeAlias = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True, eq=False)
class Unit:
    """What one caller commits, and how it went.

    Attributes:
        tail: What the log ends in after it; None until it is durable.
        error: Why nothing of it happened.
    """

    writes: Sequence[Write]
    records: Sequence[RecordBuilder]
    tail: Tail | None = None
    error: Exception | None = None
    over: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._turn.acquire()

    def wait(self) -> None:
        """Return once the unit is over, or is to lead."""
        self._turn.acquire()

    def wake(self) -> None:
        """End the wait."""
        self._turn.release()

    def outcome(self) -> Tail:
        """Return what the log ends in after the unit, or raise why nothing of it happened."""
        if self.error is not None:
            raise self.error
        if self.tail is None:  # whoever led was interrupted
            raise StoreUnavailableError("the commit was interrupted; try again")
        return self.tail


class GroupCommit:
    """Gathers units; ``commit_together`` commits a group and gives each of its units an outcome."""

    def __init__(self, commit_together: Callable[[Sequence[Unit]], None], *, aside: Aside = nullcontext) -> None:
        self._commit_together = commit_together
        self._aside = aside
        self._lock = threading.Lock()
        self._waiting: list[Unit] = []
        self._led = False

    def commit(self, unit: Unit) -> Tail:
        """Return what the log ends in once the unit is durable, or raise why nothing of it happened."""
        with self._lock:
            self._waiting.append(unit)
            led, self._led = self._led, True
        if led:
            with self._aside():
                unit.wait()
        if not unit.over:
            self._lead(unit)
        return unit.outcome()

    def _lead(self, leader: Unit) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        try:
            self._commit_together(group)
        finally:
            with self._lock:
                successor = self._waiting[0] if self._waiting else None
                self._led = successor is not None
            if successor is not None:
                successor.wake()
            for unit in group:
                unit.over = True
                if unit is not leader:
                    unit.wake()
