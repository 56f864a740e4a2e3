"""The one place that knows how each store writes public keys and signatures, and how they are named.

JOSE wants ECDSA as raw r||s (RFC 7518 section 3.4). PKCS#11 answers that; Transit does when asked for JWS marshalling;
AWS KMS answers DER (RFC 3279 section 2.2.3). Ed25519 and RSA signatures look the same everywhere. Public keys are PEM
of SubjectPublicKeyInfo here; PKCS#11 has points and numbers, KMS DER, and Transit base64 of the bare key for Ed25519.
"""

import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm
from keyrung_provisioners.errors import KeyAlteredError

PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {"secp256r1": ec.SECP256R1, "secp384r1": ec.SECP384R1}
_HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384]] = {"SHA-256": hashes.SHA256, "SHA-384": hashes.SHA384}
_OCTET_STRING = 0x04
_UNCOMPRESSED_POINT = 0x04
_ED25519_BYTES = 32  # RFC 8032 section 5.1.5


def base64url(data: bytes) -> str:
    """Return ``data`` as unpadded base64url (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url; raise `ValueError` for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def public_pem_from_ec_point(point: bytes, curve: str) -> str:
    """Return PEM (SubjectPublicKeyInfo) for CKA_EC_POINT, DER-wrapped as PKCS#11 says or bare as some tokens do."""
    curve_type = _CURVES[curve]
    bare = _bare_point(point, (curve_type().key_size + 7) // 8 * 2 + 1)
    if bare is None or bare[0] != _UNCOMPRESSED_POINT:
        raise _no_public_point()
    try:
        return _pem(ec.EllipticCurvePublicKey.from_encoded_point(curve_type(), bare))
    except ValueError as error:
        raise KeyAlteredError("the token's public point is not on its curve", fix="check the token") from error


def public_pem_from_ed25519_point(point: bytes) -> str:
    """Return PEM for CKA_EC_POINT of an Edwards key (PKCS#11 3.1 section 6.3.5), DER-wrapped or bare."""
    bare = _bare_point(point, _ED25519_BYTES)
    if bare is None:
        raise _no_public_point()
    return _pem(Ed25519PublicKey.from_public_bytes(bare))


def public_pem_from_rsa(modulus: bytes, exponent: bytes) -> str:
    """Return PEM for CKA_MODULUS and CKA_PUBLIC_EXPONENT, big-endian (PKCS#11 3.1 section 6.1.2)."""
    try:
        return _pem(RSAPublicNumbers(int.from_bytes(exponent), int.from_bytes(modulus)).public_key())
    except ValueError as error:
        raise KeyAlteredError("the token holds no valid RSA key", fix="check the token and the key's object") from error


def public_pem_from_transit(text: str) -> str:
    """Return PEM for what Transit shows: PEM, or base64 of the bare key for Ed25519; raise `ValueError` if neither."""
    if text.startswith("-----BEGIN"):
        return _pem(_loaded(text))
    return _pem(Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True)))


def public_pem_from_der(der: bytes) -> str:
    """Return PEM for SubjectPublicKeyInfo in DER; raise `ValueError` if it is none."""
    try:
        return _pem(_ours(serialization.load_der_public_key(der)))
    except (KeyAlteredError, UnsupportedAlgorithm, ValueError) as error:
        raise ValueError("the store answered no public key") from error


def jose_from_der(signature: bytes, curve: str) -> bytes:
    """Return an ECDSA signature as raw r||s; raise `ValueError` if it is not DER of numbers that fit the curve."""
    size = (_CURVES[curve]().key_size + 7) // 8
    try:
        return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
    except (OverflowError, ValueError) as error:
        raise ValueError("the store answered no signature of this curve") from error


def jose_from_kms(signature: bytes, row: Algorithm) -> bytes:
    """Return what AWS KMS answers to Sign in JOSE form; raise `ValueError` if it is no signature of the algorithm."""
    if row.kty == "EC":
        return jose_from_der(signature, row.curve or "")
    if len(signature) != row.signature_bytes:
        raise ValueError("the store answered no signature of this algorithm")
    return signature


