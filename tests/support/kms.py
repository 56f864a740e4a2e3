"""AWS KMS as moto plays it, in this process: no real account is asked, and what moto gets wrong is put right here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import KmsBackend
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from support.stores import ReceivingManager, RotatingManager

from keyrung_provisioners.registry import open_manager

REGION = "eu-central-1"


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
    real_decrypt, real_encrypt = KmsBackend.decrypt, KmsBackend.encrypt

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

    monkeypatch.setattr(KmsBackend, "decrypt", decrypt)
    monkeypatch.setattr(KmsBackend, "encrypt", encrypt)
    monkeypatch.setattr(ECDSAPrivateKey, "sign", _sign_ecdsa_digest)
    monkeypatch.setattr(RSAPrivateKey, "sign", _sign_pss_digest)


# KMS signs a digest as it is (MessageType=DIGEST); moto hashes it again, and its PSS salts are longer than KMS's.
def _sign_ecdsa_digest(key: Any, message: bytes, signing_algorithm: str) -> bytes:
    kind = {"ECDSA_SHA_256": SHA256(), "ECDSA_SHA_384": SHA384()}[signing_algorithm]
    signature: bytes = key.private_key.sign(message, ec.ECDSA(Prehashed(kind)))
    return signature


def _sign_pss_digest(key: Any, message: bytes, signing_algorithm: str) -> bytes:
    kind = {"RSASSA_PSS_SHA_256": SHA256()}[signing_algorithm]
    pss = padding.PSS(padding.MGF1(kind), kind.digest_size)
    signature: bytes = key.private_key.sign(message, pss, Prehashed(kind))
    return signature


def kms_manager(**settings: str) -> KmsManager:
    """Return a new back end over whatever boto3 reaches."""
    return cast(KmsManager, open_manager("awskms", settings, root=Path("/")))


def kms_client() -> Any:
    """Return a client of boto3 itself."""
    return boto3.client("kms", region_name=REGION)
