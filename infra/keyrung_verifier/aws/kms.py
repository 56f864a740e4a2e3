"""Keys in AWS KMS: signing with the assertion or audit key, sealing and opening with the seed key.

Held equal to the back end of the provisioners: what one seals the other opens, and both sign under one public key.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from keyrung_policies import jws
from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.errors import ConfigurationError, SigningFailedError, StrictFormError
from keyrung_verifier.keys import public_members, thumbprint

_URI = re.compile(r"awskms:region=([a-z0-9-]+);alias=([A-Za-z0-9][A-Za-z0-9_-]{0,127})", re.ASCII)
# The longest message that Sign takes whole; of a longer one it takes the hash.
MAX_MESSAGE_BYTES = 4096
_NUMBER_BYTES = 32  # r and s of P-256 (RFC 7518 section 3.4)


def parse_uri(uri: str) -> tuple[str, str]:
    """Return region and key id (`alias/NAME`) of `awskms:region=REGION;alias=NAME`; raises `ConfigurationError`."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ConfigurationError(f"{uri!r} names no key in KMS; write awskms:region=REGION;alias=NAME")
    return found[1], f"alias/{found[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsSigner:
    """A `keyrung_verifier.protocols.Signer` over a P-256 key in KMS.

    Its public half is the declared one and is never asked for: a signature by any other key, behind an alias that was
    moved, does not verify and is not given out.

    Attributes:
        client: KMS in the key's region.
        key_uri: How records name the key, `awskms:region=REGION;alias=NAME`.
        public_jwk: The public key that was recorded when the key was provisioned.
        generation: From 1.
        state: After NIST SP 800-57, as deployed.
    """

    ACTIONS: ClassVar[frozenset[str]] = frozenset({"kms:Sign"})
    algorithm: ClassVar[str] = "ES256"

    client: AwsClient = field(repr=False)
    key_uri: str
    public_jwk: Mapping[str, str]
    generation: int
    state: str
    key_id: str = field(init=False)

    def __post_init__(self) -> None:
        members = public_members(self.public_jwk)
        if members is None or jws.key_algorithm(members) != self.algorithm:
            raise ConfigurationError(f"{self.key_uri} has no public P-256 key; deploy again")
        object.__setattr__(self, "key_id", thumbprint(members))

    def sign(self, data: bytes) -> bytes:
        """Return r and s side by side over the data; raises `SigningFailedError` and `AwsError`."""
        whole = len(data) <= MAX_MESSAGE_BYTES
        answer = _call(
            self.client,
            "Sign",
            KeyId=parse_uri(self.key_uri)[1],
            Message=_base64(data if whole else hashlib.sha256(data).digest()),
            MessageType="RAW" if whole else "DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        try:
            # KMS answers DER (RFC 3279 section 2.2.3).
            numbers = decode_dss_signature(base64.b64decode(answer["Signature"], validate=True))
            return b"".join(number.to_bytes(_NUMBER_BYTES) for number in numbers)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SigningFailedError("KMS gave no P-256 signature; check the key's type") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsSealer:
    """A `keyrung_verifier.protocols.Sealer` over a symmetric key in KMS.

    Attributes:
        client: KMS in the key's region.
        key_uri: How records name the key, `awskms:region=REGION;alias=NAME`.
        generation: From 1.
        state: After NIST SP 800-57, as deployed.
    """

    OPEN_ACTIONS: ClassVar[frozenset[str]] = frozenset({"kms:Decrypt"})
    SEAL_ACTIONS: ClassVar[frozenset[str]] = frozenset({"kms:Encrypt"})

    client: AwsClient = field(repr=False)
    key_uri: str
    generation: int
    state: str

    def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return each (secret, context) sealed, one call for each; raises `AwsError`."""
        return [self._seal(secret, context) for secret, context in items]

    def open(self, sealed: str, *, context: bytes) -> bytes:
        """Return the secret; raises `StrictFormError` and `AwsError`."""
        try:
            ciphertext = jws.decode_base64url(sealed)
        except jws.MalformedError:
            raise StrictFormError("not_base64url") from None
        answer = _call(
            self.client,
            "Decrypt",
            KeyId=parse_uri(self.key_uri)[1],
            CiphertextBlob=_base64(ciphertext),
            EncryptionContext=_context(context),
        )
        return _bytes(answer, "Plaintext")

    def _seal(self, secret: bytes, context: bytes) -> str:
        answer = _call(
            self.client,
            "Encrypt",
            KeyId=parse_uri(self.key_uri)[1],
            Plaintext=_base64(secret),
            EncryptionContext=_context(context),
        )
        return jws.encode_base64url(_bytes(answer, "CiphertextBlob"))


def _call(client: AwsClient, operation: str, **members: object) -> dict[str, Any]:
    return client.call(f"TrentService.{operation}", members, json_version="1.1")


def _context(context: bytes) -> dict[str, str]:
    # A hash, since CloudTrail writes it down and `context` names a person.
    return {"keyrung": hashlib.sha256(context).hexdigest()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(answer: Mapping[str, Any], member: str) -> bytes:
    try:
        return base64.b64decode(answer[member], validate=True)
    except (KeyError, TypeError, binascii.Error):
        # Not chained: the answer may hold a secret.
        raise StrictFormError("kms_answer") from None