def ec_point(pem: str) -> bytes:
    """Return the public point as CKA_EC_POINT, in a DER OCTET STRING (PKCS#11 3.1 sections 6.3.3 and 6.3.5)."""
    key = _loaded(pem)
    if isinstance(key, RSAPublicKey):
        raise KeyAlteredError("the public key is not on a curve", fix="check where it was read")
    if isinstance(key, Ed25519PublicKey):
        point = key.public_bytes_raw()
    else:
        point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return bytes([_OCTET_STRING, len(point)]) + point


def rsa_numbers(pem: str) -> tuple[bytes, bytes]:
    """Return modulus and exponent as CKA_MODULUS and CKA_PUBLIC_EXPONENT."""
    key = _loaded(pem)
    if not isinstance(key, RSAPublicKey):
        raise KeyAlteredError("the public key is no RSA key", fix="check where it was read")
    numbers = key.public_numbers()
    return _big_endian(numbers.n), _big_endian(numbers.e)


def public_algorithm(pem: str) -> Algorithm:
    """Return the one algorithm that a public key is for; raise `KeyAlteredError` for a key that is for none of ours."""
    return _row(_loaded(pem))


def public_jwk(pem: str) -> dict[str, str]:
    """Return the public key as the required members of a JWK (RFC 7518 section 6, RFC 8037 section 2)."""
    key = _loaded(pem)
    row = _row(key)
    if isinstance(key, RSAPublicKey):
        modulus, exponent = rsa_numbers(pem)
        return {"e": base64url(exponent), "kty": row.kty, "n": base64url(modulus)}
    if isinstance(key, Ed25519PublicKey):
        return {"crv": row.name, "kty": row.kty, "x": base64url(key.public_bytes_raw())}
    size, numbers = (key.key_size + 7) // 8, key.public_numbers()
    return {
        "crv": row.name,
        "kty": row.kty,
        "x": base64url(numbers.x.to_bytes(size, "big")),
        "y": base64url(numbers.y.to_bytes(size, "big")),
    }


def thumbprint(pem: str) -> str:
    """Return the RFC 7638 thumbprint (SHA-256, base64url): required members only, sorted, no white space."""
    canonical = json.dumps(public_jwk(pem), separators=(",", ":"), sort_keys=True)
    return base64url(hashlib.sha256(canonical.encode("ascii")).digest())


def digest(data: bytes, hash_name: str | None) -> bytes:
    """Return what a store is to sign: the hash of ``data``, or ``data`` itself for an algorithm that hashes itself."""
    return data if hash_name is None else hashlib.new(_HASHES[hash_name].name, data).digest()


def verifies(pem: str, data: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` (JOSE form) over ``data`` is by the private half of the public key ``pem``."""
    key = _loaded(pem)
    row = _row(key)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, data)
            return True
        hashed = _HASHES[row.hash_name or ""]()
        if isinstance(key, RSAPublicKey):
            key.verify(signature, data, padding.PSS(padding.MGF1(hashed), hashed.digest_size), hashed)
            return True
        half = (key.key_size + 7) // 8
        if len(signature) != 2 * half:
            return False
        pair = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
        key.verify(pair, data, ec.ECDSA(hashed))
    except InvalidSignature:
        return False
    return True


def _row(key: PublicKey) -> Algorithm:
    for row in ALGORITHMS.values():
        if isinstance(key, ec.EllipticCurvePublicKey) and row.curve == key.curve.name:
            return row
        if isinstance(key, RSAPublicKey) and (row.kty, row.bits) == ("RSA", key.key_size):
            return row
        if isinstance(key, Ed25519PublicKey) and row.kty == "OKP":
            return row
    raise _unexpected()


def _bare_point(point: bytes, size: int) -> bytes | None:
    if len(point) == size + 2 and point[0] == _OCTET_STRING and point[1] == size:
        point = point[2:]
    return point if len(point) == size else None


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _pem(key: PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _loaded(pem: str) -> PublicKey:
    return _ours(serialization.load_pem_public_key(pem.encode("ascii")))


def _ours(key: object) -> PublicKey:
    if not isinstance(key, PublicKey):
        raise _unexpected()
    return key


def _unexpected() -> KeyAlteredError:
    return KeyAlteredError(
        "the store answered a public key of an unexpected kind", fix="check what stands in the store"
    )


def _no_public_point() -> KeyAlteredError:
    return KeyAlteredError("the token holds no valid public point", fix="check the token and the key's object")
