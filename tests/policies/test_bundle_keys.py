"""Bundles signed by P-384 and RSA keys: the algorithm is pinned to the key, and weak or odd keys open nothing."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from keyrung_policies.bundle import build_payload, open_bundle, sign_bundle
from keyrung_policies.bundle_keys import SIGNATURE_BYTES, key_algorithm, signature_fits
from keyrung_policies.compile import Compiled
from keyrung_policies.errors import BundleCorruptError, BundleSigningError, BundleUnknownSignerError
from keyrung_policies.jws import encode_base64url

_NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_P384 = ec.generate_private_key(ec.SECP384R1())
_RSA = rsa.generate_private_key(65537, 3072)
Sign = Callable[[bytes], bytes]


def _es384(data: bytes) -> bytes:
    r, s = decode_dss_signature(_P384.sign(data, ec.ECDSA(SHA384())))
    return r.to_bytes(48) + s.to_bytes(48)


def _ps256(data: bytes) -> bytes:
    return _RSA.sign(data, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())


def _ec_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    point = {name: encode_base64url(n.to_bytes(48)) for name, n in (("x", numbers.x), ("y", numbers.y))}
    return {"kty": "EC", "crv": "P-384", **point}


def _rsa_jwk(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    parts = {name: n.to_bytes((n.bit_length() + 7) // 8) for name, n in (("n", numbers.n), ("e", numbers.e))}
    return {"kty": "RSA", **{name: encode_base64url(data) for name, data in parts.items()}}


_KEYS: dict[str, tuple[Mapping[str, str], Sign]] = {
    "ES384": (_ec_jwk(_P384), _es384),
    "PS256": (_rsa_jwk(_RSA), _ps256),
}


def _payload(bank: Compiled) -> bytes:
    return build_payload(bank.policy, version=1, not_before=_NOW - _HOUR, expires_at=_NOW + _HOUR)


@pytest.mark.parametrize("algorithm", list(_KEYS))
def test_a_bundle_signed_by_the_key_opens_and_an_altered_one_does_not(bank: Compiled, algorithm: str) -> None:
    jwk, sign = _KEYS[algorithm]
    data = sign_bundle(_payload(bank), key_id="k", algorithm=algorithm, sign=sign)
    assert open_bundle(data, trusted_keys={"k": jwk}, now=_NOW).policy == bank.policy
    altered = sign_bundle(_payload(bank), key_id="k", algorithm=algorithm, sign=lambda text: sign(text + b"!"))
    with pytest.raises(BundleCorruptError):
        open_bundle(altered, trusted_keys={"k": jwk}, now=_NOW)


@pytest.mark.parametrize("stated", ["ES256", "Ed25519", "PS384", "RS256", "ES384", "PS256"])
@pytest.mark.parametrize("algorithm", list(_KEYS))
def test_the_algorithm_is_the_keys_whatever_is_stated(bank: Compiled, algorithm: str, stated: str) -> None:
    jwk, sign = _KEYS[algorithm]
    data = sign_bundle(_payload(bank), key_id="k", algorithm=algorithm, sign=sign)
    if stated != algorithm:
        assert key_algorithm({**jwk, "alg": stated}) is None
        with pytest.raises(BundleUnknownSignerError):
            open_bundle(data, trusted_keys={"k": {**jwk, "alg": stated}}, now=_NOW)
    else:
        assert open_bundle(data, trusted_keys={"k": {**jwk, "alg": stated}}, now=_NOW).key_id == "k"


def test_a_signature_of_another_form_is_not_signed_with() -> None:
    for algorithm, size in SIGNATURE_BYTES.items():
        with pytest.raises(BundleSigningError, match=str(size)):
            sign_bundle(b"{}", key_id="k", algorithm=algorithm, sign=lambda _text: b"DER")
    with pytest.raises(BundleSigningError, match="ES256, Ed25519, ES384, PS256"):
        sign_bundle(b"{}", key_id="k", algorithm="RS256", sign=_ps256)


def test_pss_with_another_salt_or_pkcs1_does_not_verify() -> None:
    jwk = _rsa_jwk(_RSA)
    assert signature_fits(jwk, signing_input=b"x", signature=_ps256(b"x"))
    long_salt = padding.PSS(padding.MGF1(SHA256()), padding.PSS.MAX_LENGTH)
    for scheme in (long_salt, padding.PKCS1v15()):
        assert not signature_fits(jwk, signing_input=b"x", signature=_RSA.sign(b"x", scheme, SHA256()))


def test_weak_and_odd_keys_verify_nothing() -> None:
    good, signature = _rsa_jwk(_RSA), _ps256(b"x")
    small = rsa.generate_private_key(65537, 2048)
    of_small = small.sign(b"x", padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    assert not signature_fits(_rsa_jwk(small), signing_input=b"x", signature=of_small)
    for change in ({"e": "AQ"}, {"e": "Aw"}, {"n": ""}, {"n": "AA" + good["n"]}, {"e": "AQAB="}):
        assert not signature_fits({**good, **change}, signing_input=b"x", signature=signature)
    curve = _ec_jwk(_P384)
    for change in ({"x": ""}, {"y": curve["x"]}, {"x": curve["x"][:-4]}):
        assert not signature_fits({**curve, **change}, signing_input=b"x", signature=_es384(b"x"))
    assert not signature_fits(curve, signing_input=b"x", signature=bytes(96))
    assert not signature_fits(curve, signing_input=b"x", signature=_es384(b"x") + b"\0")
