"""Attacks by way of `pulumi import`: one key under two names, and a compromised one that comes back by another name."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.kms import REGION, KmsManager, kms_client, kms_manager, moto_kms
from support.stores import spec

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import KeyConflictError, KeyRefusedError
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri, VaultUri

_FIRST, _SECOND = (VaultUri("awskms", REGION).key(name) for name in ("policy-signing-one", "audit-signing-one"))


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[KmsManager]:
    """KMS with one key behind two aliases."""
    with moto_kms(monkeypatch):
        made = kms_manager()
        made.create(spec(_FIRST))
        key_id = kms_client().describe_key(KeyId=f"alias/{_FIRST.name}")["KeyMetadata"]["KeyId"]
        kms_client().create_alias(AliasName=f"alias/{_SECOND.name}", TargetKeyId=key_id)
        yield made


@pytest.fixture
def inventory(tmp_path: Path) -> SqliteInventory:
    return SqliteInventory(tmp_path / "inventory.db")


def _take_over(
    inventory: SqliteInventory, manager: KmsManager, uri: KeyUri, purpose: Purpose, *, owner: str | None = None
) -> KeyRow:
    provisioner = Provisioner(inventory=inventory, now=lambda: datetime.now(UTC), token_bytes=secrets.token_bytes)
    return provisioner.take_over(owner or f"urn:{uri.name}", uri, purpose, manager)


def test_one_key_gets_no_second_owner_and_purpose_by_a_second_name(
    inventory: SqliteInventory, manager: KmsManager
) -> None:
    row = _take_over(inventory, manager, _FIRST, Purpose.POLICY_SIGNING)
    with pytest.raises(KeyConflictError, match=r"is the key that belongs to urn:policy-signing-one"):
        _take_over(inventory, manager, _SECOND, Purpose.AUDIT_SIGNING)
    assert inventory.rows() == [row]
    assert _take_over(inventory, manager, _FIRST, Purpose.POLICY_SIGNING) == row


def test_a_compromised_key_does_not_come_back_by_another_name_not_even_once_its_row_is_destroyed(
    inventory: SqliteInventory, manager: KmsManager
) -> None:
    row = _take_over(inventory, manager, _FIRST, Purpose.POLICY_SIGNING)
    for state in (KeyState.COMPROMISED, KeyState.DESTROYED):
        row = inventory.transition(row, state, now=datetime.now(UTC))
    for uri in (_FIRST, _SECOND):
        with pytest.raises(KeyRefusedError, match=r"was marked compromised as .*, and such a key does not come back"):
            _take_over(inventory, manager, uri, Purpose.POLICY_SIGNING, owner="urn:new")
    assert inventory.rows() == [row]
