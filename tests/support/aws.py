"""Clients of ours and of boto3 that reach AWS as moto plays it; no real account is asked."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from keyrung_verifier.aws.client import CALL_SECONDS, AwsClient
from keyrung_verifier.aws.credentials import Credentials
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.protocols import Random
from keyrung_verifier.store.dynamodb import DynamoDbStore
from keyrung_verifier.store.dynamodb_table import BILLING_MODE, KEY_TYPE, PARTITION_KEY, SORT_KEY, STREAM_VIEW
from keyrung_verifier.system import SystemClock, SystemRandom

TABLE = "keyrung-store"
PATIENT_SECONDS = 60.0
REGION = "eu-central-1"
CREDENTIALS = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key="not-the-key-of-anybody")
_CLIENTS: list[AwsClient] = []


def url(endpoint: Endpoint) -> str:
    """Return the endpoint as the SDKs want it."""
    return f"{endpoint.scheme}://{endpoint.authority}"


def aws_client(
    service: str,
    endpoint: Endpoint,
    *,
    call_seconds: float = CALL_SECONDS,
    sleep: Callable[[float], None] = lambda _seconds: None,
) -> AwsClient:
    """Return a client of ours; it does not wait between tries unless told how."""
    made = AwsClient(
        service,
        region=REGION,
        endpoint=endpoint,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        random=SystemRandom(),
        call_seconds=call_seconds,
        sleep=sleep,
    )
    _CLIENTS.append(made)
    return made


def close_clients() -> None:
    """Close the connections of every client made so far."""
    while _CLIENTS:
        _CLIENTS.pop().close()


def sdk_client(service: str, endpoint: Endpoint) -> Any:
    """Return a client of boto3, to prepare and to look at what ours did."""
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=url(endpoint),
        aws_access_key_id=CREDENTIALS.access_key_id,
        aws_secret_access_key=CREDENTIALS.secret_access_key,
    )


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every try and every commit time for moto, which is slow with many parts and many clients."""
    monkeypatch.setattr("keyrung_verifier.aws.client.TRY_SECONDS", PATIENT_SECONDS)
    monkeypatch.setattr("keyrung_verifier.store.dynamodb.COMMIT_SECONDS", PATIENT_SECONDS)


def patient_store(endpoint: Endpoint, *, shards: int = 4) -> DynamoDbStore:
    """Return a store that waits for moto."""
    return dynamodb_store(
        endpoint, shards=shards, client=aws_client("dynamodb", endpoint, call_seconds=PATIENT_SECONDS)
    )


def make_table(endpoint: Endpoint) -> None:
    """Create the store's table as a deployment does."""
    keys = {PARTITION_KEY: "HASH", SORT_KEY: "RANGE"}
    sdk_client("dynamodb", endpoint).create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": KEY_TYPE} for name in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        BillingMode=BILLING_MODE,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": STREAM_VIEW},
    )


class StartAt(SystemRandom):
    """Random but for the chain that a process begins at."""

    def __init__(self, shard: int) -> None:
        self._shard = shard

    def token_bytes(self, size_bytes: int) -> bytes:
        return self._shard.to_bytes(4) if size_bytes == 4 else super().token_bytes(size_bytes)


def dynamodb_store(
    endpoint: Endpoint, *, shards: int = 4, random: Random | None = None, client: AwsClient | None = None
) -> DynamoDbStore:
    """Return a store on the table, as a process of its own would open it."""
    return DynamoDbStore(
        client or aws_client("dynamodb", endpoint), TABLE, random=random or SystemRandom(), shards=shards
    )
