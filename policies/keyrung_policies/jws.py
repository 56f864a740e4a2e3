"""The strict layer in front of signature checks: JSON without repeated members, canonical base64url, one JWS form.

Ordinary JOSE settings accept a wrong `typ`, repeated members and odd base64; a policy bundle has exactly
one shape, so everything else is refused before a signature is computed.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keyrung_policies.canonical import canonical_bytes

# (kty, crv) -> the one algorithm this key is for (RFC 7518 section 3.4, RFC 9864 section 2.2).
KEY_ALGORITHMS: dict[tuple[str, str], str] = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "Ed25519"}
# Both algorithms have 64-byte signatures (RFC 7518 section 3.4, RFC 8032 section 5.1.6).
SIGNATURE_BYTES = 64
# Coordinates of P-256 and public keys of Ed25519 (RFC 7518 section 6.2.1.2, RFC 8037 section 2).
COORDINATE_BYTES = 32
# Public keys kept ready, each a few hundred bytes: making one costs as much as checking a signature with it.
_READY_KEYS = 1024


class MalformedError(ValueError):
    """A text is not what it claims to be; the sentence says which rule it breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenedJws:
    """The three members of a flattened JWS, still encoded (RFC 7515 section 7.2.2)."""

    payload: str
    protected: str
    signature: str

    def signing_input(self) -> bytes:
        """Return the bytes under the signature (RFC 7515 section 5.1)."""
        return f"{self.protected}.{self.payload}".encode("ascii")


def encode_base64url(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Return the bytes of the one canonical base64url text for them.

    Raises:
        MalformedError: There is padding, a foreign character, or a set bit that no byte uses.
    """
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise MalformedError("a member is not base64url") from error
    # Unused bits and stray padding decode to the same bytes (RFC 4648 section 3.5); only one text is right.
    if encode_base64url(data) != text:
        raise MalformedError("a member is not canonical base64url")
    return data


def parse_object(data: bytes) -> dict[str, object]:
    """Return a JSON object in which no name is repeated (RFC 8725 section 2.4, RFC 8259 section 4).

    Raises:
        MalformedError: The bytes are anything else.
    """
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_members,
            parse_constant=_refuse_number,
            parse_float=_refuse_number,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedError("the bytes are not strict JSON") from error
    if not isinstance(value, dict):
        raise MalformedError("the JSON is not an object")
    return value


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedError("a member is repeated")
    return members


def _refuse_number(_text: str) -> object:
    raise MalformedError("a number is not an integer")


def parse_flattened(data: bytes) -> FlattenedJws:
    """Return the members of a flattened JWS with exactly a payload, a protected header and a signature.

    Raises:
        MalformedError: A member is missing, foreign or not text.
    """
    members = parse_object(data)
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    # No unprotected `header`: nothing outside the signature is read (RFC 7515 section 7.2.2).
    if members.keys() != {"payload", "protected", "signature"} or len(texts) != len(members):
        raise MalformedError("the members are not exactly payload, protected and signature as texts")
    return FlattenedJws(payload=texts["payload"], protected=texts["protected"], signature=texts["signature"])


def serialise_flattened(jws: FlattenedJws) -> bytes:
    """Return the flattened JSON form."""
    return canonical_bytes({"payload": jws.payload, "protected": jws.protected, "signature": jws.signature})


def key_algorithm(jwk: Mapping[str, str]) -> str | None:
    """Return the one algorithm a public key is for, or None for a key this package does not use."""
    algorithm = KEY_ALGORITHMS.get((jwk.get("kty", ""), jwk.get("crv", "")))
    # A key that states its algorithm must state this one (RFC 7517 section 4.4).
    return algorithm if jwk.get("alg", algorithm) == algorithm else None


def signature_fits(jwk: Mapping[str, str], *, signing_input: bytes, signature: bytes) -> bool:
    """Return whether the signature is one of this key over these bytes; the algorithm is the key's own."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        if key_algorithm(jwk) == "ES256":
            # JOSE carries r and s side by side (RFC 7518 section 3.4); the library wants DER.
            half = SIGNATURE_BYTES // 2
            pair = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
            _p256_key(jwk.get("x", ""), jwk.get("y", "")).verify(pair, signing_input, ECDSA(SHA256()))
            return True
        if key_algorithm(jwk) == "Ed25519":
            key = Ed25519PublicKey.from_public_bytes(decode_base64url(jwk.get("x", "")))
            key.verify(signature, signing_input)
            return True
    except (InvalidSignature, ValueError):
        return False
    return False


@lru_cache(_READY_KEYS)
def _p256_key(x: str, y: str) -> EllipticCurvePublicKey:
    return EllipticCurvePublicNumbers(_coordinate(x), _coordinate(y), SECP256R1()).public_key()


def _coordinate(text: str) -> int:
    data = decode_base64url(text)
    # Section 6.2.1.2 of RFC 7518: always the full length, leading zeros included.
    if len(data) != COORDINATE_BYTES:
        raise MalformedError("a coordinate has the wrong length")
    return int.from_bytes(data)
