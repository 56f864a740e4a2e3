"""Private keys as PKCS#8 in this process: generate one, sign with it, derive its public half."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.errors import KeyAlteredError

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey

_CURVES: dict[str, ec.EllipticCurve] = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}
_HASHES: dict[str, hashes.HashAlgorithm] = {"SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384()}
_RSA_EXPONENT = 65537


def generate(row: Algorithm) -> bytes:
    """Return a new private key as PKCS#8."""
    key: PrivateKey
    if row.kty == "EC":
        key = ec.generate_private_key(_CURVES[row.curve or ""])
    elif row.kty == "RSA":
        key = generate_private_key(_RSA_EXPONENT, row.bits or 0)
    else:
        key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def sign(pkcs8: bytes, row: Algorithm, data: bytes) -> bytes:
    """Return the signature over ``data`` in JOSE form."""
    key = _loaded(pkcs8, row)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(data)
    hashed = _HASHES[row.hash_name or ""]
    if isinstance(key, RSAPrivateKey):
        return key.sign(data, padding.PSS(padding.MGF1(hashed), hashed.digest_size), hashed)
    return encoding.jose_from_der(key.sign(data, ec.ECDSA(hashed)), row.curve or "")


def public_pem(pkcs8: bytes, row: Algorithm) -> str:
    """Return the public half (PEM)."""
    return _pem(_loaded(pkcs8, row))


def _loaded(pkcs8: bytes, row: Algorithm) -> PrivateKey:
    key = load_der_private_key(pkcs8, password=None)
    if not isinstance(key, PrivateKey) or encoding.public_algorithm(_pem(key)) != row:
        raise KeyAlteredError("a key's file holds a key of another kind", fix="bring it back from a backup")
    return key


def _pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
