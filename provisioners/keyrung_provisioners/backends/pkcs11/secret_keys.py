"""AES keys in a token, which seal small secrets by AES-256-GCM. Every function takes a logged-in session."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pkcs11
from pkcs11.constants import Attribute
from pkcs11.mechanisms import GCMParams, KeyType, Mechanism

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm
from keyrung_provisioners.api import MAY_LEAVE, AttributeValue, KeySpec
from keyrung_provisioners.backends.pkcs11 import kinds
from keyrung_provisioners.backends.pkcs11.quirks import quirks
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyRefusedError, NotOfferedError
from keyrung_provisioners.uri import KeyUri

_AES = ALGORITHMS["AES-256"]
_NONCE_BYTES = 12  # SP 800-38D section 8.2.2: random, for at most 2**32 seals by one key
_TAG_BITS = 128
# The block that is encrypted to tell keys apart. Encrypting zeros, as CKA_CHECK_VALUE does, would give away GCM's hash
# key; this block is no counter block either: as one it would belong to a text of 27 GB.
_CHECK_BLOCK = b"keyrung check v1"
_PROOF = b"keyrung proof of a secret key v1"
_EVIDENCE = {
    "CKA_LOCAL": Attribute.LOCAL,
    "CKA_SENSITIVE": Attribute.SENSITIVE,
    "CKA_ALWAYS_SENSITIVE": Attribute.ALWAYS_SENSITIVE,
    "CKA_EXTRACTABLE": Attribute.EXTRACTABLE,
    "CKA_NEVER_EXTRACTABLE": Attribute.NEVER_EXTRACTABLE,
    "CKA_PRIVATE": Attribute.PRIVATE,
    "CKA_TOKEN": Attribute.TOKEN,
    "CKA_ENCRYPT": Attribute.ENCRYPT,
    "CKA_DECRYPT": Attribute.DECRYPT,
    "CKA_SIGN": Attribute.SIGN,
    "CKA_WRAP": Attribute.WRAP,
    "CKA_UNWRAP": Attribute.UNWRAP,
    "CKA_DERIVE": Attribute.DERIVE,
}
# What a sealing key must show: made in the token, never out of it, and good for sealing only.
REQUIRED: dict[str, AttributeValue] = {
    "CKA_LOCAL": True,
    "CKA_SENSITIVE": True,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_EXTRACTABLE": False,
    "CKA_NEVER_EXTRACTABLE": True,
    "CKA_PRIVATE": True,
    "CKA_TOKEN": True,
    "CKA_ENCRYPT": True,
    "CKA_DECRYPT": True,
    "CKA_SIGN": False,
    "CKA_WRAP": False,
    "CKA_UNWRAP": False,
    "CKA_DERIVE": False,
}
# What such a key may and may not do, generated here or brought in.
TEMPLATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret key as it stands in the token."""

    key: Any
    algorithm: Algorithm
    claim_id: bytes
    attributes: Mapping[str, AttributeValue]
    public_key_pem: None = None

    @property
    def fingerprint(self) -> str:
        """A check value made by the token."""
        return check_value(self.key)


def generate(session: pkcs11.Session, *, spec: KeySpec, row: Algorithm) -> list[Any]:
    """Generate the key inside the token, with the claim's id on it, and return it as the one entry."""
    mechanism = kinds.generation(session, row)
    if Mechanism.AES_GCM not in session.token.slot.get_mechanisms():
        raise NotOfferedError(
            "the token has no CKM_AES_GCM, so its keys seal nothing", fix="use another vault", algorithm=row.name
        )
    key = session.generate_key(
        KeyType.AES,
        row.bits,
        mechanism=mechanism,
        store=True,
        id=spec.claim_id,
        label=spec.uri.name,
        template={**TEMPLATE, Attribute.EXTRACTABLE: spec.custody in MAY_LEAVE},
    )
    return [key]


def read(key: Any, *, uri: KeyUri) -> Secret:
    """Return what the token says of the secret key object ``key``."""
    if key[Attribute.KEY_TYPE] is not KeyType.AES or not _has_256_bits(key):
        raise KeyConflictError(f"{uri} is of an unsupported type", fix="choose another name", uri=str(uri))
    return Secret(
        key=key,
        algorithm=_AES,
        claim_id=bytes(key[Attribute.ID]),
        attributes={name: bool(key[attribute]) for name, attribute in _EVIDENCE.items()},
    )


def _has_256_bits(key: Any) -> bool:
    """Say whether it does; of a key that was unwrapped some tokens forget that, and its fingerprint vouches for it."""
    size_bytes = key[Attribute.VALUE_LEN]
    if not key[Attribute.LOCAL] and size_bytes == quirks(key.session.token).unwrapped_bytes:
        return True
    return bool(size_bytes * 8 == _AES.bits)


def check_value(key: Any) -> str:
    """Return what tells this key from others and says nothing about it."""
    return f"aes-256-ecb:{encoding.base64url(bytes(key.encrypt(_CHECK_BLOCK, mechanism=Mechanism.AES_ECB)))}"


def prove(secret: Secret, *, uri: KeyUri, random: Callable[[int], bytes]) -> None:
    """Raise `KeyAlteredError` unless what the key seals opens again: some tokens put a nonce of their own into it."""
    nonce = random(_NONCE_BYTES)
    sealed = secret.key.encrypt(_PROOF, mechanism=Mechanism.AES_GCM, mechanism_param=_parameters(nonce, b""))
    opened = secret.key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=_parameters(nonce, b""))
    if bytes(opened) != _PROOF:
        raise KeyAlteredError(f"what {uri} seals does not open again", fix="use another vault", uri=str(uri))


def seal(secret: Secret, plaintext: bytes, *, context: bytes, random: Callable[[int], bytes]) -> str:
    """Return ``plaintext`` encrypted under a fresh nonce; ``context`` is the associated data."""
    nonce = random(_NONCE_BYTES)
    sealed = secret.key.encrypt(plaintext, mechanism=Mechanism.AES_GCM, mechanism_param=_parameters(nonce, context))
    return encoding.base64url(nonce + bytes(sealed))


def unseal(session: pkcs11.Session, secret: Secret, sealed: str, *, context: bytes, uri: KeyUri) -> bytes:
    """Return what `seal` made under the same context."""
    refused = KeyRefusedError(
        f"the text is none that {uri} sealed under this context", fix="check where it came from", uri=str(uri)
    )
    try:
        data = encoding.from_base64url(sealed)
    except ValueError as error:
        raise refused from error
    nonce, ciphertext = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
    if len(ciphertext) < _TAG_BITS // 8:  # what is too short for a tag must not reach the module
        raise refused
    try:
        opened = secret.key.decrypt(
            ciphertext, mechanism=Mechanism.AES_GCM, mechanism_param=_parameters(nonce, context)
        )
    except quirks(session.token).not_opened as error:
        raise refused from error
    return bytes(opened)


def _parameters(nonce: bytes, context: bytes) -> GCMParams:
    return GCMParams(nonce, context, _TAG_BITS)
