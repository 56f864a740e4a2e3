"""The table as it is described: what is in it, which rights its users need, and that a copy of it goes on."""

from pathlib import Path
from typing import Any

import pytest
from contract.store import CHALLENGE, MARK, holds, lines
from contract.store_subjects import credential
from support.aws import TABLE, aws_client, be_patient, dynamodb_store, make_table, patient_store, sdk_client
from support.verifier import World, at_once

from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.errors import CredentialError
from keyrung_verifier.store.dynamodb import DynamoDbStore
from keyrung_verifier.store.dynamodb_table import OPERATOR_ACTIONS, STREAM_VIEW, TTL_ATTRIBUTE, VERIFIER_ACTIONS
from keyrung_verifier.store.protocol import AddCredential, AdvanceCounter, KeepAssertion, RequireEarned
from keyrung_verifier.system import SystemRandom

PARTS = {"Put": "PutItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem", "Delete": "DeleteItem"}


@pytest.fixture
def used(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Gather the rights that calls of the table need."""
    make_table(moto)
    found: set[str] = set()
    real = AwsClient.call

    def call(self: AwsClient, target: str, members: Any, *, json_version: str) -> dict[str, Any]:
        operation = target.rpartition(".")[2]
        if operation == "TransactWriteItems":
            found.update(f"dynamodb:{PARTS[action]}" for part in members["TransactItems"] for action in part)
        else:
            found.add(f"dynamodb:{operation}")
        return real(self, target, members, json_version=json_version)

    monkeypatch.setattr(AwsClient, "call", call)
    return found


def test_what_a_verifier_does_needs_exactly_the_rights_of_its_role(
    used: set[str], moto: Endpoint, tmp_path: Path
) -> None:
    world = World(tmp_path, store=dynamodb_store(moto, shards=1))
    totp = world.enrol_totp()
    used.clear()
    assertion = world.step_up(totp)
    world.spend(assertion)
    world.spend(assertion)
    world.respond_code(world.challenge_id(), "000000")
    world.verifier.maintain()
    world.close()

    assert used == VERIFIER_ACTIONS


def test_what_an_operator_does_needs_to_scan_as_well(used: set[str], moto: Endpoint, tmp_path: Path) -> None:
    world = World(tmp_path, store=dynamodb_store(moto, shards=1))
    totp = world.enrol_totp()
    (order,) = world.tickets.issue([world.tickets.order("bob")])
    world.tickets.revoke(order.ticket_id)
    world.store.failure_rows()
    for _ in range(4):
        world.enrol_totp()
    with pytest.raises(CredentialError, match="too many"):
        world.enrol_totp()
    world.credentials.revoke(totp.credential_id)
    assert len(world.store.credentials()) == 5
    world.close()

    assert used == OPERATOR_ACTIONS
    assert "dynamodb:DeleteItem" not in OPERATOR_ACTIONS


def test_the_table_is_made_as_it_is_described(moto: Endpoint) -> None:
    make_table(moto)

    table = sdk_client("dynamodb", moto).describe_table(TableName=TABLE)["Table"]

    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": STREAM_VIEW}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_what_is_over_once_has_its_end_and_what_counts_for_good_has_none(moto: Endpoint) -> None:
    make_table(moto)
    store = dynamodb_store(moto)
    earned = KeepAssertion(jti_hash="j", credential_ids=("id-1",), keep_until_seconds=1000)
    assert holds(store, AddCredential(credential=credential(1)))
    assert holds(store, MARK, CHALLENGE, earned, AdvanceCounter(name="n", value=1))

    items = sdk_client("dynamodb", moto).scan(TableName=TABLE)["Items"]
    ends = {item["pk"]["S"].partition("#")[0]: item.get(TTL_ATTRIBUTE, {}).get("N") for item in items}

    assert ends == {
        "mark": "1000",
        "challenge": "1120",
        "assertion": "1000",
        "subject": None,
        "credential": None,
        "counter": None,
        "audit": None,
        "audit-head": None,
    }


def test_a_restored_copy_of_the_table_goes_on_where_it_ended(moto: Endpoint) -> None:
    make_table(moto)
    store = dynamodb_store(moto)
    earned = KeepAssertion(jti_hash="j", credential_ids=("id-1",), keep_until_seconds=1000)
    assert holds(store, AddCredential(credential=credential(1)))
    assert holds(store, MARK, CHALLENGE, earned)
    sdk_client("dynamodb", moto).restore_table_to_point_in_time(SourceTableName=TABLE, TargetTableName="restored")

    restored = DynamoDbStore(aws_client("dynamodb", moto), "restored", random=SystemRandom(), shards=4)

    assert lines(restored) == lines(store)
    assert restored.credentials() == store.credentials()
    assert not holds(restored, MARK)
    assert holds(restored, RequireEarned(jti_hash="j"))
    assert len(lines(restored)) == len(lines(store)) + 1


def test_of_20_clients_with_one_assertion_exactly_one_is_let_through(
    moto: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    make_table(moto)
    world = World(tmp_path, store=patient_store(moto, shards=1))
    assertion = world.step_up(world.enrol_totp())
    before = len(world.records("assertion.spent"))

    statuses = at_once(20, lambda _: world.spend(assertion).status)

    assert sorted(statuses) == [200, *[403] * 19]
    assert len(world.records("assertion.spent")) == before + 20
    world.close()
