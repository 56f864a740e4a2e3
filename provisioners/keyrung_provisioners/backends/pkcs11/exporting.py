"""Private keys that leave a token for another store, wrapped to that store's public key; never in the clear.

The layout is that of CKM_RSA_AES_KEY_WRAP (PKCS#11 3.1 section 6.1.18), made of the two mechanisms that it is made of,
since SoftHSM2 has these alone. The AES key between them is made in the token, a session object that ends with the call.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import MGF, KeyType, Mechanism

from keyrung_provisioners import encoding
from keyrung_provisioners.api import ImportOffer, WrappedKey
from keyrung_provisioners.backends.pkcs11 import objects, wrapping
from keyrung_provisioners.backends.pkcs11.quirks import quirks
from keyrung_provisioners.errors import InvalidSettingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

_AES_BITS = 256
_MIN_RSA_BITS = 3072  # NIST SP 800-57 part 1, table 2: as strong as the P-256 keys that travel under it
_OAEP = {
    "SHA-256": (Mechanism.SHA256, MGF.SHA256, None),
    "SHA-1": (Mechanism.SHA_1, MGF.SHA1, None),
}


def oaep_hash(session: pkcs11.Session) -> str:
    """Return the strongest hash of RSA-OAEP that this kind of token has."""
    return quirks(session.token).oaep_hash


def export(session: pkcs11.Session, *, uri: KeyUri, offer: ImportOffer) -> bytes:
    """Return the private key under ``uri`` wrapped to ``offer``."""
    return _wrapped(session, objects.read(session, uri=uri).key, offer, what=str(uri))


def forward(session: pkcs11.Session, *, wrapped: WrappedKey, wrapping_key: bytearray, offer: ImportOffer) -> bytes:
    """Return a key that comes wrapped, wrapped to ``offer``; it is a session object and ends with this call."""
    with wrapping.opened(session, wrapped, wrapping_key, extractable=True) as private:
        return _wrapped(session, private, offer, what="the wrapped key")


def _wrapped(session: pkcs11.Session, private: Any, offer: ImportOffer, *, what: str) -> bytes:
    if offer.hash_name not in _OAEP:
        raise InvalidSettingError(
            f"a token has no RSA-OAEP with {offer.hash_name!r}", fix=f"ask for one of {', '.join(_OAEP)}"
        )
    mechanism = wrapping.kwp_mechanism(session)
    with _recipient(session, offer) as recipient, _temporary(session) as between:
        try:
            inner = bytes(between.wrap_key(private, mechanism=mechanism))
        except wrapping.NOT_WRAPPED as error:
            raise KeyRefusedError(
                f"the token does not let {what} out", fix="a key is portable only if it was declared so", uri=what
            ) from error
        outer = recipient.wrap_key(between, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=_OAEP[offer.hash_name])
        return bytes(outer) + inner


@contextmanager
def _recipient(session: pkcs11.Session, offer: ImportOffer) -> Iterator[Any]:
    """Give the other store's public key as a session object."""
    try:
        public = load_pem_public_key(offer.public_key_pem.encode("ascii"))
    except ValueError as error:
        raise InvalidSettingError("what the other store offers is no public key", fix="check that store") from error
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < _MIN_RSA_BITS:
        raise InvalidSettingError(
            "what the other store offers is no strong enough RSA key", fix=f"use one of {_MIN_RSA_BITS} bits or more"
        )
    modulus, exponent = encoding.rsa_numbers(offer.public_key_pem)
    key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.KEY_TYPE: KeyType.RSA,
            Attribute.MODULUS: modulus,
            Attribute.PUBLIC_EXPONENT: exponent,
            Attribute.TOKEN: False,
            Attribute.PRIVATE: False,
            Attribute.WRAP: True,
            Attribute.ENCRYPT: False,
            Attribute.VERIFY: False,
        }
    )
    try:
        yield key
    finally:
        _end(key)


@contextmanager
def _temporary(session: pkcs11.Session) -> Iterator[Any]:
    """Give an AES key that the token makes, for this once."""
    key = session.generate_key(
        KeyType.AES,
        _AES_BITS,
        store=False,
        template={
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: True,  # by wrapping alone, since it is sensitive
            Attribute.WRAP: True,
            Attribute.UNWRAP: False,
            Attribute.ENCRYPT: False,
            Attribute.DECRYPT: False,
            Attribute.SIGN: False,
            Attribute.VERIFY: False,
        },
    )
    try:
        yield key
    finally:
        _end(key)


def _end(key: Any) -> None:
    with suppress(pkcs11.PKCS11Error):  # a lost session took it along
        key.destroy()
