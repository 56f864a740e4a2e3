"""What the audit log ends in, signed: checkpoints, and the hand-over from one generation of the audit key to the next.

Before the first signature of another generation a record names both public keys. The old generation signs the log's end
with that record in it, if it still may, and the new one signs the same end: so who trusts either key comes to trust the
other, and nobody has to be given an old key by hand.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from keyrung_policies.canonical import canonical_bytes
from keyrung_verifier.checkpoints import CheckpointFile
from keyrung_verifier.errors import AuditTailError
from keyrung_verifier.generations import SigningLine
from keyrung_verifier.protocols import Clock, Signer
from keyrung_verifier.store.protocol import Store


def utc_text(moment: datetime) -> str:
    """Return the format's one spelling of a time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def genesis_detail(store: Store, shard: str) -> dict[str, str]:
    """Return what a chain's first record says: salt (hex), first audit key (thumbprint), names of all chains.

    Raises:
        AuditTailError: The chain has no first record, or it is damaged.
    """
    first = store.audit_line(shard, 0)
    if first is None:
        raise AuditTailError("the audit log has no first record; run `keyrung audit verify`")
    try:
        detail = json.loads(first)["detail"]
        bytes.fromhex(detail["salt"])
        return {name: str(detail[name]) for name in ("salt", "audit_key")} | {"shards": detail.get("shards", shard)}
    except (ValueError, KeyError, TypeError) as error:
        raise AuditTailError("the first record of the audit log is damaged; run `keyrung audit verify`") from error


class LogEnd:
    """Signs the log's end with the generation of the audit key that is in use; for a log of one chain."""

    def __init__(self, *, store: Store, signers: SigningLine, checkpoints: CheckpointFile, clock: Clock) -> None:
        (self._shard,) = store.audit_shards
        self._store = store
        self._signers = signers
        self._checkpoints = checkpoints
        self._clock = clock

    def sign(self, commit: Callable[[Mapping[str, str]], None]) -> int | None:
        """Write a checkpoint for the newest record; return its number, or None when it is signed already.

        Args:
            commit: Appends the record of a hand-over with this detail.

        Raises:
            SigningFailedError: The audit key gave no good signature.
            OSError: The second place cannot be written.
        """
        with self._checkpoints.locked():
            # Read under the lock, so that a later checkpoint never speaks of an earlier record, and compared with the
            # line itself before it is signed.
            tail = self._store.audit_tail(self._shard)
            if tail.seq < 0:
                return None
            last, signer = self._checkpoints.last(), self._signers.current()
            before = genesis_detail(self._store, self._shard)["audit_key"] if last is None else last.key_id
            if before != signer.key_id:
                commit(self._hand_over(before, signer))
                old = self._signers.active(before)
                if old is not None:
                    self._append(old)
            elif last is not None and tail.seq <= last.seq:
                return None
            return self._append(signer)

    def _hand_over(self, before: str, signer: Signer) -> dict[str, str]:
        keys = {"from": self._signers.public_jwk(before), "to": signer.public_jwk}
        return {name: canonical_bytes(dict(jwk)).decode() for name, jwk in keys.items() if jwk is not None}

    def _append(self, signer: Signer) -> int:
        tail = self._store.audit_tail(self._shard)
        if tail.seq < 0:
            raise AuditTailError("the audit log was removed; restore it")
        self._checkpoints.append(signer, tail, time=utc_text(self._clock.now()))
        return tail.seq
