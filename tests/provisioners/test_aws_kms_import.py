"""Key import into KMS, which moto does not have: calls and answers of KMS's own shape, by botocore's Stubber.

The move of a whole key is shown over a double (`support/kms_import_double.py`); no real account was asked.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from support.escrow import Site, custodians, open_token
from support.key_transport import public_pem, receiver, wrapped_to
from support.kms import REGION, KmsManager, kms_client, kms_manager, moto_kms
from support.kms_import_double import add_key_import
from support.moving import Move
from support.softhsm import SoftHsmToken
from support.stores import spec, token_manager, verifies

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Custody, ImportOffer, KeySpec
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
    ProvisionerError,
)
from keyrung_provisioners.escrow.recovery import recover
from keyrung_provisioners.escrow.restoring import Scratch
from keyrung_provisioners.portability import check_copy
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import VaultUri

_ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_KEY_ID = _ARN.rpartition("/")[2]
_METADATA = {
    "KeyId": _KEY_ID,
    "Arn": _ARN,
    "KeyManager": "CUSTOMER",
    "KeySpec": "ECC_NIST_P256",
    "KeyState": "PendingImport",
    "KeyUsage": "SIGN_VERIFY",
    "MultiRegion": False,
    "Origin": "EXTERNAL",
}
_ENABLED = {**_METADATA, "KeyState": "Enabled", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
_DATA = b"a message"


@pytest.fixture
def declared() -> KeySpec:
    return replace(spec(VaultUri("awskms", REGION).key("policy-signing")), custody=Custody.COPIED)


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KmsManager, Stubber]]:
    with moto_kms(monkeypatch):  # for its credentials, and so that nothing can leave this process
        manager = kms_manager()
        with Stubber(manager._kms._client(REGION)) as stubber:  # type: ignore[attr-defined]
            yield manager, stubber
            stubber.assert_no_pending_responses()


def _tags(declared: KeySpec) -> list[dict[str, str]]:
    return [
        {"TagKey": "keyrung:claim", "TagValue": declared.claim_id.hex()},
        {"TagKey": "keyrung:purpose", "TagValue": "policy-signing"},
    ]


def _expect_offer(stubber: Stubber, declared: KeySpec, wrapping: str) -> None:
    stubber.add_client_error("describe_key", "NotFoundException")  # nothing under the alias
    stubber.add_response("list_aliases", {"Aliases": [], "Truncated": False})
    stubber.add_response("list_keys", {"Keys": [], "Truncated": False})
    asked = {
        "KeySpec": "ECC_NIST_P256",
        "KeyUsage": "SIGN_VERIFY",
        "Origin": "EXTERNAL",
        "MultiRegion": False,
        "Description": ANY,
        "Tags": _tags(declared),
    }
    once = {"RetryAttempts": 0}
    stubber.add_response("create_key", {"KeyMetadata": _METADATA, "ResponseMetadata": once}, asked)
    parameters = {
        "KeyId": _ARN,
        "ImportToken": b"an import token",
        "PublicKey": _der(receiver("KMS").offer("SHA-256").public_key_pem),
        "ParametersValidTo": 4_102_444_800,
    }
    asked_for = {"KeyId": _KEY_ID, "WrappingAlgorithm": wrapping, "WrappingKeySpec": "RSA_4096"}
    stubber.add_response("get_parameters_for_import", parameters, asked_for)


def _der(pem: str) -> bytes:
    return load_pem_public_key(pem.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("hash_name", "wrapping"),
    [("SHA-256", "RSA_AES_KEY_WRAP_SHA_256"), ("SHA-1", "RSA_AES_KEY_WRAP_SHA_1")],
)
def test_an_import_makes_an_external_key_with_the_claim_as_tag_and_the_alias_last(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], hash_name: str, wrapping: str
) -> None:
    manager, stubber = stubbed
    _expect_offer(stubber, declared, wrapping)
    offer = manager.offer(declared, hash_name=hash_name)
    key = ec.generate_private_key(ec.SECP256R1())
    wrapped = wrapped_to(offer, key)
    asked = {
        "KeyId": _KEY_ID,
        "ImportToken": b"an import token",
        "EncryptedKeyMaterial": wrapped,
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    stubber.add_response("import_key_material", {"KeyId": _ARN}, asked)
    stubber.add_response("create_alias", {}, {"AliasName": "alias/policy-signing", "TargetKeyId": _KEY_ID})
    stubber.add_response("describe_key", {"KeyMetadata": _ENABLED})
    stubber.add_response("list_resource_tags", {"Tags": _tags(declared), "Truncated": False})
    stubber.add_response("get_public_key", {"PublicKey": _der(public_pem(key))})

    received = manager.receive(declared, offer, wrapped)

    assert received.public_key_pem == public_pem(key)
    assert received.claim_id == declared.claim_id
    assert manager.deviations(declared, received) == []
    assert manager.deviations(replace(declared, custody=Custody.SOLE), received) == ["Origin"]


@pytest.mark.parametrize(
    "code",
    [
        "InvalidCiphertextException",
        "IncorrectKeyMaterialException",
        "InvalidImportTokenException",
        "ExpiredImportTokenException",
        "KMSInvalidStateException",
        "UnsupportedOperationException",
    ],
)
def test_material_that_kms_refuses_leaves_no_living_key(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], code: str
) -> None:
    manager, stubber = stubbed
    _expect_offer(stubber, declared, "RSA_AES_KEY_WRAP_SHA_256")
    offer = manager.offer(declared, hash_name="SHA-256")
    stubber.add_client_error("import_key_material", code)
    stubber.add_response("describe_key", {"KeyMetadata": _METADATA})
    stubber.add_response("schedule_key_deletion", {}, {"KeyId": _KEY_ID, "PendingWindowInDays": 7})
    with pytest.raises(KeyRefusedError, match=code):
        manager.receive(declared, offer, b"wrapped")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ThrottlingException", BackendUnavailableError),
        ("KMSInternalException", BackendUnavailableError),
        ("AccessDeniedException", BackendUnavailableError),
        ("NotFoundException", KeyMissingError),
    ],
)
def test_a_fault_of_the_service_during_an_import_is_one_clear_error_and_destroys_nothing(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], code: str, error: type[ProvisionerError]
) -> None:
    manager, stubber = stubbed
    _expect_offer(stubber, declared, "RSA_AES_KEY_WRAP_SHA_256")
    offer = manager.offer(declared, hash_name="SHA-256")
    for _ in range(5):  # botocore itself tries again what may pass
        stubber.add_client_error("import_key_material", code)
    with pytest.raises(error):
        manager.receive(declared, offer, b"wrapped")
    stubber._queue.clear()


@pytest.mark.parametrize("reference", ["", "no token", "id not/base64!", " dG9rZW4="])
def test_an_offer_that_kms_never_made_is_refused(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber], reference: str
) -> None:
    manager, _ = stubbed
    with pytest.raises(InvalidSettingError, match="none that KMS made"):
        manager.receive(declared, ImportOffer(public_key_pem="", hash_name="SHA-256", reference=reference), b"wrapped")


def test_a_disabled_key_is_not_renewed_and_a_missing_one_neither(
    declared: KeySpec, stubbed: tuple[KmsManager, Stubber]
) -> None:
    manager, stubber = stubbed
    symmetric = {**_METADATA, "Origin": "AWS_KMS", "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"}
    for state, error in (("Disabled", KeyRefusedError), ("PendingDeletion", KeyMissingError)):
        stubber.add_response("describe_key", {"KeyMetadata": {**symmetric, "KeyState": state}})
        with pytest.raises(error):
            manager.rotate(declared.uri)


def test_a_renewal_beyond_what_kms_allows_is_told(declared: KeySpec, stubbed: tuple[KmsManager, Stubber]) -> None:
    manager, stubber = stubbed
    symmetric = {**_ENABLED, "Origin": "AWS_KMS", "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"}
    stubber.add_response("describe_key", {"KeyMetadata": symmetric})
    stubber.add_client_error("rotate_key_on_demand", "LimitExceededException", expected_params={"KeyId": _KEY_ID})
    with pytest.raises(ProvisionerError, match="LimitExceededException"):
        manager.rotate(declared.uri)


class _CrashError(Exception):
    """The process ends here."""


@pytest.fixture
def portable(softhsm_token: SoftHsmToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    with moto_kms(monkeypatch):
        add_key_import(monkeypatch)
        yield Move(
            token=softhsm_token,
            settings={},
            inventory=SqliteInventory(tmp_path / "inventory.db"),
            copy=VaultUri("awskms", REGION).key("policy-signing-portable"),
            source=token_manager(softhsm_token),
            target=kms_manager(),
        )


@pytest.mark.parametrize("crash", [None, "copy", "copied", "locked"])
def test_a_key_of_a_token_is_copied_into_kms_once_and_signs_there_as_itself(portable: Move, crash: str | None) -> None:
    def reached(point: str) -> None:
        if point == crash:
            raise _CrashError

    if crash is not None:
        with pytest.raises(_CrashError):
            portable.provision(reached)
    row = portable.provision()
    assert (row.state, row.custody) == (KeyState.ACTIVE, Custody.COPIED)
    check_identity(row, portable.source)
    check_copy(row, portable.target)
    assert verifies(row.public_key_pem, _DATA, portable.target.sign(portable.copy, _DATA))
    assert len(kms_client().list_keys()["Keys"]) == 1
    portable.retire()
    assert _states() == ["PendingDeletion"]


def test_an_import_that_was_interrupted_is_taken_up_by_the_next_run(
    portable: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The KMS key and its alias are made by calls of their own."""

    def crash(*_: Any, **__: Any) -> None:
        raise _CrashError

    for at in ("tell", "put_alias"):
        with monkeypatch.context() as patch:
            if at == "tell":
                patch.setattr(portable.target._kms, "tell", crash)  # type: ignore[attr-defined]
            else:
                patch.setattr("keyrung_provisioners.backends.aws_kms.keys.put_alias", crash)
            with pytest.raises(_CrashError):
                portable.provision()
    portable.provision()
    assert _states() == ["Enabled"]


