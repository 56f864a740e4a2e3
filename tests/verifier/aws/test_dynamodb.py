"""The store in DynamoDB keeps the contract of all stores, over moto's server in a thread of this process.

Requests are taken one after the other there, so the races show that our conditions and transactions say what they must;
that a transaction is atomic is DynamoDB's own promise. moto removes nothing by TTL: the test does, as late as it says.
"""

from collections.abc import Callable
from typing import Any

import pytest
from contract.store import Forget, StoreContract
from contract.store_subjects import SubjectsContract
from support.aws import TABLE, be_patient, make_table, patient_store, sdk_client

from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.store.protocol import Store


class TestDynamoDb(StoreContract, SubjectsContract):
    @pytest.fixture
    def reopen(self, moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
        be_patient(monkeypatch)
        make_table(moto)
        return lambda: patient_store(moto)

    @pytest.fixture
    def store(self, reopen: Callable[[], Store]) -> Store:
        return reopen()

    @pytest.fixture
    def table(self, moto: Endpoint, store: Store) -> Any:
        return sdk_client("dynamodb", moto)

    @pytest.fixture
    def forget(self, table: Any) -> Forget:
        def remove_expired(now_seconds: int) -> None:
            for item in table.scan(TableName=TABLE)["Items"]:
                if "expires_at" in item and int(item["expires_at"]["N"]) < now_seconds:
                    table.delete_item(TableName=TABLE, Key={name: item[name] for name in ("pk", "sk")})

        return remove_expired

    @pytest.fixture
    def remove_line(self, table: Any) -> Callable[[str, int], None]:
        def remove(shard: str, seq: int) -> None:
            key = {"pk": {"S": f"audit#{shard}"}, "sk": {"S": f"{seq:016d}"}}
            table.delete_item(TableName=TABLE, Key=key)

        return remove
