"""DynamoDB throttled, slow, silent or contended: bounded tries, then a refusal with nothing granted."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.store import CHALLENGE, MARK, holds, line
from contract.store_subjects import credential
from support.aws import TABLE, StartAt, aws_client, dynamodb_store, make_table, sdk_client
from support.moto_server import FAULTS, Fault
from support.tcp_proxy import TcpProxy
from support.verifier import World

from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.errors import StoreError, StoreUnavailableError
from keyrung_verifier.store.dynamodb import DynamoDbStore
from keyrung_verifier.store.protocol import AddCredential, ConsumeChallenge, Store, UseCredential

THROUGHPUT = {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}


def cancelled(*codes: str) -> dict[str, Any]:
    return {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": [{"Code": code} for code in codes],
    }


@pytest.fixture
def store(moto: Endpoint) -> DynamoDbStore:
    make_table(moto)
    return dynamodb_store(moto)


@pytest.fixture
def world(moto: Endpoint, tmp_path: Path) -> Iterator[World]:
    """A whole verifier over the table; one chain, so that it signs its own checkpoints."""
    make_table(moto)
    made = World(tmp_path, store=dynamodb_store(moto, shards=1))
    yield made
    made.close()


@pytest.mark.parametrize(
    "members",
    [
        THROUGHPUT,
        cancelled("ThrottlingError", "None", "None"),
        cancelled("None", "ProvisionedThroughputExceeded", "None"),
        cancelled("TransactionConflict", "None", "None"),
        cancelled("None", "None", "ConditionalCheckFailed"),  # another process appended to the chain
        {"__type": "TransactionInProgressException"},
    ],
    ids=str,
)
def test_what_passes_is_tried_again_and_done_once(store: DynamoDbStore, members: dict[str, Any]) -> None:
    FAULTS.append(Fault("TransactWriteItems", members, times=4))

    assert holds(store, MARK)
    assert not holds(store, MARK)
    assert FAULTS[0].times == 0


@pytest.mark.parametrize("members", [THROUGHPUT, cancelled("ThrottlingError", "None", "None")], ids=str)
def test_a_table_that_throttles_on_is_given_up_after_a_bounded_number_of_tries(
    store: DynamoDbStore, members: dict[str, Any]
) -> None:
    FAULTS.append(Fault("TransactWriteItems", members, times=1000))

    with pytest.raises(StoreUnavailableError):
        store.commit([MARK], [line])

    assert 1000 - FAULTS[0].times <= 20
    FAULTS.clear()
    assert holds(store, MARK)


@pytest.mark.parametrize("code", ["ValidationError", "ItemCollectionSizeLimitExceeded"])
def test_a_transaction_that_can_never_succeed_is_not_tried_again(store: DynamoDbStore, code: str) -> None:
    FAULTS.append(Fault("TransactWriteItems", cancelled(code, "None", "None"), times=1000))

    with pytest.raises(StoreUnavailableError, match=code):
        store.commit([MARK], [line])

    assert FAULTS[0].times == 999


def test_while_the_table_throttles_a_step_up_grants_nothing_and_says_when_to_try_again(world: World) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    FAULTS.append(Fault("TransactWriteItems", THROUGHPUT))

    refused = world.respond_code(challenge_id, totp.code(world.clock.now()))

    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "assertion" not in refused.body
    FAULTS.clear()
    answer = world.respond_code(challenge_id, totp.code(world.clock.now()))
    assert answer.status == 200, answer.body
    assert world.spend(answer.body["assertion"]).status == 200
    assert world.spend(answer.body["assertion"]).status == 403


def test_a_use_whose_answer_was_lost_is_done_once_and_told(
    store: DynamoDbStore, proxy: TcpProxy, moto: Endpoint
) -> None:
    behind = dynamodb_store(moto, client=aws_client("dynamodb", proxy.endpoint))
    behind.commit([], [line], shard="00")  # from now on it knows the chain
    proxy.drop_answers = 1
    assert behind.commit([MARK], [line], shard="00").seq == 1

    assert proxy.drop_answers == 0
    assert not holds(store, MARK)
    assert store.audit_tail("00").seq == 1


def test_a_use_that_got_no_answer_at_all_counts_as_used(store: DynamoDbStore, proxy: TcpProxy, moto: Endpoint) -> None:
    behind = dynamodb_store(moto, client=aws_client("dynamodb", proxy.endpoint))
    assert holds(behind, CHALLENGE)  # from now on it knows its chain
    proxy.drop_answers = 1000

    with pytest.raises(StoreUnavailableError):
        behind.commit([ConsumeChallenge(challenge_hash="c")], [line])

    assert not holds(store, ConsumeChallenge(challenge_hash="c"))
    proxy.drop_answers = 0
    assert not holds(behind, ConsumeChallenge(challenge_hash="c"))


def test_a_table_that_hangs_costs_its_time_and_grants_nothing(
    proxy: TcpProxy, store: DynamoDbStore, moto: Endpoint
) -> None:
    behind = dynamodb_store(moto, client=aws_client("dynamodb", proxy.endpoint, call_seconds=0.5))
    proxy.hang = True
    began = time.monotonic()

    with pytest.raises(StoreUnavailableError):
        behind.commit([MARK], [line])

    assert time.monotonic() - began < 5
    proxy.hang = False
    assert holds(store, MARK)


def test_a_chain_that_another_process_went_on_with_is_left_to_it(store: DynamoDbStore, moto: Endpoint) -> None:
    ours, theirs = (dynamodb_store(moto, random=StartAt(0)) for _ in range(2))
    assert ours.commit([], [line])[:2] == ("00", 0)
    assert theirs.commit([], [line])[:2] == ("00", 1)

    assert ours.commit([], [line])[:2] == ("01", 0)
    assert [ours.commit([], [line])[:2] for _ in range(2)] == [("01", 1), ("01", 2)]


def test_a_commit_on_a_known_chain_is_one_request(store: DynamoDbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert holds(store, AddCredential(credential=credential(1)))
    store.credentials("alice")
    calls: list[str] = []
    real = store._client.call

    def call(target: str, *args: Any, **more: Any) -> dict[str, Any]:
        calls.append(target)
        return real(target, *args, **more)

    monkeypatch.setattr(store._client, "call", call)

    assert holds(store, MARK, UseCredential(credential_id="id-1", now_seconds=5))
    assert not holds(store, MARK)
    assert holds(store, CHALLENGE)  # a condition that fails says nothing against the chain

    assert calls == ["DynamoDB_20120810.TransactWriteItems"] * 3


def test_a_removal_before_its_time_refuses_and_one_after_it_changes_nothing(world: World, moto: Endpoint) -> None:
    totp, table = world.enrol_totp(), sdk_client("dynamodb", moto)
    early, late = world.challenge_id(), world.challenge_id()
    code = totp.code(world.clock.now())

    remove(table, "challenge#", lambda found: found == world.records("challenge.created")[0]["challenge"])
    assert world.respond_code(early, code).status == 403
    assert world.last_reason("challenge.answered") == "unknown"

    world.clock.advance(10**6)  # long over, and not removed
    assert world.respond_code(late, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "expired"


def remove(table: Any, prefix: str, chosen: Any) -> None:
    for item in table.scan(TableName=TABLE)["Items"]:
        partition = item["pk"]["S"]
        if partition.startswith(prefix) and chosen(partition.removeprefix(prefix)):
            table.delete_item(TableName=TABLE, Key={name: item[name] for name in ("pk", "sk")})


def test_more_than_a_transaction_takes_is_refused_whole(store: DynamoDbStore) -> None:
    many = [AddCredential(credential=credential(number, subject=f"s{number}")) for number in range(40)]

    with pytest.raises(StoreError, match="commit fewer at once"):
        store.commit(many, [line] * 40)

    assert store.credentials() == []


def test_a_table_that_is_not_there_is_one_clear_error(moto: Endpoint) -> None:
    missing: Store = dynamodb_store(moto)

    for ask in (
        lambda: missing.challenge("c"),
        lambda: missing.commit([MARK], [line]),
        missing.accepted_policy_version,
    ):
        with pytest.raises(StoreUnavailableError, match="keyrung-store cannot be used"):
            ask()
