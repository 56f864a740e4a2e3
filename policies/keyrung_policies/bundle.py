"""The signed envelope in which a policy travels to the verifier.

A flattened JWS (RFC 7515 section 7.2.2) over canonical JSON with version and life. Opening one is the only
way a policy enters the verifier, and every way of failing is a type of its own; all of them deny.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from keyrung_policies.bundle_keys import SIGNATURE_BYTES, key_algorithm, signature_fits
from keyrung_policies.canonical import canonical_bytes, canonical_record
from keyrung_policies.errors import (
    BundleCorruptError,
    BundleExpiredError,
    BundleNotYetValidError,
    BundleRollbackError,
    BundleSigningError,
    BundleUnknownSignerError,
    BundleUnsignedError,
    CanonicalError,
    PolicyModelError,
)
from keyrung_policies.jws import (
    FlattenedJws,
    MalformedError,
    decode_base64url,
    encode_base64url,
    parse_flattened,
    parse_object,
    serialise_flattened,
)
from keyrung_policies.model import MAX_INTEGER, Document, Record
from keyrung_policies.policy_set import PolicySet, policy_set

BUNDLE_TYPE = "policy-bundle+jws"
# A thousand rules make about half a mebibyte; this leaves room and bounds the work on hostile input.
MAX_BUNDLE_BYTES = 4 * 1024 * 1024


class Payload(Record, frozen=True, kw_only=True):
    """What is signed; times are Unix seconds."""

    format: Literal["policy-bundle/v1"]
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
    not_before: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
    expires_at: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
    policy: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A policy whose signature, version and life were found good."""

    policy: PolicySet
    digest: str
    version: int
    not_before: datetime
    expires_at: datetime
    key_id: str


def policy_digest(policy: PolicySet) -> str:
    """Return the digest of a policy's document."""
    return document_digest(policy.document)


def build_payload(policy: PolicySet, *, version: int, not_before: datetime, expires_at: datetime) -> bytes:
    """Return the canonical bytes to sign; fractions of a second are dropped.

    Raises:
        BundleSigningError: The version or the life makes no sense.
    """
    if type(version) is not int or not 1 <= version <= MAX_INTEGER:
        raise BundleSigningError(f"the bundle version is not an integer from 1 to {MAX_INTEGER}; count from 1.")
    if not_before.tzinfo is None or expires_at.tzinfo is None:
        raise BundleSigningError("a time of the bundle has no time zone; pass aware datetimes.")
    starts, ends = int(not_before.timestamp()), int(expires_at.timestamp())
    if not 0 <= starts < ends:
        raise BundleSigningError("the bundle would expire before it begins; choose expires_at after not_before.")
    payload = Payload(
        format="policy-bundle/v1", version=version, not_before=starts, expires_at=ends, policy=policy.document
    )
    return canonical_record(payload)


