"""Key pairs as objects in a token: generate, find, read back. Every function takes a logged-in session."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pkcs11
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm
from keyrung_provisioners.api import MAY_LEAVE, AttributeValue, KeySpec
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError
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
_PUBLIC_TEMPLATE = {Attribute.VERIFY: True, Attribute.ENCRYPT: False, Attribute.WRAP: False}
_CURVE_PARAMETERS = {
    encode_named_curve_parameters(row.curve or ""): row for row in ALGORITHMS.values() if row.kty == "EC"
}
# What a pair signs to prove itself begins like this, so that it can never pass for anything else.
_PROOF_LABEL = b"keyrung proof of a pair v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A key pair as it stands in the token."""

    private: Any
    algorithm: Algorithm
    public_key_pem: str
    claim_id: bytes
    attributes: Mapping[str, AttributeValue]


def generate(session: pkcs11.Session, *, spec: KeySpec, row: Algorithm) -> None:
    """Generate the pair inside the token, with the claim's id on both halves.

    A crash can leave half a pair; a half that carries this claim's id was never used and is replaced. Anything else
    under the label refuses.
    """
    found = halves(session, spec.uri.name)
    if len(found) > 1 or any(bytes(half[Attribute.ID]) != spec.claim_id for half in found):
        raise KeyConflictError(
            f"{spec.uri} exists already",
            fix="choose another name, or take it over with `pulumi import`",
            uri=str(spec.uri),
        )
    for half in found:
        half.destroy()
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(row.curve or "")}, local=True
    )
    parameters.generate_keypair(
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        store=True,
        id=spec.claim_id,
        label=spec.uri.name,
        private_template={**PRIVATE_TEMPLATE, Attribute.EXTRACTABLE: spec.custody in MAY_LEAVE},
        public_template=_PUBLIC_TEMPLATE,
    )


def read(session: pkcs11.Session, *, uri: KeyUri) -> Pair:
    """Return the one pair labelled as ``uri`` says; half a pair counts as no key, two pairs are a conflict."""
    private = list(_of_class(session, uri.name, ObjectClass.PRIVATE_KEY))
    public = list(_of_class(session, uri.name, ObjectClass.PUBLIC_KEY))
    if len(private) > 1 or len(public) > 1:
        raise KeyConflictError(
            f"the token holds more than one key labelled as {uri}", fix="remove the one that is not yours", uri=str(uri)
        )
    if not private or not public:
        raise KeyMissingError(f"the token holds no key pair {uri}", fix="check the token", uri=str(uri))
    row = _row(private[0])
    if row is None or row.curve is None:
        raise KeyConflictError(f"{uri} is of an unsupported type", fix="choose another name", uri=str(uri))
    return Pair(
        private=private[0],
        algorithm=row,
        public_key_pem=encoding.public_pem_from_ec_point(bytes(public[0][Attribute.EC_POINT]), row.curve),
        claim_id=bytes(private[0][Attribute.ID]),
        attributes={name: bool(private[0][attribute]) for name, attribute in _EVIDENCE.items()},
    )


def prove(pair: Pair, *, uri: KeyUri, challenge: bytes) -> None:
    """Raise `KeyAlteredError` unless the two halves belong together: nothing but their label says so."""
    text = _PROOF_LABEL + challenge
    row = pair.algorithm
    signature = pair.private.sign(encoding.digest(text, row.hash_name or ""), mechanism=Mechanism.ECDSA)
    if not encoding.verifies(pair.public_key_pem, text, bytes(signature)):
        raise KeyAlteredError(
            f"the private and the public half of {uri} do not belong together",
            fix="find out who replaced one of them; nothing will use the key",
            uri=str(uri),
        )


def names(session: pkcs11.Session) -> list[str]:
    """Return the labels of the token's private and secret keys; a key without one is told by its CKA_ID."""
    kinds = (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY)
    found = [key for kind in kinds for key in session.get_objects({Attribute.CLASS: kind, Attribute.TOKEN: True})]
    return sorted({key[Attribute.LABEL] or f"(no label, CKA_ID {bytes(key[Attribute.ID]).hex()})" for key in found})


def halves(session: pkcs11.Session, label: str) -> list[Any]:
    """Return the halves of key pairs under ``label``, private ones first."""
    return [*_of_class(session, label, ObjectClass.PRIVATE_KEY), *_of_class(session, label, ObjectClass.PUBLIC_KEY)]


def _row(private: Any) -> Algorithm | None:
    if private[Attribute.KEY_TYPE] is not KeyType.EC:
        return None
    return _CURVE_PARAMETERS.get(bytes(private[Attribute.EC_PARAMS]))


def _of_class(session: pkcs11.Session, label: str, object_class: ObjectClass) -> list[Any]:
    return list(session.get_objects({Attribute.LABEL: label, Attribute.CLASS: object_class}))
