"""A key may have the algorithms that whoever checks its signatures can verify, and no other."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.softhsm import SoftHsmToken
from support.stores import spec, token_manager

from keyrung_audit.errors import PublicKeyError
from keyrung_audit.keys import public_key_from_jwk
from keyrung_infra.key_algorithms import ALLOWED, algorithm_refusal
from keyrung_policies import bundle_keys
from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.uri import KeyUri
from keyrung_verifier.keys import public_members

_KEYS: dict[str, encoding.PublicKey] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()).public_key(),
    "P-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "RSA-3072": rsa.generate_private_key(65537, 3072).public_key(),
}
_PEM = {name: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for name, key in _KEYS.items()}


def _audit_reads(jwk: dict[str, str]) -> bool:
    try:
        public_key_from_jwk(jwk)
    except PublicKeyError:
        return False
    return True


@pytest.mark.parametrize("name", list(_KEYS))
def test_a_signing_key_is_allowed_exactly_what_its_readers_verify(name: str) -> None:
    jwk = encoding.public_jwk(_PEM[name])
    verifier = public_members(jwk) is not None
    assert (name in ALLOWED[Purpose.ASSERTION_SIGNING]) == verifier
    assert (name in ALLOWED[Purpose.USER_CREDENTIAL]) == verifier
    assert (name in ALLOWED[Purpose.POLICY_SIGNING]) == (bundle_keys.key_algorithm(jwk) == ALGORITHMS[name].jwa)
    assert (name in ALLOWED[Purpose.AUDIT_SIGNING]) == _audit_reads(jwk)


def test_every_purpose_has_its_algorithms_and_a_refusal_names_them() -> None:
    assert set(ALLOWED) == set(Purpose)
    for purpose, allowed in ALLOWED.items():
        for name in ALGORITHMS:
            refusal = algorithm_refusal(purpose, name)
            assert (refusal is None) == (name in allowed)
            assert refusal is None or all(other in refusal for other in allowed)


@pytest.mark.parametrize("name", ALLOWED[Purpose.POLICY_SIGNING])
def test_what_a_token_signs_for_policies_is_what_the_bundle_format_verifies(
    softhsm_token: SoftHsmToken, name: str
) -> None:
    uri = KeyUri("pkcs11", softhsm_token.label, "policy-signing-one")
    manager = token_manager(softhsm_token)
    jwk = encoding.public_jwk(manager.create(spec(uri, algorithm=name)).public_key_pem or "")
    signature = manager.sign(uri, b"a bundle")
    assert bundle_keys.signature_fits(jwk, signing_input=b"a bundle", signature=signature)
    assert not bundle_keys.signature_fits(jwk, signing_input=b"a bundle!", signature=signature)
