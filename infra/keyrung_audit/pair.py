"""Pairs every use of a key with that key's life in the same log: who used what, and did it exist and work then.

In a log of one chain the order of the records decides. Records of different chains are ordered by their times only, and
those come from several clocks: there a use is judged by what the key was at any moment within the tolerance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keyrung_audit.record import GENESIS_EVENT, LIFECYCLE_EVENTS, KeyUse, Record, parse_time
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
}
# Records that name a key without using it: what a refusal kept from happening, and whom a verifier serves with.
_REFUSED = "refused"
_NO_USE = frozenset({"verifier.started", "verifier.stopped"})
# How far the clocks of two writers may differ, as the verifier takes it (RFC 7519 4.1.4).
TOLERANCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What a key became with a record; `moment` is the record's place in its chain, or a time in seconds."""

    moment: float
    state: str
    thumbprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Naming:
    """A record that names a key, whether or not it used it."""

    moment: float
    key: KeyUse
    used: bool
    shard: str | None
    seq: int
    line: int


class KeyHistory:
    """The key generations that the log tells of, and the records that name them."""

    def __init__(self) -> None:
        self._records: list[tuple[Record, int]] = []

    def observe(self, record: Record, line: int) -> None:
        """Take in the next record."""
        if record.key is not None and record.event != GENESIS_EVENT:
            self._records.append((record, line))

    def judge(self, *, one_chain: bool) -> tuple[list[Finding], int]:
        """Return a finding for every use of a key that the log does not bear out, and how many keys it tells of."""
        lives: defaultdict[tuple[str, int], list[_Step]] = defaultdict(list)
        namings: list[_Naming] = []
        for record, line in self._records:
            moment = float(line) if one_chain else _seconds(record)
            key = record.key
            if key is None:
                continue
            if record.event not in LIFECYCLE_EVENTS:
                used = record.outcome != _REFUSED and record.event not in _NO_USE
                shard = None if one_chain else record.shard
                namings.append(_Naming(moment=moment, key=key, used=used, shard=shard, seq=record.seq, line=line))
            elif record.event in _STATE_AFTER:
                step = _Step(moment=moment, state=_STATE_AFTER[record.event], thumbprint=key.thumbprint)
                lives[key.uri, key.generation].append(step)
        whole = {name: _in_order(steps) for name, steps in lives.items()}
        tolerance = 0.0 if one_chain else TOLERANCE_SECONDS
        judged = [
            _judge(naming, whole.get((naming.key.uri, naming.key.generation), ()), tolerance) for naming in namings
        ]
        return [finding for finding in judged if finding is not None], len(whole)


def _seconds(record: Record) -> float:
    """Return when a step of a key's life happened, which its record says apart, or when anything else was recorded."""
    stated = record.detail.get("at") if record.event in LIFECYCLE_EVENTS else None
    moment = parse_time(stated if isinstance(stated, str) else record.time) or parse_time(record.time)
    return 0.0 if moment is None else moment.timestamp()


def _in_order(steps: Sequence[_Step]) -> Sequence[_Step]:
    """Return the steps by their moments, each with the thumbprint that was known by then."""
    known, ordered = None, []
    for step in sorted(steps, key=lambda step: step.moment):
        known = step.thumbprint or known
        ordered.append(replace(step, thumbprint=known))
    return ordered


def _judge(naming: _Naming, life: Sequence[_Step], tolerance: float) -> Finding | None:
    key = naming.key
    name = f"{key.uri} generation {key.generation}"
    earlier = [step for step in life if step.moment < naming.moment - tolerance]
    around = [step for step in life if abs(step.moment - naming.moment) <= tolerance]
    then = [*earlier[-1:], *around]
    if not then:
        return _finding(
            "key-never-seen", f"it names {name}, but no record before it says that this key was made", naming
        )
    if key.thumbprint not in {step.thumbprint for step in then}:
        return _finding("key-differs", f"it names {name} with another thumbprint than the key was made with", naming)
    states = [step.state for step in then]
    if naming.used and ("active" not in states or key.state != "active"):
        state = states[-1] if "active" not in states else key.state
        return _finding("key-not-active", f"it uses {name}, which was {state} then", naming)
    return None


def _finding(code: str, message: str, naming: _Naming) -> Finding:
    return Finding(code=code, message=message, seq=naming.seq, line=naming.line, shard=naming.shard)
