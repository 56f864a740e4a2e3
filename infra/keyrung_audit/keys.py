"""Public keys that vouch for a log: read from JWK or PEM, named by RFC 7638 thumbprint, each tied to one algorithm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

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
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from keyrung_audit.canonical import decode_base64url, encode_base64url
from keyrung_audit.errors import NotCanonicalError, PublicKeyError

COORDINATE_BYTES = 32  # P-256 (RFC 7518 6.2.1.2); an Ed25519 public key has the same length (RFC 8032 5.1.5)
SIGNATURE_BYTES = 64  # r||s of P-256 (RFC 7518 3.4); Ed25519 alike (RFC 8032 5.1.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key with its thumbprint and the only algorithm it may be used with."""

    key_id: str
    algorithm: str
    handle: EllipticCurvePublicKey | Ed25519PublicKey

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether `signature` is this key's over `data`, in the form that JWS uses."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            if isinstance(self.handle, Ed25519PublicKey):
                self.handle.verify(signature, data)
            else:
                r = int.from_bytes(signature[:COORDINATE_BYTES], "big")
                s = int.from_bytes(signature[COORDINATE_BYTES:], "big")
                self.handle.verify(encode_dss_signature(r, s), data, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def load_public_key(data: bytes) -> PublicKey:
    """Return the key of a JWK or a PEM text.

    Raises:
        PublicKeyError: It is neither, holds a private key, or is not P-256 or Ed25519.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        try:
            handle = load_pem_public_key(data)
        except ValueError as error:
            raise PublicKeyError("The PEM text holds no public key; give the public half.") from error
        return _named(handle)
    try:
        jwk = json.loads(data)
    except ValueError as error:
        raise PublicKeyError("The key is neither a JWK nor a PEM text.") from error
    return public_key_from_jwk(jwk)


def public_key_from_jwk(jwk: object) -> PublicKey:
    """Return the key of a public JWK (RFC 7517); `alg`, where present, must be the algorithm we would use."""
    if not isinstance(jwk, Mapping):
        raise PublicKeyError("The JWK must be a JSON object.")
    if "d" in jwk:
        raise PublicKeyError("The JWK holds a private key; give the public half.")
    try:
        if (jwk.get("kty"), jwk.get("crv")) == ("EC", "P-256"):
            x, y = _coordinate(jwk, "x"), _coordinate(jwk, "y")
            numbers = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1())
            key = _named(numbers.public_key())
        elif (jwk.get("kty"), jwk.get("crv")) == ("OKP", "Ed25519"):
            key = _named(Ed25519PublicKey.from_public_bytes(_coordinate(jwk, "x")))
        else:
            raise PublicKeyError("The JWK must be P-256 (EC) or Ed25519 (OKP).")
    except ValueError as error:
        raise PublicKeyError("The JWK names no point on its curve.") from error
    if jwk.get("alg", key.algorithm) != key.algorithm:
        raise PublicKeyError(f"The JWK names an algorithm other than {key.algorithm}.")
    if jwk.get("kid", key.key_id) != key.key_id:
        raise PublicKeyError("The JWK's kid is not its RFC 7638 thumbprint.")
    return key


def _coordinate(jwk: Mapping[object, object], name: str) -> bytes:
    text = jwk.get(name)
    try:
        data = decode_base64url(text) if isinstance(text, str) else b""
    except NotCanonicalError as error:
        raise PublicKeyError(f"The JWK member {name} is not base64url.") from error
    if len(data) != COORDINATE_BYTES:
        raise PublicKeyError(f"The JWK member {name} must hold {COORDINATE_BYTES} bytes.")
    return data


def _named(handle: object) -> PublicKey:
    """Return the key under its thumbprint: SHA-256 over the required members in order of their names (RFC 7638 3)."""
    if isinstance(handle, EllipticCurvePublicKey) and isinstance(handle.curve, SECP256R1):
        point = handle.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        x, y = encode_base64url(point[:COORDINATE_BYTES]), encode_base64url(point[COORDINATE_BYTES:])
        text, algorithm = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}', "ES256"
        return PublicKey(key_id=_thumbprint(text), algorithm=algorithm, handle=handle)
    if isinstance(handle, Ed25519PublicKey):
        x = encode_base64url(handle.public_bytes_raw())
        text = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
        return PublicKey(key_id=_thumbprint(text), algorithm="Ed25519", handle=handle)
    raise PublicKeyError("The key must be P-256 or Ed25519.")


def _thumbprint(text: str) -> str:
    return encode_base64url(hashlib.sha256(text.encode("ascii")).digest())
