"""Pairs every use of a key with that key's life in the same log: who used what, and did it exist and work then."""

from __future__ import annotations

from dataclasses import dataclass

from keyrung_audit.record import GENESIS_EVENT, LIFECYCLE_EVENTS, KeyUse, Record
from keyrung_audit.report import Finding

# What a life event makes of a key (NIST SP 800-57 part 1, 7); a claim alone makes no key.
_STATE_AFTER = {
    "key.created": "pre-activation",
    "key.adopted": "pre-activation",
    "key.activated": "active",
    "key.suspended": "suspended",
    "key.resumed": "active",
    "key.deactivated": "deactivated",
    "key.compromised": "compromised",
    "key.destroyed": "destroyed",
    "key.released": "destroyed",
}
# Records that name a key without using it: what a refusal kept from happening, and whom a verifier serves with.
_REFUSED = "refused"
_NO_USE = frozenset({"verifier.started", "verifier.stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    state: str
    thumbprint: str | None


class KeyHistory:
    """The key generations that the log has told of so far."""

    def __init__(self) -> None:
        self._lives: dict[tuple[str, int], _Life] = {}

    def __len__(self) -> int:
        return len(self._lives)

    def observe(self, record: Record) -> tuple[str, str] | None:
        """Take in the next record; return (code, message) where it uses a key that the log doesn't bear out."""
        if record.key is None or record.event == GENESIS_EVENT:
            return None
        if record.event in LIFECYCLE_EVENTS:
            self._learn(record.event, record.key)
            return None
        used = record.outcome != _REFUSED and record.event not in _NO_USE
        return self._judge(record.key, used=used)

    def _learn(self, event: str, key: KeyUse) -> None:
        state = _STATE_AFTER.get(event)
        if state is not None:
            known = self._lives.get((key.uri, key.generation))
            thumbprint = key.thumbprint or (known.thumbprint if known is not None else None)
            self._lives[key.uri, key.generation] = _Life(state=state, thumbprint=thumbprint)

    def _judge(self, key: KeyUse, *, used: bool) -> tuple[str, str] | None:
        life = self._lives.get((key.uri, key.generation))
        name = f"{key.uri} generation {key.generation}"
        if life is None:
            return "key-never-seen", f"it names {name}, but no record before it says that this key was made"
        if life.thumbprint != key.thumbprint:
            return "key-differs", f"it names {name} with another thumbprint than the key was made with"
        if used and (life.state != "active" or key.state != "active"):
            state = life.state if life.state != "active" else key.state
            return "key-not-active", f"it uses {name}, which was {state} then"
        return None


def pair_finding(history: KeyHistory, record: Record, line: int) -> Finding | None:
    """Return the finding for a record that uses a key which the log doesn't bear out."""
    judged = history.observe(record)
    if judged is None:
        return None
    code, message = judged
    return Finding(code=code, message=message, seq=record.seq, line=line)
