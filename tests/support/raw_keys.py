"""Keys made in a token by python-pkcs11 alone, around the back end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pkcs11
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType
from pkcs11.util.ec import decode_ec_private_key, decode_ec_public_key, encode_named_curve_parameters
from support.softhsm import SoftHsmToken

_GOOD = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}


@contextmanager
def raw_session(token: SoftHsmToken) -> Iterator[Any]:
    """Yield a session of python-pkcs11 itself; a login of this process is shared, and kept."""
    found = pkcs11.lib(str(token.module)).get_token(token_label=token.label)
    try:
        session = found.open(rw=True, user_pin=token.pin)
    except pkcs11.UserAlreadyLoggedIn:
        session = found.open(rw=True)
    with session:
        yield session


def generate_raw(
    session: Any, label: str, private: Mapping[Attribute, bool], *, key_id: bytes = b"foreign", curve: str = "secp256r1"
) -> None:
    """Generate a pair by the library alone."""
    parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
    session.create_domain_parameters(KeyType.EC, parameters, local=True).generate_keypair(
        store=True, label=label, id=key_id, private_template={**_GOOD, **private}
    )


def import_raw(session: Any, label: str) -> None:
    """Put a pair into the token that was made outside of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding = serialization.Encoding.DER
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    common = {Attribute.TOKEN: True, Attribute.LABEL: label, Attribute.ID: b"foreign"}
    session.create_object({**decode_ec_private_key(private), **_GOOD, **common, Attribute.PRIVATE: True})
    session.create_object({**decode_ec_public_key(public), **common})
