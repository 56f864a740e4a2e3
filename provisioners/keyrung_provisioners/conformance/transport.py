"""The other end of a key's journey, played by `cryptography`: scratch keys alone are ever in this process.

The layout is that of CKM_RSA_AES_KEY_WRAP (PKCS#11 3.1 section 6.1.18).
"""

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import ImportOffer
from keyrung_provisioners.conformance.trial import fail

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey | rsa.RSAPrivateKey

_HASHES: dict[str, type[hashes.SHA1 | hashes.SHA256]] = {"SHA-1": hashes.SHA1, "SHA-256": hashes.SHA256}
_CURVES: dict[str, ec.EllipticCurve] = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}
_AES_KEY_BYTES = 32
_LONG_LENGTH = 0x80  # X.690 section 8.1.3.5: from here on the octet counts the octets of the length
_BLOCK_BYTES = 8


def new_private_key(row: Algorithm) -> PrivateKey:
    """Return a scratch key of the algorithm."""
    if row.kty == "RSA":
        return rsa.generate_private_key(65537, row.bits or 0)
    return Ed25519PrivateKey.generate() if row.kty == "OKP" else ec.generate_private_key(_CURVES[row.curve or ""])


def public_pem(key: PrivateKey) -> str:
    """Return the public half (PEM)."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def wrapped_to(offer: ImportOffer, key: PrivateKey, *, random: Callable[[int], bytes]) -> bytes:
    """Return ``key`` wrapped to ``offer``."""
    public = load_pem_public_key(offer.public_key_pem.encode("ascii"))
    if not isinstance(public, rsa.RSAPublicKey):
        fail("the store offers no RSA key to wrap to")
    between = random(_AES_KEY_BYTES)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return public.encrypt(between, _oaep(offer.hash_name)) + aes_key_wrap_with_padding(between, der)


def opened_public_pem(wrapped: bytes, receiver: rsa.RSAPrivateKey, hash_name: str) -> str:
    """Return the public half of the key that ``wrapped`` opens to."""
    size = receiver.key_size // 8
    between = receiver.decrypt(wrapped[:size], _oaep(hash_name))
    key = load_der_private_key(_unfilled(aes_key_unwrap_with_padding(between, wrapped[size:])), password=None)
    if not isinstance(key, PrivateKey):
        fail("what was exported is no private key of ours")
    return public_pem(key)


def _unfilled(der: bytes) -> bytes:
    """Return ``der`` without the zeros up to a whole block that some tokens wrap as well."""
    length = der[1] + 2
    if der[1] >= _LONG_LENGTH:
        count = der[1] - _LONG_LENGTH
        length = int.from_bytes(der[2 : 2 + count]) + 2 + count
    if len(der) - length >= _BLOCK_BYTES or any(der[length:]):
        fail("what was exported is no PKCS#8 key")
    return der[:length]


def _oaep(hash_name: str) -> padding.OAEP:
    kind = _HASHES[hash_name]
    return padding.OAEP(mgf=padding.MGF1(kind()), algorithm=kind(), label=None)
