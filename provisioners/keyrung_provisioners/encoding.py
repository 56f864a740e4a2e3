"""The one place that knows how each store writes public keys and signatures, and how they are named.

JOSE wants ES256 as raw r||s (RFC 7518 section 3.4). PKCS#11 answers that; Transit does when asked for JWS marshalling;
AWS KMS answers DER (RFC 3279 section 2.2.3), and public keys as DER, too.
"""

import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from keyrung_provisioners.errors import KeyAlteredError

_CURVES: dict[str, tuple[type[ec.EllipticCurve], str]] = {
    "secp256r1": (ec.SECP256R1, "P-256"),
}
_HASHES = {"SHA-256": hashlib.sha256}
_OCTET_STRING = 0x04
_UNCOMPRESSED_POINT = 0x04


def base64url(data: bytes) -> str:
    """Return ``data`` as unpadded base64url (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url; raise `ValueError` for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def public_pem_from_ec_point(point: bytes, curve: str) -> str:
    """Return PEM (SubjectPublicKeyInfo) for CKA_EC_POINT, DER-wrapped as PKCS#11 says or bare as some tokens do."""
    curve_type, _ = _CURVES[curve]
    size = (curve_type().key_size + 7) // 8 * 2 + 1
    if len(point) == size + 2 and point[0] == _OCTET_STRING and point[1] == size:
        point = point[2:]
    if len(point) != size or point[0] != _UNCOMPRESSED_POINT:
        raise KeyAlteredError("the token holds no valid public point", fix="check the token and the key's object")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve_type(), point)
    except ValueError as error:
        raise KeyAlteredError("the token's public point is not on its curve", fix="check the token") from error
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def public_pem_from_der(der: bytes) -> str:
    """Return PEM for SubjectPublicKeyInfo in DER; raise `ValueError` if it is none."""
    try:
        key = serialization.load_der_public_key(der)
    except (UnsupportedAlgorithm, ValueError) as error:
        raise ValueError("the store answered no public key") from error
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def jose_from_der(signature: bytes, curve: str) -> bytes:
    """Return an ECDSA signature as raw r||s; raise `ValueError` if it is not DER of numbers that fit the curve."""
    size = (_CURVES[curve][0]().key_size + 7) // 8
    try:
        return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
    except (OverflowError, ValueError) as error:
        raise ValueError("the store answered no signature of this curve") from error


def ec_point(pem: str) -> bytes:
    """Return the public point as CKA_EC_POINT: an uncompressed point in a DER OCTET STRING (PKCS#11 3.1, 6.3.3)."""
    key = serialization.load_pem_public_key(pem.encode("ascii"))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyAlteredError("the public key is not on a curve", fix="check where it was read")
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return bytes([_OCTET_STRING, len(point)]) + point


def public_jwk(pem: str) -> dict[str, str]:
    """Return the public key as the required members of a JWK (RFC 7518 section 6.2.1)."""
    key = serialization.load_pem_public_key(pem.encode("ascii"))
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        size = (key.key_size + 7) // 8
        numbers = key.public_numbers()
        return {
            "crv": _CURVES[key.curve.name][1],
            "kty": "EC",
            "x": base64url(numbers.x.to_bytes(size, "big")),
            "y": base64url(numbers.y.to_bytes(size, "big")),
        }
    raise KeyAlteredError("the store answered a public key of an unexpected kind", fix="check what stands in the store")


def thumbprint(pem: str) -> str:
    """Return the RFC 7638 thumbprint (SHA-256, base64url): required members only, sorted, no white space."""
    canonical = json.dumps(public_jwk(pem), separators=(",", ":"), sort_keys=True)
    return base64url(hashlib.sha256(canonical.encode("ascii")).digest())


def digest(data: bytes, hash_name: str) -> bytes:
    """Return the hash of ``data`` for stores that sign what is already hashed."""
    return _HASHES[hash_name](data).digest()


def verifies(pem: str, data: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` (JOSE form) over ``data`` is by the private half of the public key ``pem``."""
    key = serialization.load_pem_public_key(pem.encode("ascii"))
    half = len(signature) // 2
    if not isinstance(key, ec.EllipticCurvePublicKey) or half != (key.key_size + 7) // 8 or len(signature) % 2:
        return False
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    try:
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
