"""Keys that leave a token and enter one, wrapped by AES-KWP (RFC 5649); never in the clear.

The wrapping key is a session object: it ends with the call. Every function takes a logged-in session.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pkcs11
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import KeyType, Mechanism

from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import WrappedKey
from keyrung_provisioners.backends.pkcs11 import kinds, objects, secret_keys
from keyrung_provisioners.backends.pkcs11.quirks import KNOWN_DATA, KNOWN_KEY, quirks
from keyrung_provisioners.errors import BackendUnavailableError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

# The library's own template asks a private key to encrypt, wrap and verify, which tokens refuse; DEFAULT leaves it out.
_PRIVATE_TEMPLATE = {
    **objects.PRIVATE_TEMPLATE,
    Attribute.ENCRYPT: pkcs11.DEFAULT,
    Attribute.WRAP: pkcs11.DEFAULT,
    Attribute.VERIFY: pkcs11.DEFAULT,
}
NOT_WRAPPED = (pkcs11.KeyUnextractable, pkcs11.KeyNotWrappable)


def wrap(session: pkcs11.Session, *, uri: KeyUri, wrapping_key: bytearray) -> WrappedKey:
    """Return the private or secret key under ``uri``, wrapped inside the token."""
    found = objects.find(session, uri=uri)
    with _entered(session, wrapping_key) as (key, mechanism):
        try:
            ciphertext = bytes(key.wrap_key(found.key, mechanism=mechanism))
        except NOT_WRAPPED as error:
            raise KeyRefusedError(
                f"the token does not let {uri} out", fix="a key is escrowed only if it was declared so", uri=str(uri)
            ) from error
    return WrappedKey(
        algorithm=found.algorithm.name,
        fingerprint=found.fingerprint,
        public_key_pem=found.public_key_pem,
        claim_id=found.claim_id,
        ciphertext=ciphertext,
    )


def lock(session: pkcs11.Session, *, uri: KeyUri) -> None:
    """Make the key unextractable; PKCS#11 3.1 section 4.9 lets nobody turn that back."""
    key = objects.find(session, uri=uri).key
    if key[Attribute.EXTRACTABLE]:
        key[Attribute.EXTRACTABLE] = False


def rehearse(session: pkcs11.Session, *, wrapped: WrappedKey, wrapping_key: bytearray, data: bytes) -> bytes:
    """Return what the wrapped key shows of itself; it becomes a session object and ends with this call."""
    row = algorithm(wrapped.algorithm)
    with opened(session, wrapped, wrapping_key) as key:
        return secret_keys.check_value(key).encode("ascii") if row.symmetric else kinds.sign(key, row, data)


def rewrap(session: pkcs11.Session, *, wrapped: WrappedKey, old: bytearray, new: bytearray) -> WrappedKey:
    """Return the key under another wrapping key; it becomes an extractable session object and ends with this call."""
    with opened(session, wrapped, old, extractable=True) as inner, _entered(session, new) as (key, mechanism):
        return replace(wrapped, ciphertext=bytes(key.wrap_key(inner, mechanism=mechanism)))


@contextmanager
def opened(
    session: pkcs11.Session, wrapped: WrappedKey, wrapping_key: bytearray, *, extractable: bool = False
) -> Iterator[Any]:
    """Give the wrapped key as a session object, which ends with the block."""
    with _entered(session, wrapping_key) as (key, mechanism):
        inner = _unwrap(session, key, mechanism, wrapped, label="", store=False, extractable=extractable)
        try:
            yield inner
        finally:
            inner.destroy()


