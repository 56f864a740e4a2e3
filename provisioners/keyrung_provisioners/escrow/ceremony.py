"""The ceremonies: sealing a key into an envelope, and sharing it anew from opened shares."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, cast

from keyrung_provisioners.api import (
    Capability,
    Importing,
    KeyManager,
    Purpose,
    Wrapping,
)
from keyrung_provisioners.errors import InvalidSettingError, KeyAlteredError, KeyRefusedError
from keyrung_provisioners.escrow import proof, shamir
from keyrung_provisioners.escrow.envelope import (
    SET_ID_BYTES,
    Envelope,
    EscrowedKey,
    SealedShare,
    binding,
    share_digest,
)
from keyrung_provisioners.escrow.memory import erased_after
from keyrung_provisioners.escrow.quorum import wrapping_key
from keyrung_provisioners.escrow.recipients import Recipient
from keyrung_provisioners.escrow.share import OpenShare, context, encode
from keyrung_provisioners.uri import KeyUri, VaultUri


class TokenBytes(Protocol):
    """The system's secure random source, as a parameter."""

    def __call__(self, size_bytes: int, /) -> bytes:
        """Return that many random bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who holds shares, and how many of them must come together."""

    threshold: int
    recipients: tuple[Recipient, ...]

    def __post_init__(self) -> None:
        shamir.check_plan(self.threshold, len(self.recipients))
        texts = [str(recipient) for recipient in self.recipients]
        if len(set(texts)) != len(texts):
            raise InvalidSettingError("a custodian is named twice", fix="name each custodian once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The key that is sealed, as the inventory knows it."""

    uri: KeyUri
    generation: int
    purpose: Purpose
    fingerprint: str


def seal(target: Target, manager: KeyManager, plan: Plan, *, token_bytes: TokenBytes, now: datetime) -> Envelope:
    """Return the envelope of ``target``, after a test restore inside its store proved that it gives the key back.

    Raises:
        KeyRefusedError: If the store cannot wrap, or does not let this key out.
        KeyAlteredError: If what is restored is not the recorded key; nothing of the escrow is kept then.
    """
    require(manager, Capability.WRAPPING, Capability.IMPORTING)
    with erased_after(bytearray(token_bytes(shamir.SECRET_BYTES))) as secret:
        wrapped = cast(Wrapping, manager).wrap(target.uri, secret)
        if wrapped.fingerprint != target.fingerprint:
            raise KeyAlteredError(
                f"{target.uri} is recorded with fingerprint {target.fingerprint}, and the store holds another key",
                fix="find out who replaced it",
                uri=str(target.uri),
            )
        key = EscrowedKey(
            uri=target.uri,
            generation=target.generation,
            purpose=target.purpose,
            wrapped=wrapped,
        )
        return _shared(key, key.uri.vault_uri, manager, plan, secret, token_bytes=token_bytes, now=now)


def reshare(
    envelope: Envelope,
    shares: Sequence[OpenShare],
    manager: KeyManager,
    scratch: VaultUri,
    plan: Plan,
    *,
    token_bytes: TokenBytes,
    now: datetime,
) -> Envelope:
    """Return a new envelope of the same key for other custodians, under a new wrapping key and a new set.

    The key is in ``scratch`` for single calls only, where it is proven before and after. Whoever has a copy of the old
    envelope and a quorum of its shares can still open that.

    Raises:
        ShareRefusedError: If a share is wrong or too few are given.
        KeyAlteredError: If what the shares restore is not the recorded key.
    """
    require(manager, Capability.IMPORTING)
    importing, wrapped = cast(Importing, manager), envelope.key.wrapped
    with (
        erased_after(wrapping_key(envelope, shares)) as old,
        erased_after(bytearray(token_bytes(shamir.SECRET_BYTES))) as new,
    ):
        key = replace(envelope.key, wrapped=importing.rewrap(scratch, wrapped, old, new))
        return _shared(key, scratch, manager, plan, new, token_bytes=token_bytes, now=now)


def _shared(
    key: EscrowedKey,
    vault: VaultUri,
    manager: KeyManager,
    plan: Plan,
    secret: bytearray,
    *,
    token_bytes: TokenBytes,
    now: datetime,
) -> Envelope:
    """Split ``secret``, test-restore ``key`` from shares in ``vault``, and seal the shares."""
    words = shamir.split(secret, threshold=plan.threshold, count=len(plan.recipients))
    _test_restore(key, vault, manager, words, secret=secret, token_bytes=token_bytes)
    return _sealed(key, plan, words, set_id=token_bytes(SET_ID_BYTES).hex(), now=now)


def _test_restore(
    key: EscrowedKey,
    vault: VaultUri,
    manager: KeyManager,
    words: list[shamir.Words],
    *,
    secret: bytearray,
    token_bytes: TokenBytes,
) -> None:
    """Give the key back once, from shares: every share takes part in a quorum, and one quorum's key is proven."""
    threshold = words[0].threshold
    for first in range(len(words)):
        quorum = [words[(first + step) % len(words)] for step in range(threshold)]
        with erased_after(shamir.combine(quorum)) as combined:
            if not hmac.compare_digest(combined, secret):
                raise KeyAlteredError("shares made just now do not give the secret back", fix="run it again")
            if first == 0:
                challenge = token_bytes(proof.CHALLENGE_BYTES)
                proof.rehearse(key.wrapped, cast(Importing, manager), vault, combined, challenge=challenge)


def _sealed(key: EscrowedKey, plan: Plan, words: list[shamir.Words], *, set_id: str, now: datetime) -> Envelope:
    recipients = [str(recipient) for recipient in plan.recipients]
    created_at = now.replace(microsecond=0)
    bound = binding(set_id=set_id, created_at=created_at, key=key, threshold=plan.threshold, recipients=recipients)
    shares = []
    for recipient, part in zip(plan.recipients, words, strict=True):
        digest = share_digest(bound, part.index, part.text)
        opened = OpenShare(
            set_id=set_id,
            binding=bound,
            index=part.index,
            threshold=part.threshold,
            digest=digest,
            words=part.text,
        )
        sealed = recipient.seal(encode(opened), context=context(bound, part.index))
        shares.append(SealedShare(index=part.index, recipient=str(recipient), digest=digest, sealed=sealed))
    return Envelope(set_id=set_id, created_at=created_at, key=key, threshold=plan.threshold, shares=tuple(shares))


def require(manager: KeyManager, *capabilities: Capability) -> None:
    """Refuse a store that lacks one of the abilities."""
    lacking = [capability.value for capability in capabilities if capability not in manager.capabilities]
    if lacking:
        raise KeyRefusedError(
            f"{manager.scheme}: keys cannot be escrowed there, the back end lacks {', '.join(lacking)}",
            fix="keep the key in a PKCS#11 token",
            scheme=manager.scheme,
        )
