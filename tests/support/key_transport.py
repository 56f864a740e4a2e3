"""Keys on their way from one store to another, made and opened by `cryptography` alone, as the layout is written down
(PKCS#11 3.1 section 6.1.18: RSA-OAEP of an AES key, then AES-KWP of the PKCS#8 key by it)."""

import secrets
from dataclasses import dataclass
from functools import cache
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

from keyrung_provisioners.api import ImportOffer

RSA_BITS = 4096  # as Transit's and KMS's own
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"SHA-1": hashes.SHA1, "SHA-256": hashes.SHA256}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Another store, as far as it opens what is wrapped to it."""

    key: rsa.RSAPrivateKey

    @classmethod
    def new(cls, bits: int = RSA_BITS) -> Self:
        """Return one with a key of its own."""
        return cls(rsa.generate_private_key(65537, bits))

    def offer(self, hash_name: str) -> ImportOffer:
        """Return what to wrap to."""
        return ImportOffer(public_key_pem=public_pem(self.key), hash_name=hash_name)

    def public_half(self, wrapped: bytes, hash_name: str) -> str:
        """Return the public half (PEM) of the key in ``wrapped``."""
        return public_pem(self.private_half(wrapped, hash_name))

    def private_half(self, wrapped: bytes, hash_name: str) -> PrivateKeyTypes:
        """Return the key in ``wrapped``."""
        size = self.key.key_size // 8
        between = self.key.decrypt(wrapped[:size], _oaep(hash_name))
        assert len(between) == 32
        der = aes_key_unwrap_with_padding(between, wrapped[size:])
        length = 2 + der[1] if der[1] < 0x80 else 2 + (der[1] & 0x7F) + int.from_bytes(der[2 : 2 + (der[1] & 0x7F)])
        assert len(der) - length < 8  # SoftHSM2 fills up to whole blocks
        assert not any(der[length:])
        return load_der_private_key(der[:length], password=None)


def public_pem(key: PrivateKeyTypes) -> str:
    """Return the public half (PEM)."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@cache
def receiver(_name: str = "another store") -> Receiver:
    """Return a receiver that tests share, since its key takes long to make."""
    return Receiver.new()


def an_offer() -> ImportOffer:
    """Return an offer that is good."""
    return receiver().offer("SHA-256")


def wrapped_to(offer: ImportOffer, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return ``key`` wrapped to ``offer``."""
    public = load_pem_public_key(offer.public_key_pem.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    between = secrets.token_bytes(32)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return public.encrypt(between, _oaep(offer.hash_name)) + aes_key_wrap_with_padding(between, der)


def _oaep(hash_name: str) -> padding.OAEP:
    kind = _HASHES[hash_name]
    return padding.OAEP(mgf=padding.MGF1(kind()), algorithm=kind(), label=None)
