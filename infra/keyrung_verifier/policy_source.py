"""Where the policy in force comes from: a signed bundle, watched, never older than one seen before.

A bundle that is refused changes nothing: the last good one stays in force within its own life, and after that there
is no policy and every request is refused. So it is from the moment on when its signer turns out to be compromised.
"""

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeAlias

from keyrung_policies.bundle import MAX_BUNDLE_BYTES, Bundle, open_bundle
from keyrung_policies.errors import BundleNotYetValidError, BundleRefusedError
from keyrung_verifier.audit_writer import AuditWriter, Entry
from keyrung_verifier.errors import UnavailableError
from keyrung_verifier.protocols import Clock
from keyrung_verifier.store.protocol import AcceptPolicy, ConditionFailedError, Store

# A bundle that could not be read, or whose life has not begun, is looked at again after this time.
RETRY_SECONDS = 5


class PolicySource(Protocol):
    """Gives the policy in force."""

    def current(self) -> Bundle:
        """Return the policy in force.

        Raises:
            UnavailableError: There is none.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    reason: str
    try_again: bool = False


# What tells one state of a place from another; None where nothing is there.
Stamp: TypeAlias = Hashable | None


class BundlePlace(Protocol):
    """Where a bundle lies."""

    def stamp(self) -> Stamp:
        """Return what differs after each change; asked before each use of the policy, so it must cost next to nothing.

        None says that nothing is there, or that it cannot be read.
        """
        ...

    def read(self) -> bytes:
        """Return the bundle, at most one byte longer than a bundle may be; raises `OSError`."""
        ...


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A bundle in a file."""

    path: Path

    def stamp(self) -> Stamp:
        """Return time, size and number of the file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def read(self) -> bytes:
        """Return what is in the file."""
        with self.path.open("rb") as file:
            return file.read(MAX_BUNDLE_BYTES + 1)


class WatchedPolicySource:
    """The policy in the bundle at `place`, taken only with a signature of one of `trusted_keys`."""

    def __init__(
        self,
        place: BundlePlace,
        *,
        trusted_keys: Mapping[str, Mapping[str, str]],
        counts: Callable[[str], bool],
        store: Store,
        audit: AuditWriter,
        clock: Clock,
    ) -> None:
        """Watch the bundle at ``place``.

        ``counts`` says whether what the key of that id signed counts now; it is asked before each use of the policy.
        """
        self._place = place
        self._trusted_keys = trusted_keys
        self._counts = counts
        self._store = store
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._bundle: Bundle | None = None
        self._seen: Stamp = None
        self._looked = False
        self._retry_at: datetime | None = None
        self._reported: tuple[Stamp, str] | None = None

    def trust(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        """Take bundles with a signature of one of these keys from now on; what is in force stays so."""
        if keys != self._trusted_keys:
            self._trusted_keys, self._looked = keys, False

    def current(self) -> Bundle:
        """Return the policy in force, after reading the bundle anew if it has changed."""
        now = self._clock.now()
        if self._bundle is not None and not self._signer_counts(self._bundle.key_id):
            self._bundle, self._looked = None, False
        stamp = self._place.stamp()
        if self._must_look(stamp, now):
            with self._lock:
                if self._must_look(stamp, now):
                    self._look(stamp, now)
        bundle = self._bundle
        if bundle is None:
            raise UnavailableError("policy_missing")
        if now >= bundle.expires_at:
            raise UnavailableError("policy_expired")
        return bundle

    def _must_look(self, stamp: Stamp, now: datetime) -> bool:
        return not self._looked or stamp != self._seen or (self._retry_at is not None and now >= self._retry_at)

    def _look(self, stamp: Stamp, now: datetime) -> None:
        found = self._load(now)
        if isinstance(found, _Refusal):
            # Told once for each state of the bundle, not once for each request.
            if self._reported != (stamp, found.reason):
                self._audit.commit([self._entry("policy.refused", outcome="refused", reason=found.reason)])
                self._reported = (stamp, found.reason)
            self._retry_at = now + timedelta(seconds=RETRY_SECONDS) if found.try_again else None
        else:
            self._bundle, self._retry_at, self._reported = found, None, None
        self._seen, self._looked = stamp, True

    def _load(self, now: datetime) -> Bundle | _Refusal:
        try:
            data = self._place.read()
        except OSError:
            return _Refusal(reason="unreadable", try_again=True)
        try:
            bundle = open_bundle(
                data,
                trusted_keys=self._trusted_keys,
                now=now,
                minimum_version=self._store.accepted_policy_version(),
            )
        except BundleRefusedError as error:
            return _Refusal(reason=error.reason, try_again=isinstance(error, BundleNotYetValidError))
        if not self._signer_counts(bundle.key_id):
            return _Refusal(reason="signer-disowned", try_again=True)
        loaded = self._entry("policy.loaded", outcome="success", bundle=bundle)
        try:
            self._audit.commit([loaded], [AcceptPolicy(version=bundle.version, digest=bundle.digest)])
        except ConditionFailedError:
            # Another process accepted a newer one meanwhile, or this version was accepted with another content.
            return _Refusal(reason="rollback")
        return bundle

    def _signer_counts(self, key_id: str) -> bool:
        try:
            return self._counts(key_id)
        except Exception as error:  # whatever an inventory raises, no key counts
            raise UnavailableError("key_state") from error

    def _entry(self, event: str, *, outcome: str, reason: str | None = None, bundle: Bundle | None = None) -> Entry:
        return Entry(
            event=event,
            outcome=outcome,
            reason=reason,
            actor="keyrung",
            policy_digest=bundle.digest if bundle else None,
            policy_version=bundle.version if bundle else None,
        )
