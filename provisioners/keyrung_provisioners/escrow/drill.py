"""The drill: every quorum of the shares at hand restores the key in a scratch vault, every set one short is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.errors import KeyAlteredError, ShareRefusedError
from keyrung_provisioners.escrow.ceremony import TokenBytes
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.memory import erased_after
from keyrung_provisioners.escrow.quorum import wrapping_key
from keyrung_provisioners.escrow.restoring import restore
from keyrung_provisioners.escrow.share import OpenShare
from keyrung_provisioners.uri import VaultUri

_KEY_NAME = "drill"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """What a drill has shown.

    Attributes:
        quorums: How many quorums restored the key and proved it.
        refused: How many sets one short were refused.
        complete: Whether every share of the set took part; else quorums with the others were not tried.
    """

    quorums: int
    refused: int
    complete: bool


def tries(envelope: Envelope, shares: Sequence[OpenShare]) -> int:
    """Return how many quorums and sets one short a drill with ``shares`` goes through."""
    return comb(len(shares), envelope.threshold) + comb(len(shares), envelope.threshold - 1)


def drill(
    envelope: Envelope,
    shares: Sequence[OpenShare],
    manager: KeyManager,
    scratch: VaultUri,
    *,
    token_bytes: TokenBytes,
    advanced: Callable[[], None] = lambda: None,
) -> DrillReport:
    """Restore in ``scratch`` by every quorum, prove and destroy the key each time; refuse every set one short.

    Raises:
        ShareRefusedError: If a share is wrong, or there are too few for a single quorum.
        KeyAlteredError: If a quorum restores another key, or a set one short is not refused.
    """
    with erased_after(wrapping_key(envelope, shares)):  # names a wrong share before any try
        pass
    uri = scratch.key(_KEY_NAME)
    quorums = refused = 0
    for quorum in combinations(shares, envelope.threshold):
        found = restore(envelope, quorum, manager, uri, token_bytes=token_bytes)
        manager.destroy(uri)
        if found.fingerprint != envelope.key.fingerprint:
            raise KeyAlteredError(f"the shares {_names(quorum)} restore another key", fix="escrow the key anew")
        quorums += 1
        advanced()
    for short in combinations(shares, envelope.threshold - 1):
        _refuse(envelope, short)
        refused += 1
        advanced()
    return DrillReport(quorums=quorums, refused=refused, complete=len(shares) == len(envelope.shares))


def _refuse(envelope: Envelope, short: Sequence[OpenShare]) -> None:
    try:
        secret = wrapping_key(envelope, short)
    except ShareRefusedError:
        return
    with erased_after(secret):
        raise KeyAlteredError(f"the shares {_names(short)}, one short, were not refused", fix="escrow the key anew")


def _names(shares: Sequence[OpenShare]) -> str:
    return ", ".join(str(share.index) for share in shares)
