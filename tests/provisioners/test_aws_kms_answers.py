"""Answers of KMS's own shape, by botocore's Stubber: what is asked, and what becomes of DER and of refusals.

What moto answers is not what KMS answers: it hashes a digest again, and knows few of KMS's refusals.
"""

import hashlib
import secrets
from collections.abc import Iterator

import pytest
from botocore.stub import ANY, Stubber
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.kms import REGION, KmsManager, kms_manager, moto_kms
from support.stores import spec, verifies

from keyrung_provisioners.api import KeySpec
from keyrung_provisioners.errors import BackendUnavailableError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import VaultUri


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


def test_kms_is_asked_to_sign_the_hash_and_its_der_becomes_jose(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber]
) -> None:
    manager, stubber = stubbed
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for _ in range(64):  # one r or s in 128 is shorter than 32 bytes in DER
        data = secrets.token_bytes(20)
        hashed = hashlib.sha256(data).digest()
        signature = key.sign(hashed, ec.ECDSA(Prehashed(SHA256())))
        asked = {
            "KeyId": f"alias/{declared.uri.name}",
            "Message": hashed,
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        }
        stubber.add_response("sign", {"Signature": signature}, asked)
        assert verifies(pem, data, manager.sign(declared.uri, data))


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
    stubber.add_client_error("sign", code, "a message that may name an account or a principal")
    with pytest.raises(expected, match=said) as caught:
        manager.sign(declared.uri, b"data")
    assert "principal" not in str(caught.value)
