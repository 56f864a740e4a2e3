"""Answers of KMS's own shape, by botocore's Stubber: what is asked, and what becomes of DER and of refusals.

What moto answers is not what KMS answers: it hashes a digest again, and knows few of KMS's refusals.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from botocore.stub import ANY, Stubber
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.kms import REGION, KmsManager, kms_manager, moto_kms
from support.stores import spec

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import KeySpec
from keyrung_provisioners.errors import BackendUnavailableError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import VaultUri

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_KEYS: dict[str, Callable[[], SigningKey]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
}


@pytest.fixture
def declared() -> KeySpec:
    return spec(VaultUri("awskms", REGION).key("policy-signing"))


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KmsManager, Stubber]]:
    with moto_kms(monkeypatch):  # for its credentials, and so that nothing can leave this process
        manager = kms_manager()
        client = manager._kms._client(REGION)  # type: ignore[attr-defined]
        with Stubber(client) as stubber:
            yield manager, stubber


def _is_described(stubber: Stubber, declared: KeySpec, key_spec: str) -> None:
    metadata = {
        **dict.fromkeys(("Arn", "KeyId"), "arn:aws:kms:eu-central-1:123456789012:key/1"),
        "KeyManager": "CUSTOMER",
        "KeySpec": key_spec,
        "KeyState": "Enabled",
        "KeyUsage": "SIGN_VERIFY",
        "MultiRegion": False,
        "Origin": "AWS_KMS",
    }
    stubber.add_response("describe_key", {"KeyMetadata": metadata}, {"KeyId": f"alias/{declared.uri.name}"})


def _asked_to_sign(declared: KeySpec, message: bytes) -> dict[str, object]:
    row = ALGORITHMS[declared.algorithm]
    return {
        "KeyId": f"alias/{declared.uri.name}",
        "Message": message if row.hash_name is None else encoding.digest(message, row.hash_name),
        "MessageType": "RAW" if row.hash_name is None else "DIGEST",
        "SigningAlgorithm": row.kms_signing,
    }


def _public_pem(key: SigningKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _signed_as_kms_does(key: SigningKey, message: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size), SHA256())
    return key.sign(message, ec.ECDSA(SHA384() if key.key_size == 384 else SHA256()))


@pytest.mark.parametrize("name", list(_KEYS))
def test_kms_is_asked_to_sign_the_hash_or_the_message_and_its_answer_becomes_jose(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], name: str
) -> None:
    (manager, stubber), key = stubbed, _KEYS[name]()
    declared = replace(declared, algorithm=name)
    _is_described(stubber, declared, ALGORITHMS[name].kms)
    for _ in range(64):  # one r or s in 128 is shorter in DER
        data = secrets.token_bytes(20)
        answer = {"Signature": _signed_as_kms_does(key, data)}
        stubber.add_response("sign", answer, _asked_to_sign(declared, data))
        signature = manager.sign(declared.uri, data)
        assert encoding.verifies(_public_pem(key), data, signature)
        assert len(signature) == ALGORITHMS[name].signature_bytes


def test_an_alias_that_moved_to_a_key_of_another_algorithm_is_looked_at_again(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber]
) -> None:
    manager, stubber = stubbed
    first, second = _KEYS["P-256"](), _KEYS["P-384"]()
    _is_described(stubber, declared, "ECC_NIST_P256")
    answer = {"Signature": _signed_as_kms_does(first, b"data")}
    stubber.add_response("sign", answer, _asked_to_sign(declared, b"data"))
    assert encoding.verifies(_public_pem(first), b"data", manager.sign(declared.uri, b"data"))

    stubber.add_client_error("sign", "ValidationException", expected_params=_asked_to_sign(declared, b"data"))
    moved = replace(declared, algorithm="P-384")
    _is_described(stubber, moved, "ECC_NIST_P384")
    answer = {"Signature": _signed_as_kms_does(second, b"data")}
    stubber.add_response("sign", answer, _asked_to_sign(moved, b"data"))
    assert encoding.verifies(_public_pem(second), b"data", manager.sign(declared.uri, b"data"))


def test_the_context_reaches_cloudtrail_only_as_a_hash(declared: KeySpec, stubbed: tuple[KmsManager, Stubber]) -> None:
    manager, stubber = stubbed
    asked = {
        "KeyId": ANY,
        "Plaintext": b"seed",
        "EncryptionContext": {"keyrung": hashlib.sha256(b"person 1").hexdigest()},
    }
    stubber.add_response("encrypt", {"CiphertextBlob": b"sealed"}, asked)
    assert manager.seal(declared.uri, b"seed", context=b"person 1") == "c2VhbGVk"


@pytest.mark.parametrize("signature", [b"", b"no DER", bytes(64), ec.generate_private_key(ec.SECP384R1())])
def test_a_signature_that_is_none_of_its_curve_is_no_answer(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], signature: bytes | ec.EllipticCurvePrivateKey
) -> None:
    manager, stubber = stubbed
    if not isinstance(signature, bytes):
        signature = signature.sign(b"data", ec.ECDSA(SHA256()))
    _is_described(stubber, declared, "ECC_NIST_P256")
    stubber.add_response("sign", {"Signature": signature})
    with pytest.raises(BackendUnavailableError, match="understood"):
        manager.sign(declared.uri, b"data")


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        ("NotFoundException", KeyMissingError, "holds no"),
        ("DisabledException", KeyRefusedError, "DisabledException"),
        ("KMSInvalidStateException", KeyRefusedError, "KMSInvalidStateException"),
        ("IncorrectKeyException", KeyRefusedError, "IncorrectKeyException"),
        ("AccessDeniedException", BackendUnavailableError, "denies sign"),
        ("ExpiredTokenException", BackendUnavailableError, "credentials"),
        ("UnrecognizedClientException", BackendUnavailableError, "credentials"),
        ("SomethingNewException", BackendUnavailableError, "SomethingNewException"),
    ],
)
def test_each_refusal_of_kms_is_one_clear_error(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], code: str, expected: type[Exception], said: str
) -> None:
    manager, stubber = stubbed
    _is_described(stubber, declared, "ECC_NIST_P256")
    stubber.add_client_error("sign", code, "a message that may name an account or a principal")
    with pytest.raises(expected, match=said) as caught:
        manager.sign(declared.uri, b"data")
    assert "principal" not in str(caught.value)