def restore(session: pkcs11.Session, *, uri: KeyUri, wrapped: WrappedKey, wrapping_key: bytearray) -> None:
    """Put the wrapped key under ``uri``, a pair with its public half; half a pair of the same key is replaced."""
    if _stands_already(session, uri, wrapped):
        return
    for entry in objects.entries(session, uri.name):
        if bytes(entry[Attribute.ID]) != wrapped.claim_id:
            raise _conflict(uri)
        entry.destroy()
    row = algorithm(wrapped.algorithm)
    with _entered(session, wrapping_key) as (key, mechanism):
        _unwrap(session, key, mechanism, wrapped, label=uri.name, store=True)
    if wrapped.public_key_pem is None:
        return
    session.create_object(
        {
            **objects.PUBLIC_TEMPLATE,
            **kinds.public_attributes(wrapped.public_key_pem, row),
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.TOKEN: True,
            Attribute.PRIVATE: False,
            Attribute.LABEL: uri.name,
            Attribute.ID: wrapped.claim_id,
        }
    )


def _stands_already(session: pkcs11.Session, uri: KeyUri, wrapped: WrappedKey) -> bool:
    try:
        found = objects.find(session, uri=uri)
    except KeyMissingError:
        return False
    if found.fingerprint != wrapped.fingerprint:
        raise _conflict(uri)
    return True


def _conflict(uri: KeyUri) -> KeyConflictError:
    return KeyConflictError(f"another key stands under {uri}", fix="restore under another name", uri=str(uri))


def _unwrap(
    session: pkcs11.Session,
    key: Any,
    mechanism: Mechanism,
    wrapped: WrappedKey,
    *,
    label: str,
    store: bool,
    extractable: bool = False,
) -> Any:
    row = algorithm(wrapped.algorithm)
    kind, template = (
        (ObjectClass.SECRET_KEY, secret_keys.TEMPLATE)
        if row.symmetric
        else (ObjectClass.PRIVATE_KEY, _PRIVATE_TEMPLATE)
    )
    try:
        return key.unwrap_key(
            kind,
            kinds.key_type(row),
            wrapped.ciphertext,
            mechanism=mechanism,
            id=wrapped.claim_id,
            label=label,
            store=store,
            template={**template, Attribute.EXTRACTABLE: extractable},
        )
    except quirks(session.token).not_opened as error:
        raise KeyRefusedError(
            "the token did not open the wrapped key", fix="the escrow or its wrapping key is not the right one"
        ) from error


@contextmanager
def _entered(session: pkcs11.Session, wrapping_key: bytearray) -> Iterator[tuple[Any, Mechanism]]:
    """Give the wrapping key as a session object, with the mechanism that was seen to be RFC 5649."""
    mechanism = kwp_mechanism(session)
    key = _secret(session, KeyType.AES, bytes(wrapping_key), {Attribute.WRAP: True, Attribute.UNWRAP: True})
    try:
        yield key, mechanism
    finally:
        with suppress(pkcs11.PKCS11Error):  # a lost session took it along
            key.destroy()


def kwp_mechanism(session: pkcs11.Session) -> Mechanism:
    """Return the mechanism that was seen to be RFC 5649 in this token."""
    offered, kind = session.token.slot.get_mechanisms(), quirks(session.token)
    for mechanism in kind.kwp:
        if mechanism in offered and _known_answer(session, mechanism) == kind.kwp_answer:
            return mechanism
    raise BackendUnavailableError("the token has no AES-KWP (RFC 5649)", fix="keep the escrow in a token that has it")


def _known_answer(session: pkcs11.Session, mechanism: Mechanism) -> bytes:
    key = _secret(session, KeyType.AES, KNOWN_KEY, {Attribute.WRAP: True})
    data = _secret(session, KeyType.GENERIC_SECRET, KNOWN_DATA, {Attribute.EXTRACTABLE: True})
    try:
        return bytes(key.wrap_key(data, mechanism=mechanism))
    except pkcs11.PKCS11Error:
        return b""
    finally:
        key.destroy()
        data.destroy()


def _secret(session: pkcs11.Session, kind: KeyType, value: bytes, more: dict[Attribute, bool]) -> Any:
    return session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: kind,
            Attribute.VALUE: value,
            Attribute.TOKEN: False,
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.ENCRYPT: False,
            Attribute.DECRYPT: False,
            **more,
        }
    )
