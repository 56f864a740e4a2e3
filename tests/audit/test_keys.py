"""Public keys come as JWK or PEM, have the RFC 7638 name, and nothing but a public P-256 or Ed25519 key is taken."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import ECKey, OKPKey
from support.audit_log import AuditKey

from keyrung_audit import PublicKeyError, load_public_key, public_key_from_jwk

# RFC 8037 A.2 and A.3: an Ed25519 public key and its thumbprint.
RFC_8037_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def p256_jwk() -> dict[str, Any]:
    return dict(ECKey.generate_key("P-256", private=False).as_dict())


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    assert public_key_from_jwk(RFC_8037_JWK).key_id == RFC_8037_THUMBPRINT


@pytest.mark.parametrize("make", [lambda: ECKey.generate_key("P-256"), lambda: OKPKey.generate_key("Ed25519")])
def test_jwk_and_pem_give_the_same_key_as_another_library_names_it(make: Any) -> None:
    other = make()

    from_jwk = load_public_key(json.dumps(other.as_dict(private=False)).encode())
    from_pem = load_public_key(other.as_pem(private=False))

    assert from_jwk.key_id == from_pem.key_id == other.thumbprint()
    assert from_jwk.algorithm == from_pem.algorithm


def test_a_signature_verifies_and_an_altered_one_does_not(audit_key: AuditKey) -> None:
    signature = audit_key.sign(b"data")

    assert audit_key.public.verifies(signature, b"data")
    assert not audit_key.public.verifies(signature, b"other")
    assert not audit_key.public.verifies(signature + b"\x00", b"data")
    assert not audit_key.public.verifies(bytes(64), b"data")  # r = s = 0 (CVE-2022-21449)
    assert not audit_key.public.verifies(b"", b"data")


@pytest.mark.parametrize(
    "change",
    [
        {"d": "AAAA"},
        {"crv": "P-384"},
        {"kty": "oct"},
        {"alg": "ES384"},
        {"kid": "another"},
        {"x": "AAAA"},
        {"x": 7},
        {"x": "*"},
        {"y": "A" * 43},
    ],
)
def test_a_jwk_that_is_no_public_key_of_ours_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PublicKeyError):
        public_key_from_jwk(p256_jwk() | change)


def test_private_and_foreign_keys_in_pem_are_refused() -> None:
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    large_rsa = rsa.generate_private_key(65537, 2048).public_key()
    foreign = large_rsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    for data in (private, foreign, b"", b"[]", b"null", b"no key"):
        with pytest.raises(PublicKeyError):
            load_public_key(data)
