"""The table behind the inventory: consistent reads, transactions that commit whole, and a lock with a lease."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from keyrung_provisioners.errors import BackendMissingError, BackendUnavailableError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise BackendMissingError("the library behind dynamodb: is not installed", fix="install keyrung[aws]") from error

T = TypeVar("T")
Item = Mapping[str, str | int | bytes]
Write = Mapping[str, Any]  # one member of TransactItems

PARTITION_KEY, SORT_KEY = "pk", "sk"
_ATTEMPTS = 12  # each loses to another one that committed, so that somebody always goes on
_LONGEST_PAUSE_SECONDS = 1.0
_LEASE_SECONDS = 30.0  # a holder that died keeps others waiting for so long
_RENEW_SECONDS = 8.0
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 600.0  # the longest that `pulumi up` works on one key
_LOST = frozenset({"TransactionCanceledException", "ConditionalCheckFailedException", "TransactionConflictException"})


class LostRaceError(Exception):
    """Somebody else changed what was read; the change is to be made anew from what stands there now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of DynamoDB with the keys `pk` and `sk`."""

    name: str
    client: Any

    @classmethod
    def open(cls, name: str, region: str) -> "Table":
        """Return the table; nothing is asked yet. AWS's own variables say how it is reached, and as whom."""
        config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 5})
        return cls(name=name, client=boto3.session.Session().client("dynamodb", region_name=region, config=config))

    def get(self, partition: str, sort: str) -> Item | None:
        """Return one item, as it was last committed."""
        answer = self._ask("get_item", Key=_key(partition, sort), ConsistentRead=True)
        return _unpacked(answer["Item"]) if "Item" in answer else None

    def query(self, partition: str, *, after: str = "", last: bool = False) -> list[Item]:
        """Return the items of a partition behind ``after``, in order; or only the ``last`` one."""
        found: list[Item] = []
        page: dict[str, Any] = {}
        limits: dict[str, Any] = {"ScanIndexForward": False, "Limit": 1} if last else {}
        while True:
            answer = self._ask(
                "query",
                KeyConditionExpression="pk = :partition AND sk > :after" if after else "pk = :partition",
                ExpressionAttributeValues=_packed(
                    {":partition": partition, ":after": after} if after else {":partition": partition}
                ),
                ConsistentRead=True,
                **limits,
                **page,
            )
            found += [_unpacked(item) for item in answer["Items"]]
            if last or "LastEvaluatedKey" not in answer:
                return found
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def put(self, item: Item, *, only_if: str = "", **values: str | int) -> Write:
        """Return the write of a whole item, made only under the condition, whose ``:names`` are the values."""
        named = {"ExpressionAttributeValues": _packed({f":{name}": value for name, value in values.items()})}
        condition = {"ConditionExpression": only_if} if only_if else {}
        return {"Put": {"TableName": self.name, "Item": _packed(item), **condition, **(named if values else {})}}

    def put_new(self, item: Item) -> Write:
        """Return the write of an item that is not there yet."""
        return self.put(item, only_if="attribute_not_exists(pk)")

    def remove(self, partition: str, sort: str) -> Write:
        """Return the removal of an item."""
        return {"Delete": {"TableName": self.name, "Key": _key(partition, sort)}}

    def commit(self, change: Callable[[], tuple[Sequence[Write], T]]) -> T:
        """Commit the writes that ``change`` makes of what it reads, and return its answer.

        Each write has a condition by which it fails if another process was faster; then all is read anew.

        Raises:
            BackendUnavailableError: The table cannot be used, or others were faster every time.
        """
        for attempt in range(_ATTEMPTS):
            with suppress(LostRaceError):
                writes, answer = change()
                if writes:
                    self._ask("transact_write_items", TransactItems=list(writes), ClientRequestToken=_token())
                return answer
            time.sleep(secrets.randbelow(1000) / 1000 * min(0.02 * 2**attempt, _LONGEST_PAUSE_SECONDS))
        raise self._unavailable("others change it all the time")

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock ``name`` against every other process and thread; who dies loses it when its lease is over.

        No clock is compared with another: a waiter takes the lock from a holder that renewed nothing for the length of
        the lease on the waiter's own clock.
        """
        held = _Lease(self, name)
        held.acquire()
        try:
            yield
        finally:
            held.release()

    def write(self, item: Item, *, only_if: str, **values: str | int) -> bool:
        """Write one item under a condition and return whether that held."""
        try:
            self._ask("put_item", whole=self.put(item, only_if=only_if, **values)["Put"])
        except LostRaceError:
            return False
        return True

    def remove_if(self, partition: str, sort: str, *, only_if: str, **values: str | int) -> None:
        """Remove one item if the condition holds."""
        with suppress(LostRaceError):
            self._ask(
                "delete_item",
                Key=_key(partition, sort),
                ConditionExpression=only_if,
                ExpressionAttributeValues=_packed({f":{name}": value for name, value in values.items()}),
            )

    def _ask(self, operation: str, *, whole: Mapping[str, Any] | None = None, **parameters: Any) -> Any:
        if whole is not None:
            parameters = dict(whole)
        elif operation != "transact_write_items":
            parameters["TableName"] = self.name
        try:
            return getattr(self.client, operation)(**parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code in _LOST:
                raise LostRaceError from error
            raise self._unavailable(code) from error
        except BotoCoreError as error:
            raise self._unavailable(type(error).__name__) from error

    def _unavailable(self, why: str) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"the key inventory in the table {self.name} cannot be used ({why})",
            fix="check the table's name and region, the network and the AWS credentials",
        )


class _Lease:
    """A lock as an item whose `version` its holder renews."""

    def __init__(self, table: Table, name: str) -> None:
        self._table, self._name = table, name
        self._version = _token()
        self._done = threading.Event()
        self._lost = False
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Wait for the lock, and keep it from then on."""
        gives_up_at = time.monotonic() + _PATIENCE_SECONDS
        seen, seen_at = "", 0.0
        while not self._take(seen if seen and time.monotonic() - seen_at >= _LEASE_SECONDS else ""):
            there = self._table.get("locks", self._name)
            version = "" if there is None else str(there["version"])
            if version != seen:
                seen, seen_at = version, time.monotonic()
            if time.monotonic() >= gives_up_at:
                raise BackendUnavailableError(
                    f"another process holds {self._name} of the key inventory", fix="wait for it to end, or stop it"
                )
            time.sleep(_POLL_SECONDS)
        self._renewing.start()

    def release(self) -> None:
        """Give the lock up.

        Raises:
            BackendUnavailableError: It was lost meanwhile: this process stood still for longer than the lease.
        """
        self._done.set()
        self._renewing.join()
        self._table.remove_if("locks", self._name, only_if="version = :mine", mine=self._version)
        if self._lost:
            raise BackendUnavailableError(
                f"the lock {self._name} of the key inventory was lost on the way", fix="repeat the command"
            )

    def _take(self, expired: str) -> bool:
        """Take the lock if it is free, or from the holder whose version has ``expired``."""
        item = {"pk": "locks", "sk": self._name, "version": self._version}
        if expired:
            return self._table.write(item, only_if="version = :expired", expired=expired)
        return self._table.write(item, only_if="attribute_not_exists(pk)")

    def _renew(self) -> None:
        renewed_at = time.monotonic()
        while not self._done.wait(_RENEW_SECONDS):
            new, old = _token(), self._version
            try:
                item = {"pk": "locks", "sk": self._name, "version": new}
                kept = self._table.write(item, only_if="version = :old", old=old)
            except BackendUnavailableError:
                kept = time.monotonic() - renewed_at < _LEASE_SECONDS  # the next try may come in time
                new = old
            else:
                renewed_at = time.monotonic()
            if not kept:
                self._lost = True
                return
            self._version = new


def _token() -> str:
    return secrets.token_hex(16)


def _key(partition: str, sort: str) -> dict[str, Any]:
    return _packed({PARTITION_KEY: partition, SORT_KEY: sort})


def _packed(item: Item) -> dict[str, Any]:
    kinds: dict[type, Callable[[Any], dict[str, Any]]] = {
        str: lambda value: {"S": str(value)},
        int: lambda value: {"N": str(value)},
        bytes: lambda value: {"B": value},
    }
    return {name: kinds[next(kind for kind in kinds if isinstance(value, kind))](value) for name, value in item.items()}


def _unpacked(item: Mapping[str, Any]) -> Item:
    kinds: dict[str, Callable[[Any], str | int | bytes]] = {"S": str, "N": int, "B": bytes}
    return {name: kinds[kind](value) for name, typed in item.items() for kind, value in typed.items()}
