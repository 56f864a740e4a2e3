"""Public keys as JWKs: their required members, their RFC 7638 name, and the form in which they are published."""

import hashlib
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keyrung_policies import jws
from keyrung_policies.canonical import canonical_bytes
from keyrung_verifier.errors import StrictFormError
from keyrung_verifier.strict import decode_base64url

# The members that make the key and its thumbprint (RFC 7638 section 3.2, RFC 8037 section 2).
REQUIRED_MEMBERS: Mapping[str, tuple[str, ...]] = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
# The y-coordinates (RFC 8032 section 5.1.2, little-endian) of Ed25519's points of small order, 0 and 1 also as p and
# p + 1: under such a key a signature that nobody made verifies for any text. They are derived again in the tests.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
_SIGN_BIT = 0x80
# States of a key whose earlier signatures still count (NIST SP 800-57 part 1, section 7).
ACCEPTED_STATES = frozenset({"active", "deactivated"})


def public_members(jwk: Mapping[str, str]) -> dict[str, str] | None:
    """Return exactly the required members of a public key, or None for what is no valid key of ours.

    A private member makes it invalid: whoever passes one has published the key.
    """
    names = REQUIRED_MEMBERS.get(jwk.get("kty", ""), ())
    if "d" in jwk or jws.key_algorithm(jwk) is None or any(not isinstance(jwk.get(name), str) for name in names):
        return None
    members = {name: jwk[name] for name in names}
    return members if _is_good_point(members) else None


def thumbprint(members: Mapping[str, str]) -> str:
    """Return the RFC 7638 thumbprint of a key's required members."""
    names = REQUIRED_MEMBERS[members["kty"]]
    text = canonical_bytes({name: members[name] for name in names})
    return jws.encode_base64url(hashlib.sha256(text).digest())


def published(jwk: Mapping[str, str], *, key_id: str, algorithm: str) -> dict[str, str]:
    """Return the key as it stands in a key set (RFC 7517 section 4)."""
    names = REQUIRED_MEMBERS[jwk["kty"]]
    return {**{name: jwk[name] for name in names}, "kid": key_id, "alg": algorithm, "use": "sig"}


def _is_good_point(members: Mapping[str, str]) -> bool:
    try:
        x = decode_base64url(members["x"], size_bytes=jws.COORDINATE_BYTES)
        if members["kty"] == "OKP":
            if x[:-1] + bytes([x[-1] & ~_SIGN_BIT]) in _SMALL_ORDER:
                return False
            Ed25519PublicKey.from_public_bytes(x)
        else:
            y = decode_base64url(members["y"], size_bytes=jws.COORDINATE_BYTES)
            # Refuses a point that is not on the curve (SP 800-56A section 5.6.2.3.3).
            EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1()).public_key()
    except (StrictFormError, ValueError):
        return False
    return True
