"""AWS KMS as moto plays it, in this process: no real account is asked, and what moto gets wrong is put right here."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from support.stores import ReceivingManager, RotatingManager

from keyrung_provisioners.registry import open_manager

REGION = "eu-central-1"
_MESSAGE_TYPE: ContextVar[str] = ContextVar("_MESSAGE_TYPE")  # of the Sign that a thread answers


class KmsManager(ReceivingManager, RotatingManager):
    """The back end over KMS."""


@contextmanager
def moto_kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every boto3 client of this process reach moto."""
    put_kms_right(monkeypatch)
    with mock_aws():
        yield


def put_kms_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have moto's KMS of this process, served or not, answer as KMS does where it would not."""
    real_decrypt, real_encrypt, real_sign = KmsBackend.decrypt, KmsBackend.encrypt, KmsResponse.sign

    def decrypt(*args: Any, **kwargs: Any) -> Any:
        # KMS answers IncorrectKeyException for a text of another key than the one that is named; moto denies access.
        try:
            return real_decrypt(*args, **kwargs)
        except AccessDeniedException as error:
            raise JsonRESTError("IncorrectKeyException", "the named key cannot decrypt the text") from error

    def encrypt(self: KmsBackend, key_id: str, *args: Any, **kwargs: Any) -> Any:
        # KMS looks at what the key is for; moto encrypts with the key material of any.
        if self.describe_key(key_id).key_usage != "ENCRYPT_DECRYPT":
            raise JsonRESTError("InvalidKeyUsageException", "the key is not for encryption")
        return real_encrypt(self, key_id, *args, **kwargs)

    def sign(self: KmsResponse) -> str:
        # KMS hashes a message and signs a digest as it is; moto reads the type of the message and drops it.
        _MESSAGE_TYPE.set(self._get_param("MessageType") or "RAW")
        return real_sign(self)

    monkeypatch.setattr(KmsBackend, "decrypt", decrypt)
    monkeypatch.setattr(KmsBackend, "encrypt", encrypt)
    monkeypatch.setattr(KmsResponse, "sign", sign)
    monkeypatch.setattr(ECDSAPrivateKey, "sign", _sign_ecdsa)
    monkeypatch.setattr(RSAPrivateKey, "sign", _sign_pss)


def _sign_ecdsa(key: Any, message: bytes, signing_algorithm: str) -> bytes:
    kind = {"ECDSA_SHA_256": SHA256(), "ECDSA_SHA_384": SHA384()}[signing_algorithm]
    signature: bytes = key.private_key.sign(message, ec.ECDSA(_hash_of_message(kind)))
    return signature


def _sign_pss(key: Any, message: bytes, signing_algorithm: str) -> bytes:
    kind = {"RSASSA_PSS_SHA_256": SHA256()}[signing_algorithm]
    pss = padding.PSS(padding.MGF1(kind), kind.digest_size)  # moto's salts are longer than KMS's
    signature: bytes = key.private_key.sign(message, pss, _hash_of_message(kind))
    return signature


def _hash_of_message(kind: HashAlgorithm) -> HashAlgorithm | Prehashed:
    return Prehashed(kind) if _MESSAGE_TYPE.get() == "DIGEST" else kind


def kms_manager(**settings: str) -> KmsManager:
    """Return a new back end over whatever boto3 reaches."""
    return cast(KmsManager, open_manager("awskms", settings, root=Path("/")))


def kms_client() -> Any:
    """Return a client of boto3 itself."""
    return boto3.client("kms", region_name=REGION)
