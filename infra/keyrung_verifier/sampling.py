"""Refusals that anybody can cause: of each kind the first few are recorded whole, the others counted.

A record for each would let a stranger fill the disk and slow everybody. What concerns a challenge, an assertion or an
application that the verifier knows is never sampled. A process that ends without `tell`, by
a crash or as a function that its platform lets go, loses the counts of its window under way.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta

from keyrung_verifier.audit_end import utc_text
from keyrung_verifier.audit_writer import AuditWriter, Entry
from keyrung_verifier.limits import SAMPLED_WHOLE, SAMPLING_SECONDS
from keyrung_verifier.protocols import Clock

EVENT = "refusals.counted"


class RefusalSampler:
    """Says which refusals are recorded whole, and records the numbers of the others; safe for several threads."""

    def __init__(self, *, audit: AuditWriter, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock.now()
        self._seen: Counter[str] = Counter()

    def takes(self, event: str, reason: str) -> bool:
        """Return whether this refusal is only counted; a window that is over is told first.

        Raises:
            StoreError: A window is over, and its record cannot be written.
        """
        self.tell_if_over()
        with self._lock:
            self._seen[f"{event} {reason}"] += 1
            return self._seen[f"{event} {reason}"] > SAMPLED_WHOLE

    def tell_if_over(self) -> None:
        """Record what was counted, if the window is over; raises `StoreError`."""
        if self._clock.now() - self._began >= timedelta(seconds=SAMPLING_SECONDS):
            self.tell()

    def tell(self) -> None:
        """Record what was counted, and begin another window; raises `StoreError`, and then nothing is forgotten."""
        now = self._clock.now()
        with self._lock:
            began, seen = self._began, self._seen
            self._began, self._seen = now, Counter()
        counted = {kind: str(count - SAMPLED_WHOLE) for kind, count in seen.items() if count > SAMPLED_WHOLE}
        if not counted:
            return
        try:
            self._audit.commit([self._entry(began, now, counted)])
        except BaseException:
            with self._lock:
                self._began = began
                self._seen.update(seen)
            raise

    def _entry(self, began: datetime, now: datetime, counted: dict[str, str]) -> Entry:
        detail = {"since": utc_text(began), "until": utc_text(now), **counted}
        return Entry(event=EVENT, outcome="refused", actor="keyrung", detail=detail)
