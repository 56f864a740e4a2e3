"""When the audit log's end is signed, and how long records may wait for it."""

import logging
import threading
from collections.abc import Callable, Mapping

from keyrung_verifier.audit_end import LogEnd
from keyrung_verifier.errors import SigningFailedError
from keyrung_verifier.limits import CHECKPOINT_RETRY_SECONDS, MAX_UNSIGNED_SECONDS
from keyrung_verifier.protocols import Clock

_LOG = logging.getLogger(__name__)


class CheckpointSchedule:
    """Signs the log's end after so many records or seconds; safe for several threads.

    Args:
        end: Signs.
        hand_over: Appends the record of a hand-over with this detail.
        clock: The time of each signature.
        records: After so many records, and
        seconds: after so much time, whichever comes first.
    """

    def __init__(
        self,
        end: LogEnd,
        *,
        hand_over: Callable[[Mapping[str, str]], None],
        clock: Clock,
        records: int,
        seconds: int,
    ) -> None:
        self._end = end
        self._hand_over = hand_over
        self._clock = clock
        self._records = records
        self._seconds = seconds
        self._lock = threading.Lock()
        self._head_seq = self._signed_seq = -1
        self._signed_at_seconds = clock.now().timestamp()
        self._retry_at_seconds = 0.0
        self._waiting_since_seconds: float | None = None

    def known_signed(self, seq: int) -> None:
        """Take the record up to which an earlier process signed the log."""
        self._signed_seq = seq

    def appended(self, seq: int) -> None:
        """Take the number of the newest record."""
        self._head_seq = seq
        if self._waiting_since_seconds is None:
            self._waiting_since_seconds = self._now_seconds()

    def waits_too_long(self) -> bool:
        """Return whether records have been waiting for a signature for longer than they may."""
        since_seconds = self._waiting_since_seconds
        return since_seconds is not None and self._now_seconds() - since_seconds > MAX_UNSIGNED_SECONDS

    def sign(self) -> None:
        """Sign now.

        Raises:
            SigningFailedError: The audit key gave no good signature.
            OSError: The second place cannot be written.
        """
        with self._lock:
            self._sign()

    def sign_if_due(self) -> None:
        """Sign when it is time; a failure is logged and tried again.

        The records are durable already, so an audit key out of reach does not stop the answers they belong to.
        """
        waiting, now_seconds = self._head_seq - self._signed_seq, self._now_seconds()
        by_time = waiting > 0 and now_seconds - self._signed_at_seconds >= self._seconds
        if not (waiting >= self._records or by_time) or now_seconds < self._retry_at_seconds:
            return
        if not self._lock.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._sign()
        except (SigningFailedError, OSError) as error:
            self._retry_at_seconds = now_seconds + CHECKPOINT_RETRY_SECONDS
            _LOG.warning("no audit checkpoint was written: %s", error)
        finally:
            self._lock.release()

    def _sign(self) -> None:
        signed_seq = self._end.sign(self._hand_over)
        self._waiting_since_seconds = None
        if signed_seq is not None:  # else another process signed it
            self._signed_seq, self._signed_at_seconds = signed_seq, self._now_seconds()

    def _now_seconds(self) -> float:
        return self._clock.now().timestamp()
