"""The guard's copy of the verifier's public keys, which are needed where an assertion is checked without asking."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from keyrung_verifier.guard.calls import VerifierCalls
from keyrung_verifier.guard.messages import Steps
from keyrung_verifier.guard.model import Refusal, unavailable

JWKS_REFRESH_SECONDS = 60.0  # a retired key is gone from here after this
JWKS_EXPIRY_SECONDS = 300.0  # a set that can't be renewed is used no longer: the longest life of an assertion
JWKS_PAUSE_SECONDS = 5.0  # between two fetches, whatever key ids clients make up

_LOG = logging.getLogger(__name__)


class KeyCache:
    """The keys: renewed now and then, and once for an unknown key id; never used when too old.

    While one request renews the set, others go on with the one there is; only where none can be used does each fetch.
    """

    def __init__(self, verifier: VerifierCalls, now: Callable[[], datetime]) -> None:
        self._verifier, self._now = verifier, now
        self._keys: Mapping[str, Mapping[str, str]] = {}
        self._fetched_at_seconds = self._tried_at_seconds = float("-inf")

    def current(self, *, renew: bool = False) -> Steps[Mapping[str, Mapping[str, str]]]:
        """Return the keys; `renew` asks for newer ones, unless that was tried just now."""
        now_seconds = self._now().timestamp()
        stale = renew or _far(now_seconds, self._fetched_at_seconds, JWKS_REFRESH_SECONDS)
        expired = _far(now_seconds, self._fetched_at_seconds, JWKS_EXPIRY_SECONDS)
        if expired or (stale and _far(now_seconds, self._tried_at_seconds, JWKS_PAUSE_SECONDS)):
            self._tried_at_seconds = now_seconds
            try:
                self._keys = yield from self._verifier.keys()
                self._fetched_at_seconds = now_seconds
            except Refusal as refusal:
                _LOG.warning("the key set was not renewed: %s", refusal.reason)
        if _far(now_seconds, self._fetched_at_seconds, JWKS_EXPIRY_SECONDS):
            unavailable("no key set that is fresh enough")
        return self._keys


def _far(one_seconds: float, other_seconds: float, limit_seconds: float) -> bool:
    return abs(one_seconds - other_seconds) >= limit_seconds  # so a clock that is set back expires a set too
