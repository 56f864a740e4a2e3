"""How tokens differ from PKCS#11 3.1, one row for each kind of token, as the token itself names its kind.

A token without a row is taken to follow the standard. Two things are the same for all and need no row: messages are
hashed outside the token, since not every token has CKM_ECDSA_SHA256, and an unwrap leaves out what python-pkcs11 would
ask of a private key by itself.
"""

from dataclasses import dataclass

import pkcs11
from pkcs11.mechanisms import Mechanism

# RFC 5649 section 6, second example: key-encryption key, 7 bytes of key data, the wrapped result.
KNOWN_KEY = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
KNOWN_DATA = bytes.fromhex("466f7250617369")
_WRAPPED = bytes.fromhex("afbeb0f07dfbf5419200f2ccb50bb24f")
# The same with a zero byte after the key data: any RFC 5649 opens it, and what is opened ends in zeros.
_WRAPPED_ZERO_FILLED = bytes.fromhex("0e13c7817f2e6681f64d911b7dd014d5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What differs.

    Attributes:
        kwp: The mechanisms that may be AES-KWP (RFC 5649). Number 0x210A is that in some modules and something else in
            others, so none is used before it has given `kwp_answer`.
        kwp_answer: What AES-KWP makes of `KNOWN_DATA` under `KNOWN_KEY`.
        oaep_hash: The strongest hash of RSA-OAEP and its mask.
        unwrappable: The algorithms whose private keys the token generates and never wraps.
        unwrapped_bytes: CKA_VALUE_LEN of a secret key that was unwrapped; None where that is its length.
        not_opened: What the token answers when a wrapped key or a sealed text does not open.
    """

    kwp: tuple[Mechanism, ...] = (Mechanism.AES_KEY_WRAP_KWP, Mechanism.AES_KEY_WRAP_PAD)
    kwp_answer: bytes = _WRAPPED
    oaep_hash: str = "SHA-256"
    unwrappable: frozenset[str] = frozenset()
    unwrapped_bytes: int | None = None
    not_opened: tuple[type[pkcs11.PKCS11Error], ...] = (
        pkcs11.WrappedKeyInvalid,
        pkcs11.WrappedKeyLenRange,
        pkcs11.EncryptedDataInvalid,
        pkcs11.EncryptedDataLenRange,
    )


_STANDARD = Quirks()
# (manufacturer, model) of CK_TOKEN_INFO, which cannot be configured away.
_TABLE: dict[tuple[str, str], Quirks] = {
    ("SoftHSM project", "SoftHSM v2"): Quirks(
        kwp=(Mechanism.AES_KEY_WRAP_PAD,),
        kwp_answer=_WRAPPED_ZERO_FILLED,
        oaep_hash="SHA-1",  # ArgumentsBad for any other
        unwrappable=frozenset({"Ed25519"}),  # KeyNotWrappable
        unwrapped_bytes=0,  # C_UnwrapKey forgets to set it
        not_opened=(*_STANDARD.not_opened, pkcs11.GeneralError),
    ),
}


def quirks(token: pkcs11.Token) -> Quirks:
    """Return the row of the token's kind."""
    return _TABLE.get((token.manufacturer_id, token.model), _STANDARD)
