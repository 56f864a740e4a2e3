"""A double of KMS's key import, which moto does not have: it opens what is imported, as KMS's documentation says.

It plays in this process, in the shapes of KMS's own answers; those are held by `test_aws_kms_import.py`.
"""

import base64
import json
import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from moto.core.exceptions import JsonRESTError
from moto.kms.models import Key, KmsBackend
from moto.kms.responses import KmsResponse
from support.key_transport import Receiver, receiver, wrapped_to

_HASHES = {"RSA_AES_KEY_WRAP_SHA_1": "SHA-1", "RSA_AES_KEY_WRAP_SHA_256": "SHA-256"}


def add_key_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give moto's KMS GetParametersForImport and ImportKeyMaterial."""
    offers: dict[bytes, tuple[str, str]] = {}  # import token -> key id and hash
    real_create = KmsBackend.create_key

    def create_key(self: KmsBackend, *args: Any, **kwargs: Any) -> Key:
        key: Key = real_create(self, *args, **kwargs)
        if key.origin == "EXTERNAL":
            key.key_state, key.enabled = "PendingImport", False
        return key

    def get_parameters_for_import(self: KmsResponse) -> str:
        key = self.kms_backend.describe_key(self._get_param("KeyId"))
        _require(key.origin == "EXTERNAL", "UnsupportedOperationException")
        _require(self._get_param("WrappingKeySpec") == "RSA_4096", "ValidationException")
        token = secrets.token_bytes(64)
        offers[token] = (key.id, _HASHES[self._get_param("WrappingAlgorithm")])
        public = _kms().key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return json.dumps(
            {
                "KeyId": key.arn,
                "ImportToken": base64.b64encode(token).decode(),
                "PublicKey": base64.b64encode(public).decode(),
                "ParametersValidTo": 4_102_444_800,
            }
        )

    def import_key_material(self: KmsResponse) -> str:
        key = self.kms_backend.describe_key(self._get_param("KeyId"))
        offered = offers.get(base64.b64decode(self._get_param("ImportToken")))
        _require(offered is not None and offered[0] == key.id, "InvalidImportTokenException")
        wrapped = base64.b64decode(self._get_param("EncryptedKeyMaterial") or "")
        try:
            private = _kms().private_half(wrapped, offered[1] if offered else "")
        except Exception as error:
            raise JsonRESTError("InvalidCiphertextException", "the material does not open") from error
        made: Any = key.private_key  # moto makes one at once; KMS keeps a pending key empty
        _require(_kind(private) == _kind(made.private_key), "IncorrectKeyMaterialException")
        made.private_key = private
        key.key_state, key.enabled = "Enabled", True
        key.expiration_model = self._get_param("ExpirationModel")  # type: ignore[attr-defined]
        return json.dumps({"KeyId": key.arn})

    real_to_dict = Key.to_dict

    def to_dict(self: Key) -> dict[str, Any]:
        shown: dict[str, Any] = real_to_dict(self)
        if hasattr(self, "expiration_model"):
            shown["KeyMetadata"]["ExpirationModel"] = self.expiration_model
        return shown

    monkeypatch.setattr(KmsBackend, "create_key", create_key)
    monkeypatch.setattr(Key, "to_dict", to_dict)
    monkeypatch.setattr(KmsResponse, "get_parameters_for_import", get_parameters_for_import, raising=False)
    monkeypatch.setattr(KmsResponse, "import_key_material", import_key_material, raising=False)


def _kms() -> Receiver:
    """Return the wrapping key of KMS, which is not the one that tests wrap to as that of another store."""
    return receiver("KMS")


def _kind(key: Any) -> tuple[type, int]:
    return type(key), key.key_size


def _require(holds: bool, code: str) -> None:
    if not holds:
        raise JsonRESTError(code, "refused as KMS refuses it")


def import_foreign(client: Any, key_id: str) -> None:
    """Import a P-256 key that was made outside, without our code."""
    algorithm = "RSA_AES_KEY_WRAP_SHA_256"
    given = client.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_4096")
    material = wrapped_to(_kms().offer("SHA-256"), ec.generate_private_key(ec.SECP256R1()))
    client.import_key_material(
        KeyId=key_id,
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=material,
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