def test_an_alias_that_somebody_took_meanwhile_is_left_alone(portable: Move, declared: KeySpec) -> None:
    offer = portable.target.offer(declared, hash_name="SHA-256")
    standing = portable.target.create(spec(declared.uri))
    with pytest.raises(KeyConflictError):
        portable.target.receive(declared, offer, wrapped_to(offer, ec.generate_private_key(ec.SECP256R1())))
    assert portable.target.describe(declared.uri) == standing
    assert sorted(_states()) == ["Enabled", "PendingDeletion"]


def _states() -> list[str]:
    client = kms_client()
    keys = [client.describe_key(KeyId=entry["KeyId"])["KeyMetadata"] for entry in client.list_keys()["Keys"]]
    return [str(key["KeyState"]) for key in keys]


def test_new_keys_get_the_declared_key_policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = '{"Version": "2012-10-17", "Statement": []}'
    (tmp_path / "policy.json").write_text(policy)
    with moto_kms(monkeypatch):
        manager = kms_manager(awskmsKeyPolicy=f"file:{tmp_path / 'policy.json'}")
        seen: dict[str, Any] = {}
        client = manager._kms._client(REGION)  # type: ignore[attr-defined]
        client.meta.events.register("provide-client-params.kms.CreateKey", lambda params, **_: seen.update(params))
        manager.create(spec(VaultUri("awskms", REGION).key("policy-signing")))
    assert seen["Policy"] == policy


def test_an_escrowed_key_is_recovered_into_kms_and_signs_there_as_the_recorded_one(
    softhsm_token: SoftHsmToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = open_token(softhsm_token)
    site = Site(folder=tmp_path, token=softhsm_token, custodians=custodians(), manager=manager)
    row = site.provision()
    envelope = site.envelope(row)
    site.manager.destroy(row.claim.uri)
    target = VaultUri("awskms", REGION).key("audit-signing-restored")
    with moto_kms(monkeypatch):
        add_key_import(monkeypatch)
        for there in (False, True):
            done = recover(
                envelope,
                site.custodians.open(envelope, (1, 2)),
                kms_manager(),
                target,
                inventory=site.inventory,
                token_bytes=secrets.token_bytes,
                now=lambda: datetime.now(UTC),
                scratch=Scratch(manager=site.manager, vault=row.claim.uri.vault_uri),
                reached=lambda _step: None,
            )
            assert (done.already_there, done.recorded) == (there, not there)
            assert done.key.fingerprint == row.fingerprint
            assert done.key.attributes["Origin"] == "EXTERNAL"
        assert verifies(row.public_key_pem, _DATA, kms_manager().sign(target, _DATA))
        assert _states() == ["Enabled"]