def sign_bundle(payload: bytes, *, key_id: str, algorithm: str, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the bundle as flattened JWS JSON.

    Args:
        payload: What `build_payload` returned.
        key_id: The signer's RFC 7638 thumbprint.
        algorithm: `ES256`, `Ed25519`, `ES384` or `PS256`.
        sign: Signs the given bytes in JOSE form; for ES256 and ES384 it returns r and s side by side.

    Raises:
        BundleSigningError: The algorithm is not one of ours, or the signature has another form.
    """
    if algorithm not in SIGNATURE_BYTES:
        raise BundleSigningError(f"bundles are not signed with {algorithm!r}; use one of {', '.join(SIGNATURE_BYTES)}.")
    if not key_id:
        raise BundleSigningError("the signer has no key id; pass its RFC 7638 thumbprint.")
    header = canonical_bytes({"alg": algorithm, "kid": key_id, "typ": BUNDLE_TYPE})
    unsigned = FlattenedJws(payload=encode_base64url(payload), protected=encode_base64url(header), signature="")
    signature = sign(unsigned.signing_input())
    size_bytes = SIGNATURE_BYTES[algorithm]
    if len(signature) != size_bytes:
        raise BundleSigningError(
            f"the signer returned {len(signature)} bytes; return the {size_bytes}-byte JOSE form, not DER."
        )
    signed = serialise_flattened(
        FlattenedJws(payload=unsigned.payload, protected=unsigned.protected, signature=encode_base64url(signature))
    )
    if len(signed) > MAX_BUNDLE_BYTES:
        raise BundleSigningError(f"the bundle exceeds {MAX_BUNDLE_BYTES} bytes; split the policy.")
    return signed


def open_bundle(
    data: bytes,
    *,
    trusted_keys: Mapping[str, Mapping[str, str]],
    now: datetime,
    minimum_version: int = 0,
) -> Bundle:
    """Return the policy of a bundle after every check.

    Args:
        data: The bytes of the bundle.
        trusted_keys: Key id to public JWK; nothing in the bundle can add to it.
        now: The present moment, with a time zone.
        minimum_version: The highest version accepted before; an equal one passes, an older one does not.

    Raises:
        BundleRefusedError: One of its children, by what was wrong.
    """
    if now.tzinfo is None:
        raise BundleCorruptError("the time given to open_bundle has no time zone; pass an aware datetime.")
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleCorruptError(f"the bundle exceeds {MAX_BUNDLE_BYTES} bytes; deploy a bundle made by this tool.")
    try:
        jws = parse_flattened(data)
        key_id = _verified_signer(jws, trusted_keys)
        payload = _parse_payload(decode_base64url(jws.payload))
        policy = policy_set(payload.policy)
    except MalformedError as error:
        raise BundleCorruptError(f"the bundle is damaged: {error}; deploy it again.") from error
    except PolicyModelError as error:
        raise BundleCorruptError(
            f"the bundle's policy contradicts itself ({error.where}); compile it again."
        ) from error
    _check_life(payload, now=now, minimum_version=minimum_version)
    return Bundle(
        policy=policy,
        digest=document_digest(payload.policy),
        version=payload.version,
        not_before=datetime.fromtimestamp(payload.not_before, UTC),
        expires_at=datetime.fromtimestamp(payload.expires_at, UTC),
        key_id=key_id,
    )


def read_unverified(data: bytes) -> tuple[str, Payload]:
    """Return the key id a bundle names and what it carries, with nothing checked but its form: to look at, not to obey.

    Raises:
        BundleCorruptError: The bytes are not a bundle.
    """
    try:
        if len(data) > MAX_BUNDLE_BYTES:
            raise MalformedError(f"it exceeds {MAX_BUNDLE_BYTES} bytes")
        jws = parse_flattened(data)
        key_id = parse_object(decode_base64url(jws.protected)).get("kid")
        return str(key_id or ""), _parse_payload(decode_base64url(jws.payload))
    except MalformedError as error:
        raise BundleCorruptError(f"the bundle is damaged: {error}; deploy it again.") from error


def document_digest(document: Document) -> str:
    """Return the digest that names a policy wherever it is mentioned: `sha-256:` and base64url."""
    return f"sha-256:{encode_base64url(hashlib.sha256(canonical_record(document)).digest())}"


def _verified_signer(jws: FlattenedJws, trusted_keys: Mapping[str, Mapping[str, str]]) -> str:
    header = parse_object(decode_base64url(jws.protected))
    if jws.signature == "" or header.get("alg") == "none":
        raise BundleUnsignedError("the bundle is not signed; sign it with the policy key.")
    # Exactly these members: `crit`, `jku`, `jwk`, `x5u` and `x5c` have no place here (RFC 8725 section 3.10).
    if header.keys() != {"alg", "kid", "typ"} or not all(isinstance(value, str) for value in header.values()):
        raise MalformedError("the header is not exactly alg, kid and typ as texts")
    # Section 3.11 of RFC 8725: a token of another kind, signed by the same key, is no bundle.
    if header["typ"] != BUNDLE_TYPE:
        raise MalformedError("the header's typ is another one")
    key_id = str(header["kid"])
    jwk = trusted_keys.get(key_id)
    if jwk is None:
        raise BundleUnknownSignerError("the bundle's signer is not trusted; deploy the public key of the policy key.")
    # Sections 3.1 and 3.2 of RFC 8725: the algorithm is the key's, the header only repeats it.
    if header["alg"] != key_algorithm(jwk):
        raise BundleUnknownSignerError("the bundle's algorithm is not its key's; sign it with the key's own algorithm.")
    if not signature_fits(jwk, signing_input=jws.signing_input(), signature=decode_base64url(jws.signature)):
        raise BundleCorruptError("the bundle's signature does not fit its content; deploy it again.")
    return key_id


def _parse_payload(data: bytes) -> Payload:
    try:
        payload = msgspec.json.decode(data, type=Payload)
        # One policy, one byte form: this refuses repeated members and anything else a reader may skip.
        if canonical_record(payload) != data:
            raise MalformedError("the payload is not in canonical form")
    except (msgspec.DecodeError, CanonicalError, RecursionError) as error:
        raise MalformedError("the payload is not a policy of this version") from error
    return payload


def _check_life(payload: Payload, *, now: datetime, minimum_version: int) -> None:
    if payload.version < minimum_version:
        raise BundleRollbackError(
            f"the bundle has version {payload.version}, but {minimum_version} was accepted before; deploy a newer one."
        )
    seconds = now.timestamp()
    if seconds < payload.not_before:
        raise BundleNotYetValidError("the bundle is not valid yet; check the clock or deploy one that is.")
    # The moment of expiry is already too late (RFC 7519 section 4.1.4).
    if seconds >= payload.expires_at:
        raise BundleExpiredError("the bundle has expired; sign and deploy the policy again.")
