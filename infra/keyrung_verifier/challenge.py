"""A challenge: everything a step-up is bound to, under a random name, for a few minutes.

The store knows it by the hash of its id, so reading the store gives nobody the right to answer. A digest over all
bound values is kept beside them and compared before an answer counts.
"""

import hashlib
import hmac
from collections.abc import Set
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from keyrung_policies.canonical import canonical_record
from keyrung_policies.jws import encode_base64url
from keyrung_policies.model import Batch, Binding
from keyrung_verifier.strict import length_prefixed

BINDING_LABEL = "keyrung challenge v1"
NonEmpty = Annotated[str, Meta(min_length=1)]


class Alternative(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Factors that are good enough together, and the acr of the level that they reach."""

    acr: NonEmpty
    factors: Annotated[tuple[str, ...], Meta(min_length=1)]


class Challenge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer is bound to; times are Unix seconds.

    Attributes:
        challenge_hash: Hash of the id.
        dpop_jkt: Thumbprint of the session's key, where it has one.
        alternatives: What the subject can meet it with, lowest level first.
        credential_ids: What the subject held when it was made.
        single_use, batch, max_age_seconds: What limits the assertion, as the policy says.
    """

    challenge_hash: NonEmpty
    client_id: NonEmpty
    audience: NonEmpty
    subject_id: NonEmpty
    session_id: NonEmpty
    dpop_jkt: str | None
    action: NonEmpty
    request_digest: NonEmpty
    bind: tuple[Binding, ...]
    policy_digest: NonEmpty
    policy_version: int
    rule_ids: tuple[str, ...]
    display: str | None
    single_use: bool
    batch: Batch | None
    max_age_seconds: int
    alternatives: Annotated[tuple[Alternative, ...], Meta(min_length=1)]
    credential_ids: tuple[str, ...]
    created_at_seconds: int
    expires_at_seconds: int

    def expired(self, now: datetime) -> bool:
        """Return whether the time is over; the last second does not count."""
        return now.timestamp() >= self.expires_at_seconds

    def reached(self, proven: Set[str]) -> str | None:
        """Return the acr of the highest level that these factors reach, or None while they are not enough."""
        acrs = [each.acr for each in self.alternatives if proven >= set(each.factors)]
        return acrs[-1] if acrs else None

    def helps(self, factors: Set[str], proven: Set[str]) -> bool:
        """Return whether these factors would bring the subject nearer than what is proven."""
        return any(factors & (set(each.factors) - proven) for each in self.alternatives)

    def display_digest(self) -> str:
        """Return base64url of SHA-256 over what the subject is shown."""
        return encode_base64url(hashlib.sha256((self.display or "").encode("utf-8")).digest())


class _Bound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    binding: str
    challenge: Challenge


def binding_digest(challenge: Challenge) -> str:
    """Return the digest of all bound values."""
    values = canonical_record(challenge)
    return encode_base64url(hashlib.sha256(length_prefixed(BINDING_LABEL, values)).digest())


def to_stored(challenge: Challenge) -> bytes:
    """Return the challenge as the store keeps it."""
    bound = _Bound(binding=binding_digest(challenge), challenge=challenge)
    return canonical_record(bound)


def from_stored(content: bytes, *, challenge_hash: str) -> Challenge | None:
    """Return the challenge, or None when it is not the one that was put there under this name."""
    try:
        bound = msgspec.json.decode(content, type=_Bound)
    except msgspec.MsgspecError:
        return None
    whole = hmac.compare_digest(bound.binding, binding_digest(bound.challenge))
    return bound.challenge if whole and bound.challenge.challenge_hash == challenge_hash else None
