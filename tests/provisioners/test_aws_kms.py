"""The AWS KMS back end where KMS is unlike other stores: crashes between two calls, states, delays."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from moto.kms.exceptions import NotFoundException
from moto.kms.models import KmsBackend
from support.kms import REGION, KmsManager, kms_client, kms_manager, moto_kms
from support.stores import spec

from keyrung_provisioners.api import Custody, KeySpec, Purpose
from keyrung_provisioners.backends.aws_kms import AwsKmsKeyManager
from keyrung_provisioners.errors import (
    InvalidSettingError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
)
from keyrung_provisioners.uri import VaultUri

_VAULT = VaultUri("awskms", REGION)


class _CrashError(Exception):
    """Stands for the end of the process."""


def _crash(*_args: Any, **_kwargs: Any) -> None:
    raise _CrashError


@pytest.fixture(autouse=True)
def _moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with moto_kms(monkeypatch):
        yield


@pytest.fixture
def declared() -> KeySpec:
    return spec(_VAULT.key(f"policy-signing-{secrets.token_hex(6)}"))


@pytest.fixture
def manager() -> KmsManager:
    return kms_manager()


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def patient(waited: list[float]) -> AwsKmsKeyManager:
    return AwsKmsKeyManager(sleep=waited.append)


def _key_ids() -> set[str]:
    return {key["KeyId"] for key in kms_client().list_keys()["Keys"]}


def _state(key_id: str) -> str:
    return str(kms_client().describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"])


def _interrupted(monkeypatch: pytest.MonkeyPatch, call: str, run: Callable[[], object]) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(KmsBackend, call, _crash)
        with pytest.raises(_CrashError):
            run()


def test_a_key_left_without_its_alias_is_found_by_its_claim_and_finished(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted(monkeypatch, "create_alias", lambda: manager.create(declared))
    left = _key_ids()
    with pytest.raises(KeyMissingError):
        manager.describe(declared.uri)
    made = kms_manager().create(declared)
    assert _key_ids() == left
    assert made.claim_id == declared.claim_id
    assert manager.deviations(declared, made) == []


def test_a_key_left_by_another_claim_or_already_named_is_not_taken(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted(monkeypatch, "create_alias", lambda: manager.create(spec(declared.uri)))
    manager.create(replace(declared, uri=_VAULT.key("named-otherwise")))
    others = _key_ids()
    made = manager.create(declared)
    assert str(made.attributes["Arn"]).rpartition("/")[2] not in others


def test_two_keys_left_by_one_claim_are_an_error_that_names_them(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr("keyrung_provisioners.backends.aws_kms.keys.left_over", lambda *_: None)
            _interrupted(monkeypatch, "create_alias", lambda: manager.create(declared))
    with pytest.raises(KeyConflictError) as caught:
        manager.create(declared)
    assert all(key_id in str(caught.value) for key_id in _key_ids())


def test_a_key_left_with_another_algorithm_is_not_taken(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted(monkeypatch, "create_alias", lambda: manager.create(declared))
    with pytest.raises(KeyConflictError):
        manager.create(replace(declared, algorithm="AES-256"))


def test_an_alias_taken_in_the_meantime_leaves_no_living_key(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = kms_client().create_key()["KeyMetadata"]["KeyId"]
    real = KmsBackend.create_key

    def create_key(*args: Any, **kwargs: Any) -> Any:
        kms_client().create_alias(AliasName=f"alias/{declared.uri.name}", TargetKeyId=theirs)
        return real(*args, **kwargs)

    monkeypatch.setattr(KmsBackend, "create_key", create_key)
    with pytest.raises(KeyConflictError, match="pulumi import"):
        manager.create(declared)
    assert {_state(key_id) for key_id in _key_ids() - {theirs}} == {"PendingDeletion"}


def test_a_creation_that_was_retried_leaves_one_living_key(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = KmsBackend.create_key, []

    def create_key(*args: Any, **kwargs: Any) -> Any:
        made = real(*args, **kwargs)
        calls.append(made.id)
        if len(calls) == 1:  # made, and its answer lost
            raise ConnectionError
        return made

    monkeypatch.setattr(KmsBackend, "create_key", create_key)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    monkeypatch.setattr("botocore.retries.standard.TransientRetryableChecker.is_retryable", lambda *_: len(calls) == 1)
    made = manager.create(declared)
    assert str(made.attributes["Arn"]).endswith(calls[-1])
    assert [_state(key_id) for key_id in calls] == ["PendingDeletion", "Enabled"]


def test_a_destroyed_key_is_scheduled_for_deletion_after_seven_days(declared: KeySpec, manager: KmsManager) -> None:
    arn = manager.create(declared).attributes["Arn"]
    manager.destroy(declared.uri)
    found = kms_client().describe_key(KeyId=arn)["KeyMetadata"]
    assert found["KeyState"] == "PendingDeletion"
    assert 6.9 < (found["DeletionDate"] - found["CreationDate"]).total_seconds() / 86400 < 7.1


def test_a_destruction_that_was_interrupted_leaves_no_living_key_and_is_finished(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = str(manager.create(declared).attributes["Arn"])
    _interrupted(monkeypatch, "delete_alias", lambda: manager.destroy(declared.uri))
    assert _state(arn) == "PendingDeletion"
    with pytest.raises(KeyMissingError, match="scheduled for deletion"):
        manager.describe(declared.uri)
    manager.destroy(declared.uri)
    assert kms_client().list_aliases(KeyId=arn)["Aliases"] == []


def test_a_disabled_key_is_refused_by_its_state(declared: KeySpec, manager: KmsManager) -> None:
    arn = manager.create(declared).attributes["Arn"]
    kms_client().disable_key(KeyId=str(arn).rpartition("/")[2])
    for operation in (manager.describe, lambda uri: manager.create(declared)):
        with pytest.raises(KeyRefusedError) as caught:
            operation(declared.uri)
        assert caught.value.fields["state"] == "Disabled"


def test_a_key_without_our_tag_carries_nobodys_claim(declared: KeySpec, manager: KmsManager) -> None:
    made = kms_client().create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", MultiRegion=False)
    kms_client().create_alias(AliasName=f"alias/{declared.uri.name}", TargetKeyId=made["KeyMetadata"]["KeyId"])
    assert manager.describe(declared.uri).claim_id == b""


def test_what_was_made_just_now_is_waited_for(
    declared: KeySpec, patient: AwsKmsKeyManager, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = KmsBackend.create_alias, iter(range(3))

    def create_alias(*args: Any, **kwargs: Any) -> Any:
        if next(refusals, None) is not None:
            raise NotFoundException("not visible yet")
        return real(*args, **kwargs)

    monkeypatch.setattr(KmsBackend, "create_alias", create_alias)
    assert patient.create(declared).claim_id == declared.claim_id
    assert waited == sorted(waited)
    assert len(waited) == 3


def test_what_never_becomes_visible_is_an_error_after_a_bounded_time(
    declared: KeySpec, patient: AwsKmsKeyManager, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_alias(*args: Any, **kwargs: Any) -> Any:
        raise NotFoundException("not visible")

    monkeypatch.setattr(KmsBackend, "create_alias", create_alias)
    with pytest.raises(KeyMissingError):
        patient.create(declared)
    assert 10 < sum(waited) < 30


def test_an_escrowed_key_is_refused_before_anything_is_made(declared: KeySpec, manager: KmsManager) -> None:
    with pytest.raises(KeyRefusedError, match="never leaves it"):
        manager.create(replace(declared, custody=Custody.ESCROWING))
    assert _key_ids() == set()


@pytest.mark.parametrize("size_bytes", [0, 4097])
def test_a_text_that_kms_does_not_seal_is_refused(manager: KmsManager, size_bytes: int) -> None:
    uri = _VAULT.key("credential-seed")
    manager.create(spec(uri, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED))
    with pytest.raises(KeyRefusedError, match="4096"):
        manager.seal(uri, bytes(size_bytes), context=b"c")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://kms.example.test",
        "ftp://localhost",
        "https://",
        "https://user@host",
        "https://host/path",
        "https://host?x=1",
        "https://host:port",
        "kms.example.test",
    ],
)
def test_an_endpoint_that_is_no_plain_https_address_is_refused(endpoint: str, declared: KeySpec) -> None:
    with pytest.raises(InvalidSettingError, match="awskmsEndpoint"):
        kms_manager(awskmsEndpoint=endpoint).sign(declared.uri, b"data")


def test_an_endpoint_of_the_environment_is_not_used(
    declared: KeySpec, manager: KmsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "https://127.0.0.1:9")
    assert manager.create(declared).uri == declared.uri  # by moto, which answers for AWS's own address only
