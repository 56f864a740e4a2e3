"""What each algorithm of ours is in a token: its parameters, its mechanisms, and the attributes of its public half."""

from collections.abc import Mapping
from typing import Any

import pkcs11
from pkcs11.constants import Attribute
from pkcs11.mechanisms import MGF, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm
from keyrung_provisioners.errors import NotOfferedError

_ED25519 = ALGORITHMS["Ed25519"]
# CKA_EC_PARAMS of an Edwards key is the curve's name or its OID (PKCS#11 3.1 section 6.3.5, RFC 8410 section 3).
_ED25519_NAME = b"\x13\x0cedwards25519"
_ED25519_OID = bytes.fromhex("06032b6570")
_ROW_OF_CURVE = {
    (KeyType.EC_EDWARDS, _ED25519_NAME): _ED25519,
    (KeyType.EC_EDWARDS, _ED25519_OID): _ED25519,
    **{
        (KeyType.EC, encode_named_curve_parameters(row.curve)): row
        for row in ALGORITHMS.values()
        if row.kty == "EC" and row.curve is not None
    },
}
_ROW_OF_BITS = {row.bits: row for row in ALGORITHMS.values() if row.kty == "RSA"}
# RSASSA-PSS with a salt as long as the hash (RFC 7518 section 3.5: 32 bytes for PS256).
_SIGN_PARAMETERS = {"RSA": (Mechanism.SHA256, MGF.SHA256, 32)}
_RSA_EXPONENT = (65537).to_bytes(3)


def row_of_pair(private: Any) -> Algorithm | None:
    """Return the algorithm of a private key in the token; None when it is none of ours."""
    kind = private[Attribute.KEY_TYPE]
    if kind in {KeyType.EC, KeyType.EC_EDWARDS}:
        return _ROW_OF_CURVE.get((kind, bytes(private[Attribute.EC_PARAMS])))
    if kind is KeyType.RSA:
        return _ROW_OF_BITS.get(int.from_bytes(private[Attribute.MODULUS]).bit_length())
    return None


def public_key_pem(public: Any, row: Algorithm) -> str:
    """Return the public half (PEM)."""
    if row.kty == "RSA":
        return encoding.public_pem_from_rsa(bytes(public[Attribute.MODULUS]), bytes(public[Attribute.PUBLIC_EXPONENT]))
    point = bytes(public[Attribute.EC_POINT])
    if row.kty == "OKP":
        return encoding.public_pem_from_ed25519_point(point)
    return encoding.public_pem_from_ec_point(point, row.curve or "")


def public_attributes(pem: str, row: Algorithm) -> dict[Attribute, Any]:
    """Return the attributes of a public key object for ``pem``."""
    if row.kty == "RSA":
        modulus, exponent = encoding.rsa_numbers(pem)
        return {
            Attribute.KEY_TYPE: KeyType.RSA,
            Attribute.MODULUS: modulus,
            Attribute.PUBLIC_EXPONENT: exponent,
        }
    return {
        Attribute.KEY_TYPE: key_type(row),
        Attribute.EC_PARAMS: _curve_parameters(row),
        Attribute.EC_POINT: encoding.ec_point(pem),
    }


def key_type(row: Algorithm) -> KeyType:
    """Return the CKK of the algorithm."""
    return KeyType[row.pkcs11_key_type]


def generate_pair(
    session: pkcs11.Session,
    row: Algorithm,
    *,
    private: Mapping[Attribute, Any],
    public: Mapping[Attribute, Any],
    claim_id: bytes,
    label: str,
) -> list[Any]:
    """Generate a pair in the token under the two templates and return its halves."""
    mechanism = generation(session, row)
    what: dict[str, Any] = {
        "mechanism": mechanism,
        "store": True,
        "id": claim_id,
        "label": label,
        "private_template": dict(private),
        "public_template": dict(public),
    }
    if row.kty == "RSA":
        what["public_template"][Attribute.PUBLIC_EXPONENT] = _RSA_EXPONENT
        return list(session.generate_keypair(KeyType.RSA, row.bits, **what))
    parameters = {Attribute.EC_PARAMS: _curve_parameters(row)}
    return list(session.create_domain_parameters(key_type(row), parameters, local=True).generate_keypair(**what))


def generation(session: pkcs11.Session, row: Algorithm) -> Mechanism:
    """Return the mechanism that generates such keys; raise `NotOfferedError` where the token has none."""
    mechanism = Mechanism[row.pkcs11_generate]
    if mechanism not in session.token.slot.get_mechanisms():
        raise NotOfferedError(
            f"the token has no CKM_{row.pkcs11_generate}, so it makes no {row.name} key",
            fix="choose another algorithm, or a token that has it",
            algorithm=row.name,
        )
    return mechanism


def sign(private: Any, row: Algorithm, data: bytes) -> bytes:
    """Return the signature over ``data`` in JOSE form; the hash is made here, for not every token hashes ECDSA."""
    return bytes(
        private.sign(
            encoding.digest(data, row.hash_name),
            mechanism=Mechanism[row.pkcs11_sign or ""],
            mechanism_param=_SIGN_PARAMETERS.get(row.kty),
        )
    )


def _curve_parameters(row: Algorithm) -> bytes:
    return _ED25519_NAME if row is _ED25519 else encode_named_curve_parameters(row.curve or "")
