"""Keys as objects in a token: generate pairs, find, read back. Every function takes a logged-in session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pkcs11
from pkcs11.constants import Attribute, ObjectClass

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import MAY_LEAVE, AttributeValue, KeySpec
from keyrung_provisioners.backends.pkcs11 import kinds, secret_keys
from keyrung_provisioners.backends.pkcs11.secret_keys import Secret
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

# What is read back from the private key as evidence, under the names that PKCS#11 3.1 section 4.9 gives.
_EVIDENCE = {
    "CKA_LOCAL": Attribute.LOCAL,
    "CKA_SENSITIVE": Attribute.SENSITIVE,
    "CKA_ALWAYS_SENSITIVE": Attribute.ALWAYS_SENSITIVE,
    "CKA_EXTRACTABLE": Attribute.EXTRACTABLE,
    "CKA_NEVER_EXTRACTABLE": Attribute.NEVER_EXTRACTABLE,
    "CKA_PRIVATE": Attribute.PRIVATE,
    "CKA_TOKEN": Attribute.TOKEN,
    "CKA_SIGN": Attribute.SIGN,
    "CKA_DECRYPT": Attribute.DECRYPT,
    "CKA_UNWRAP": Attribute.UNWRAP,
    "CKA_DERIVE": Attribute.DERIVE,
}
# What a signing key must show: made in the token, never out of it, and good for signatures only.
REQUIRED: dict[str, AttributeValue] = {
    "CKA_LOCAL": True,
    "CKA_SENSITIVE": True,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_EXTRACTABLE": False,
    "CKA_NEVER_EXTRACTABLE": True,
    "CKA_PRIVATE": True,
    "CKA_TOKEN": True,
    "CKA_SIGN": True,
    "CKA_DECRYPT": False,
    "CKA_UNWRAP": False,
    "CKA_DERIVE": False,
}
# What a private key may and may not do, generated here or brought in.
PRIVATE_TEMPLATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
PUBLIC_TEMPLATE = {Attribute.VERIFY: True, Attribute.ENCRYPT: False, Attribute.WRAP: False}
_KEY_CLASSES = frozenset({ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY, ObjectClass.SECRET_KEY})
# What a pair signs to prove itself begins like this, so that it can never pass for anything else.
_PROOF_LABEL = b"keyrung proof of a pair v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A key pair as it stands in the token; ``key`` is its private half."""

    key: Any
    algorithm: Algorithm
    public_key_pem: str
    claim_id: bytes
    attributes: Mapping[str, AttributeValue]

    @property
    def fingerprint(self) -> str:
        """RFC 7638 thumbprint of the public half."""
        return encoding.thumbprint(self.public_key_pem)


def generate(session: pkcs11.Session, *, spec: KeySpec, row: Algorithm) -> list[Any]:
    """Generate the pair inside the token, with the claim's id on both halves, and return the halves."""
    return kinds.generate_pair(
        session,
        row,
        private={**PRIVATE_TEMPLATE, Attribute.EXTRACTABLE: spec.custody in MAY_LEAVE},
        public=PUBLIC_TEMPLATE,
        claim_id=spec.claim_id,
        label=spec.uri.name,
    )


def make_room(session: pkcs11.Session, spec: KeySpec) -> None:
    """Raise `KeyConflictError` unless the label is free.

    A crash can leave half a pair; a half that carries this claim's id was never used and is removed.
    """
    found = entries(session, spec.uri.name)
    whole = len(found) > 1 or any(entry.object_class is ObjectClass.SECRET_KEY for entry in found)
    if whole or any(bytes(entry[Attribute.ID]) != spec.claim_id for entry in found):
        raise KeyConflictError(
            f"{spec.uri} exists already",
            fix="choose another name, or take it over with `pulumi import`",
            uri=str(spec.uri),
        )
    for half in found:
        half.destroy()


def find(session: pkcs11.Session, *, uri: KeyUri) -> Pair | Secret:
    """Return the one key labelled as ``uri`` says; half a pair counts as no key, two keys are a conflict."""
    return told(entries(session, uri.name), uri=uri)


def told(found: Sequence[Any], *, uri: KeyUri) -> Pair | Secret:
    """Return what the token says of the key ``uri``, all of whose entries were ``found``."""
    secret, private, public = (
        [entry for entry in found if entry.object_class is kind]
        for kind in (ObjectClass.SECRET_KEY, ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    )
    if max(len(secret), len(private), len(public)) > 1 or (secret and (private or public)):
        raise KeyConflictError(
            f"the token holds more than one key labelled as {uri}", fix="remove the one that is not yours", uri=str(uri)
        )
    if secret:
        return secret_keys.read(secret[0], uri=uri)
    if not private or not public:
        raise KeyMissingError(f"the token holds no key {uri}", fix="check the token", uri=str(uri))
    row = kinds.row_of_pair(private[0])
    if row is None:
        raise KeyConflictError(f"{uri} is of an unsupported type", fix="choose another name", uri=str(uri))
    return Pair(
        key=private[0],
        algorithm=row,
        public_key_pem=kinds.public_key_pem(public[0], row),
        claim_id=bytes(private[0][Attribute.ID]),
        attributes={name: bool(private[0][attribute]) for name, attribute in _EVIDENCE.items()},
    )


def read(session: pkcs11.Session, *, uri: KeyUri) -> Pair:
    """Return the pair labelled as ``uri`` says; a secret key under the label is refused."""
    found = find(session, uri=uri)
    if isinstance(found, Pair):
        return found
    raise KeyRefusedError(f"{uri} is no key pair", fix="use a key made for signing", uri=str(uri))


def prove(pair: Pair, *, uri: KeyUri, challenge: bytes) -> None:
    """Raise `KeyAlteredError` unless the two halves belong together: nothing but their label says so."""
    text = _PROOF_LABEL + challenge
    if not encoding.verifies(pair.public_key_pem, text, kinds.sign(pair.key, pair.algorithm, text)):
        raise KeyAlteredError(
            f"the private and the public half of {uri} do not belong together",
            fix="find out who replaced one of them; nothing will use the key",
            uri=str(uri),
        )


def names(session: pkcs11.Session) -> list[str]:
    """Return the labels of the token's private and secret keys; a key without one is told by its CKA_ID."""
    classes = (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY)
    found = [key for kind in classes for key in session.get_objects({Attribute.CLASS: kind, Attribute.TOKEN: True})]
    return sorted({key[Attribute.LABEL] or f"(no label, CKA_ID {bytes(key[Attribute.ID]).hex()})" for key in found})


def entries(session: pkcs11.Session, label: str) -> list[Any]:
    """Return the keys and halves of pairs under ``label``, found in one pass: a label is looked up slowly."""
    found = list(session.get_objects({Attribute.LABEL: label}))
    return [entry for entry in found if entry.object_class in _KEY_CLASSES]
