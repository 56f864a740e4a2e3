"""The keys that may sign bundles: those of every other JWS here, and P-384 and RSA-3072 for keys that guard policies.

Assertions and people's keys stay with the two algorithms of `jws`: they are many, short and checked by others' code.
"""

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP384R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from keyrung_policies import jws

_ES384, _PS256 = "ES384", "PS256"
# Length of a signature (RFC 7518 sections 3.4 and 3.5, RFC 8032 section 5.1.6); for PS256 that of the modulus.
SIGNATURE_BYTES: Mapping[str, int] = {
    **dict.fromkeys(jws.KEY_ALGORITHMS.values(), jws.SIGNATURE_BYTES),
    _ES384: 96,
    _PS256: 384,
}
_COORDINATE_BYTES = 48  # of P-384 (RFC 7518 section 6.2.1.2)
_RSA_BITS = 3072
_RSA_EXPONENT = 65537


def key_algorithm(jwk: Mapping[str, str]) -> str | None:
    """Return the one algorithm a public key signs bundles by, or None for a key that signs none."""
    if (jwk.get("kty"), jwk.get("crv")) == ("EC", "P-384"):
        algorithm = _ES384
    elif jwk.get("kty") == "RSA":
        algorithm = _PS256
    else:
        return jws.key_algorithm(jwk)
    # A key that states its algorithm must state this one (RFC 7517 section 4.4).
    return algorithm if jwk.get("alg", algorithm) == algorithm else None


def signature_fits(jwk: Mapping[str, str], *, signing_input: bytes, signature: bytes) -> bool:
    """Return whether the signature is one of this key over these bytes; the algorithm is the key's own."""
    algorithm = key_algorithm(jwk)
    if algorithm not in {_ES384, _PS256}:
        return jws.signature_fits(jwk, signing_input=signing_input, signature=signature)
    if len(signature) != SIGNATURE_BYTES[algorithm]:
        return False
    try:
        if algorithm == _ES384:
            half = len(signature) // 2
            pair = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
            numbers = EllipticCurvePublicNumbers(_coordinate(jwk, "x"), _coordinate(jwk, "y"), SECP384R1())
            numbers.public_key().verify(pair, signing_input, ECDSA(SHA384()))
        else:
            # The salt is as long as the hash (RFC 7518 section 3.5).
            pss = PSS(mgf=MGF1(SHA256()), salt_length=SHA256.digest_size)
            _rsa(jwk).public_key().verify(signature, signing_input, pss, SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _coordinate(jwk: Mapping[str, str], name: str) -> int:
    data = jws.decode_base64url(jwk.get(name, ""))
    if len(data) != _COORDINATE_BYTES:
        raise jws.MalformedError("a coordinate has the wrong length")
    return int.from_bytes(data)


def _rsa(jwk: Mapping[str, str]) -> RSAPublicNumbers:
    modulus, exponent = (jws.decode_base64url(jwk.get(name, "")) for name in ("n", "e"))
    numbers = RSAPublicNumbers(e=int.from_bytes(exponent), n=int.from_bytes(modulus))
    # Section 6.3.1.1 of RFC 7518: no leading zeros; and no key weaker than those that we make.
    if len(modulus) * 8 != _RSA_BITS or numbers.n.bit_length() != _RSA_BITS or numbers.e != _RSA_EXPONENT:
        raise jws.MalformedError("the RSA key is not one of 3072 bits with the exponent 65537")
    return numbers
