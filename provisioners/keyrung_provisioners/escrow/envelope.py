"""The escrow envelope: what is kept of an escrow, as a file that may be copied anywhere.

It holds no secret but sealed ones: the wrapped key opens with the wrapping key only, a share with its custodian's key
only. Format: "Escrow envelope" in provisioners/README.md.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import Purpose, WrappedKey
from keyrung_provisioners.errors import EnvelopeRefusedError, ProvisionerError
from keyrung_provisioners.escrow import shamir, strict_json
from keyrung_provisioners.escrow.recipients import parse_recipient
from keyrung_provisioners.escrow.strict_json import StrictFormError, unbase64url
from keyrung_provisioners.uri import KeyUri

FORMAT = "escrow-envelope/v1"
SET_ID_BYTES = 16
_BINDING_LABEL = b"keyrung escrow binding v1\x00"
_DIGEST_LABEL = b"keyrung escrow share v1\x00"
_KWP_BLOCK_BYTES = 8  # RFC 5649: a wrapped text is whole blocks, at least two
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedShare:
    """One share as the envelope keeps it.

    Attributes:
        index: Its number in the set, from 1.
        recipient: To whom it is sealed.
        digest: Hex SHA-256 over a label, the binding, the index and the words (see `share_digest`).
        sealed: The opened share's document, sealed.
    """

    index: int
    recipient: str
    digest: str
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowedKey:
    """The key an envelope is for, as it was recorded when it was escrowed."""

    uri: KeyUri
    generation: int
    purpose: Purpose
    wrapped: WrappedKey

    @property
    def fingerprint(self) -> str:
        """Its fingerprint, by which a restored key is known."""
        return self.wrapped.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One escrow of one key."""

    set_id: str
    created_at: datetime
    key: EscrowedKey
    threshold: int
    shares: tuple[SealedShare, ...]

    @property
    def binding(self) -> bytes:
        """Digest of all that the shares rely on; each share carries it, so the envelope can't be changed under them."""
        recipients = [share.recipient for share in self.shares]
        return binding(
            set_id=self.set_id,
            created_at=self.created_at,
            key=self.key,
            threshold=self.threshold,
            recipients=recipients,
        )


def binding(*, set_id: str, created_at: datetime, key: EscrowedKey, threshold: int, recipients: list[str]) -> bytes:
    """Return the digest that ties shares to their envelope."""
    header = {**_header(set_id, created_at, key, threshold), "recipients": recipients}
    return hashlib.sha256(_BINDING_LABEL + strict_json.canonical(header)).digest()


def share_digest(bound: bytes, index: int, words: str) -> str:
    """Return the digest by which a share is recognised; its words hold 256 random bits, so it gives nothing away."""
    return hashlib.sha256(_DIGEST_LABEL + bound + bytes([index]) + words.encode("ascii", errors="replace")).hexdigest()


def encode(envelope: Envelope) -> bytes:
    """Return the envelope as a file."""
    shares = [
        {
            "index": share.index,
            "recipient": share.recipient,
            "digest": share.digest,
            "sealed": encoding.base64url(share.sealed),
        }
        for share in envelope.shares
    ]
    header = _header(envelope.set_id, envelope.created_at, envelope.key, envelope.threshold)
    return strict_json.write({**header, "shares": shares})


def decode(data: bytes) -> Envelope:
    """Return the envelope of a file.

    Raises:
        EnvelopeRefusedError: If it has another form, or does not fit together.
    """
    try:
        file = strict_json.read(data, _File)
        envelope = _from_file(file)
        _check_whole(envelope, file)
    except (StrictFormError, ProvisionerError, ValueError) as error:
        reason = error.message if isinstance(error, ProvisionerError) else str(error)
        raise EnvelopeRefusedError(
            f"the escrow envelope is not well-formed, {reason}", fix="take an unchanged copy"
        ) from error
    return envelope


