"""The AWS KMS back end keeps the contract, over moto's KMS in this process: no real account was asked."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from contract.abilities import RotatingContract, SealingContract, SigningContract
from contract.conformance import ConformanceContract
from contract.core import CoreContract, Operation
from contract.portability import ReceivingContract
from support.key_transport import an_offer
from support.kms import REGION, KmsManager, kms_client, kms_manager, moto_kms
from support.kms_import_double import add_key_import, import_foreign
from support.stores import spec

from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Capability, KeyManager
from keyrung_provisioners.uri import KeyUri, VaultUri

_SECRET_ACCESS_KEY = "not-the-access-key-of-anybody"
_GOOD = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "Origin": "AWS_KMS", "MultiRegion": False}
_WEAKNESSES: dict[str, dict[str, Any]] = {
    "Origin": {"Origin": "EXTERNAL"},
    "MultiRegion": {"MultiRegion": True},
    "KeyUsage": {"KeyUsage": "KEY_AGREEMENT"},
    "KeySpec": {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"},
}


class TestAwsKms(
    CoreContract, ConformanceContract, SigningContract, SealingContract, RotatingContract, ReceivingContract
):
    proven = frozenset({Capability.SIGNING, Capability.SEALING, Capability.ROTATING, Capability.RECEIVING})
    operations: ClassVar[Mapping[str, Operation]] = {
        **CoreContract.operations,
        "sign": lambda manager, uri: manager.sign(uri, b"data"),  # type: ignore[attr-defined]
        "seal": lambda manager, uri: manager.seal(uri, b"data", context=b""),  # type: ignore[attr-defined]
        "seal_many": lambda manager, uri: manager.seal_many(uri, [(b"data", b"")]),  # type: ignore[attr-defined]
        "open": lambda manager, uri: manager.open(uri, "AAAA", context=b""),  # type: ignore[attr-defined]
        "rotate": lambda manager, uri: manager.rotate(uri),  # type: ignore[attr-defined]
        "offer": lambda manager, uri: manager.offer(spec(uri), hash_name="SHA-256"),  # type: ignore[attr-defined]
        "receive": lambda manager, uri: manager.receive(spec(uri), an_offer(), b"data"),  # type: ignore[attr-defined]
    }

    @pytest.fixture(autouse=True)
    def _moto(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with moto_kms(monkeypatch):
            add_key_import(monkeypatch)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _SECRET_ACCESS_KEY)
            yield

    @pytest.fixture(params=[name for name in ALGORITHMS if name != "Ed25519"])  # which moto's KMS does not have
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def reopen(self) -> Callable[[], KmsManager]:
        return kms_manager

    @pytest.fixture
    def vault(self) -> VaultUri:
        return VaultUri("awskms", REGION)

    @pytest.fixture
    def empty_vault(self, vault: VaultUri) -> tuple[KeyManager, VaultUri, bool]:
        return kms_manager(), vault, False

    @pytest.fixture
    def make_foreign(self) -> Callable[[str], None]:
        def make(name: str) -> None:
            client = kms_client()
            key = client.create_key(**_GOOD)["KeyMetadata"]["KeyId"]
            client.create_alias(AliasName=f"alias/{name}", TargetKeyId=key)

        return make

    @pytest.fixture(params=list(_WEAKNESSES))
    def weak(self, request: pytest.FixtureRequest, uri: KeyUri) -> tuple[KeyUri, str]:
        client = kms_client()
        made = client.create_key(**_GOOD | _WEAKNESSES[request.param])
        if request.param == "Origin":
            import_foreign(client, made["KeyMetadata"]["KeyId"])
        client.create_alias(AliasName=f"alias/{uri.name}", TargetKeyId=made["KeyMetadata"]["KeyId"])
        return uri, request.param

    @pytest.fixture(params=["nobody listens", "no TLS", "no credentials"])
    def unusable(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[KeyManager, frozenset[str]]:
        if request.param == "nobody listens":
            monkeypatch.setattr("keyrung_provisioners.backends.aws_kms.connection._ATTEMPTS", 1)
            return kms_manager(awskmsEndpoint="https://127.0.0.1:9"), frozenset()
        if request.param == "no TLS":
            return kms_manager(awskmsEndpoint="http://kms.example.test"), frozenset()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        return kms_manager(), frozenset()

    @pytest.fixture
    def hidden(self) -> dict[str, bytes]:
        return {"secret access key": _SECRET_ACCESS_KEY.encode()}
