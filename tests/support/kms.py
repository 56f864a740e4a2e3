"""AWS KMS as moto plays it, in this process: no real account is asked, and what moto gets wrong is put right here."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import KmsBackend
from support.stores import SealingManager, SigningManager, verifies

from keyrung_provisioners.registry import open_manager

REGION = "eu-central-1"


class KmsManager(SigningManager, SealingManager):
    """The back end over KMS."""


@contextmanager
def moto_kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every boto3 client of this process reach moto."""
    real_decrypt = KmsBackend.decrypt

    def decrypt(*args: Any, **kwargs: Any) -> Any:
        # KMS answers IncorrectKeyException for a text of another key than the one that is named; moto denies access.
        try:
            return real_decrypt(*args, **kwargs)
        except AccessDeniedException as error:
            raise JsonRESTError("IncorrectKeyException", "the named key cannot decrypt the text") from error

    monkeypatch.setattr(KmsBackend, "decrypt", decrypt)
    with mock_aws():
        yield


def verifies_by_moto(public_key_pem: str | None, data: bytes, signature: bytes) -> bool:
    """Return whether a signature that moto made is over ``data``: moto hashes again what came as MessageType=DIGEST."""
    return verifies(public_key_pem, hashlib.sha256(data).digest(), signature)


def kms_manager(**settings: str) -> KmsManager:
    """Return a new back end over whatever boto3 reaches."""
    return cast(KmsManager, open_manager("awskms", settings, root=Path("/")))


def kms_client() -> Any:
    """Return a client of boto3 itself."""
    return boto3.client("kms", region_name=REGION)