_Text = Annotated[str, Meta(min_length=1, max_length=4096)]
_Hex16 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Hex32 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _Share(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    index: int
    recipient: _Text
    digest: _Hex32
    sealed: _Text


class _Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    uri: _Text
    generation: Annotated[int, Meta(ge=1)]
    algorithm: _Text
    purpose: Purpose
    fingerprint: _Text
    public_key_pem: _Text | UnsetType = UNSET  # a symmetric key has none
    claim_id: _Hex16


class _Wrapped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: Literal["AES-256-KWP"]
    ciphertext: _Text


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyrung: Literal["escrow-envelope/v1"]
    set: _Hex16
    created_at: Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
    key: _Key
    wrapped: _Wrapped
    threshold: int
    shares: Annotated[tuple[_Share, ...], Meta(max_length=shamir.MAX_SHARES)]


def _header(set_id: str, created_at: datetime, key: EscrowedKey, threshold: int) -> dict[str, Any]:
    public_half = {} if key.wrapped.public_key_pem is None else {"public_key_pem": key.wrapped.public_key_pem}
    return {
        "keyrung": FORMAT,
        "set": set_id,
        "created_at": created_at.astimezone(UTC).strftime(_TIME_FORMAT),
        "threshold": threshold,
        "key": {
            "uri": str(key.uri),
            "generation": key.generation,
            "algorithm": key.wrapped.algorithm,
            "purpose": key.purpose.value,
            "fingerprint": key.fingerprint,
            "claim_id": key.wrapped.claim_id.hex(),
            **public_half,
        },
        "wrapped": {"method": "AES-256-KWP", "ciphertext": encoding.base64url(key.wrapped.ciphertext)},
    }


def _from_file(file: _File) -> Envelope:
    wrapped = WrappedKey(
        algorithm=file.key.algorithm,
        fingerprint=file.key.fingerprint,
        public_key_pem=None if file.key.public_key_pem is UNSET else file.key.public_key_pem,
        claim_id=bytes.fromhex(file.key.claim_id),
        ciphertext=unbase64url(file.wrapped.ciphertext),
    )
    return Envelope(
        set_id=file.set,
        created_at=datetime.strptime(file.created_at, _TIME_FORMAT).replace(tzinfo=UTC),
        key=EscrowedKey(
            uri=KeyUri.parse(file.key.uri),
            generation=file.key.generation,
            purpose=file.key.purpose,
            wrapped=wrapped,
        ),
        threshold=file.threshold,
        shares=tuple(
            SealedShare(
                index=share.index, recipient=share.recipient, digest=share.digest, sealed=unbase64url(share.sealed)
            )
            for share in file.shares
        ),
    )


def _check_whole(envelope: Envelope, file: _File) -> None:
    """Check what no single member shows; the binding then ties the whole to the shares."""
    shamir.check_plan(envelope.threshold, len(envelope.shares))
    if [share.index for share in envelope.shares] != list(range(1, len(envelope.shares) + 1)):
        raise StrictFormError("its shares are not numbered from 1")
    if len({share.recipient for share in envelope.shares}) != len(envelope.shares):
        raise StrictFormError("two shares are sealed to one recipient")
    for share in envelope.shares:
        parse_recipient(share.recipient)
    _check_wrapped(envelope.key.wrapped)
    if str(envelope.key.uri) != file.key.uri:
        raise StrictFormError("its key URI is not in canonical form")


def _check_wrapped(wrapped: WrappedKey) -> None:
    """Check that the key is of the kind that it says: a pair has a public half, and a symmetric key one length."""
    row, size, pem = algorithm(wrapped.algorithm), len(wrapped.ciphertext), wrapped.public_key_pem
    if size % _KWP_BLOCK_BYTES or size < 2 * _KWP_BLOCK_BYTES:
        raise StrictFormError("its wrapped key has no AES-KWP length")
    if row.symmetric and size != (row.bits or 0) // 8 + _KWP_BLOCK_BYTES:
        raise StrictFormError("its wrapped key is not as long as such a key")
    if row.symmetric != (pem is None):
        raise StrictFormError("it has a public key for a symmetric key, or none for a pair")
    if pem is not None and encoding.thumbprint(pem) != wrapped.fingerprint:
        raise StrictFormError("its public key does not have the recorded fingerprint")
