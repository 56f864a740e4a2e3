"""From the given audit keys to those that vouch for each other: the hand-overs from one generation to the next.

A hand-over is a record that names two public keys. A good checkpoint covers every record up to its own, so whoever
trusts its signer takes a hand-over below it for true and comes to trust both keys: an old key leads to the new ones,
and a new one to the old ones. Without a trusted checkpoint over it, a hand-over counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keyrung_audit.checkpoints import open_checkpoint
from keyrung_audit.errors import CheckpointError, PublicKeyError
from keyrung_audit.keys import PublicKey, public_key_from_jwk
from keyrung_audit.record import HAND_OVER_EVENT, Record

_MEMBERS = ("from", "to")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """The record `seq` of `shard` says that these keys are generations of one audit key."""

    shard: str
    seq: int
    keys: tuple[PublicKey, ...]


def hand_over(record: Record) -> HandOver | None:
    """Return what the record hands over; None for a record of another kind.

    Raises:
        PublicKeyError: Its detail is not one or two public keys.
    """
    if record.event != HAND_OVER_EVENT:
        return None
    if not {"to"} <= record.detail.keys() <= set(_MEMBERS):
        raise PublicKeyError("The detail must be the public keys `from` and `to`.")
    keys = tuple(_key(record.detail[name]) for name in _MEMBERS if name in record.detail)
    return HandOver(shard=record.shard, seq=record.seq, keys=keys)


def trusted_keys(
    given: Sequence[PublicKey],
    hand_overs: Sequence[HandOver],
    checkpoints: Sequence[bytes],
    digests: Mapping[tuple[str | None, int], str],
) -> dict[str, PublicKey]:
    """Return the keys that count, by thumbprint: the given ones, and those that they lead to.

    Args:
        given: What the reader trusts from elsewhere.
        hand_overs: What the log's records say.
        checkpoints: The lines of the checkpoint file.
        digests: The hash of each record of the log, by shard and number.
    """
    trusted = {key.key_id: key for key in given}
    while True:
        covered = _covered(checkpoints, trusted, digests)
        found = {
            key.key_id: key
            for each in hand_overs
            if each.seq <= covered.get(each.shard, -1) and len(each.keys) > 1
            for key in each.keys
        }
        if found.keys() <= trusted.keys():
            return trusted
        trusted = {**found, **trusted}


def _covered(
    checkpoints: Sequence[bytes], trusted: Mapping[str, PublicKey], digests: Mapping[tuple[str | None, int], str]
) -> dict[str, int]:
    """Return the newest record of each chain that a trusted checkpoint covers as it stands in the log."""
    covered: dict[str, int] = {}
    for number, line in enumerate(checkpoints, start=1):
        try:
            found = open_checkpoint(line, line=number, keys=trusted)
        except CheckpointError:
            continue
        if digests.get((found.shard, found.seq)) == found.head:
            covered[found.shard] = max(covered.get(found.shard, -1), found.seq)
    return covered


def _key(value: object) -> PublicKey:
    try:
        return public_key_from_jwk(json.loads(value) if isinstance(value, str) else None)
    except ValueError as error:
        raise PublicKeyError("The detail must be the public keys `from` and `to`.") from error
