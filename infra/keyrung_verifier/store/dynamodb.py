"""The store in one DynamoDB table: each commit is one conditional transaction, audit lines included.

Reads are strongly consistent, and a condition decides, so a read that is out of date has no effect. A transaction
carries a token, so that one whose answer was lost is sent again without happening twice (DynamoDB knows a token for 10
minutes, a call ends after seconds). If no answer comes at all, what it would use up counts as used. What is over is
over by its own time; DynamoDB's removal of expired items is housekeeping, and may be late.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keyrung_verifier.aws.client import THROTTLED, AwsClient
from keyrung_verifier.aws.errors import AwsError, AwsRefusedError
from keyrung_verifier.errors import AuditTailError, StoreError, StoreUnavailableError
from keyrung_verifier.protocols import Random
from keyrung_verifier.store import dynamodb_items as rows
from keyrung_verifier.store import dynamodb_writes
from keyrung_verifier.store.dynamodb_plan import (
    NEW,
    Part,
    Plan,
    challenge_key,
    credential_locator,
    subject_key,
    ticket_locator,
)
from keyrung_verifier.store.dynamodb_shards import Lease, Shards
from keyrung_verifier.store.dynamodb_table import AUDIT_SHARDS, LINE_ATTRIBUTE, audit_key, shard_names
from keyrung_verifier.store.protocol import (
    NO_PREVIOUS,
    ConditionFailedError,
    Credential,
    FailureRow,
    RecordBuilder,
    StoredChallenge,
    Tail,
    Ticket,
    Write,
)

# A commit begins no new try after this; one try takes `CALL_SECONDS` of the client at most.
COMMIT_SECONDS = 5.0
# Tries of one commit that meets others on the same items or the same chain.
MAX_COMMIT_TRIES = 20
# "Service quotas" of DynamoDB: items of one transaction.
MAX_PARTS = 100
# A credential is an item with a guard, a locator and emptied failures, a ticket one with two locators; each has a line.
PARTS_OF_ONE = 5
TOKEN_BYTES = 16
# Locators that are remembered; each has some hundred bytes and saves a read.
MAX_LOCATORS = 10_000
_AGAIN = THROTTLED | {"TransactionConflict", "ProvisionedThroughputExceeded"}
_CONDITION = "ConditionalCheckFailed"
_PASSED = "None"


class DynamoDbStore:
    """A `Store` in a table as `dynamodb_table` describes it; safe for threads and processes.

    Args:
        client: DynamoDB in the table's region.
        table: The table's name.
        random: Names transactions, and spreads the chains over processes.
        shards: How many chains the audit log has; a table keeps the number that it began with.
    """

    def __init__(self, client: AwsClient, table: str, *, random: Random, shards: int = AUDIT_SHARDS) -> None:
        self._client = client
        self._table = table
        self._random = random
        self._shards = Shards(shard_names(shards), random=random)
        self._locators: dict[rows.Key, Mapping[str, Any]] = {}

    @property
    def audit_shards(self) -> Sequence[str]:
        """Return the names of the log's chains."""
        return self._shards.names

    @property
    def batch_limit(self) -> int:
        """Return how many credentials or tickets one commit takes, beside the end of the log."""
        return (MAX_PARTS - 1) // PARTS_OF_ONE

    def commit(self, writes: Sequence[Write], records: Sequence[RecordBuilder], *, shard: str | None = None) -> Tail:
        """Do all writes and append all records in one transaction, or nothing."""
        deadline_seconds = time.monotonic() + COMMIT_SECONDS
        for _ in self._client.backoff.tries(deadline_seconds=deadline_seconds, max_tries=MAX_COMMIT_TRIES):
            plan = Plan(self)
            for write in writes:
                dynamodb_writes.add(plan, write)
            with self._shards.lease(shard, wait_seconds=deadline_seconds - time.monotonic()) as lease:
                before, lease.tail = lease.tail or self.audit_tail(lease.shard), None
                tail, log = _appended(before, records)
                reasons = self._transact([*(part for part, _ in plan.parts.values()), *log])
                if not reasons:
                    lease.tail = tail
                    return tail
                if not log or reasons[-1] == _PASSED:
                    lease.tail = before
                _judge(reasons, plan, lease)
        raise StoreUnavailableError(f"the table {self._table} is changed by too many at once; try again")

    def challenge(self, challenge_hash: str) -> StoredChallenge | None:
        """Return a challenge, whatever its state."""
        found = self.item(challenge_key(challenge_hash))
        if found is None:
            return None
        return rows.challenge(found)

    def credentials(self, subject_id: str | None = None) -> Sequence[Credential]:
        """Return the credentials of a subject, or all, oldest first."""
        found = [rows.credential(item) for item in self._about(subject_id, "credential#")]
        for held in found:
            self._remember(credential_locator(held.credential_id), {"subject_id": held.subject_id})
        return sorted(found, key=lambda held: (held.created_at_seconds, held.credential_id))

    def credential(self, credential_id: str) -> Credential | None:
        """Return one credential, whatever its state."""
        owner = self.located(credential_locator(credential_id))
        found = owner and self.item((subject_key(owner["subject_id"]), f"credential#{credential_id}"))
        return rows.credential(found) if found else None

    def ticket(self, ticket_hash: str) -> Ticket | None:
        """Return one enrolment ticket."""
        owner = self.located(ticket_locator(ticket_hash))
        found = owner and self.item((subject_key(owner["subject_id"]), f"ticket#{ticket_hash}"))
        return rows.ticket(found) if found else None

    def tickets(self, subject_id: str | None = None) -> Sequence[Ticket]:
        """Return the enrolment tickets of a subject, or all, oldest first."""
        found = [rows.ticket(item) for item in self._about(subject_id, "ticket#")]
        return sorted(found, key=lambda kept: (kept.created_at_seconds, kept.ticket_id))

    def failure_rows(self, subject_id: str | None = None) -> Sequence[FailureRow]:
        """Return the failures in a row of a subject, or of all."""
        return [rows.failure_row(item) for item in self._about(subject_id, "failures#") if "failure_count" in item]

    def accepted_policy_version(self) -> int:
        """Return the highest policy version accepted so far, 0 before the first."""
        found = self.item(dynamodb_writes.POLICY_KEY)
        return 0 if found is None else int(found["policy_version"])

    def audit_line(self, shard: str, seq: int) -> bytes | None:
        """Return one line of the audit log."""
        found = self.item(audit_key(shard, seq))
        return None if found is None else bytes(found[LINE_ATTRIBUTE])

    def audit_tail(self, shard: str) -> Tail:
        """Return what a chain ends in after comparing it with the line itself."""
        head = self.item(_head_key(shard))
        if head is None:
            if self.audit_line(shard, 0) is not None and self.item(_head_key(shard)) is None:
                raise _altered(shard)
            return Tail(shard, -1, NO_PREVIOUS)
        tail = Tail(shard, head["chain_seq"], head["chain_hash"])
        line = self.audit_line(shard, tail.seq)
        if line is None or hashlib.sha256(line).hexdigest() != tail.hash:
            raise _altered(shard)
        return tail

    def housekeep(self, now_seconds: int) -> None:
        """Leave it to DynamoDB, which removes what is over by `expires_at`."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def item(self, key: rows.Key) -> Mapping[str, Any] | None:
        """Return an item as it stands now."""
        found = self._call("GetItem", Key=rows.encode_key(key), ConsistentRead=True).get("Item")
        return None if found is None else rows.decode_all(found)

    def items(self, partition: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        """Yield the items of a partition whose sort key begins so, in the order of their sort keys."""
        condition = "pk = :partition AND begins_with(sk, :prefix)"
        values = rows.encode_all({":partition": partition, ":prefix": prefix})
        return self._pages("Query", KeyConditionExpression=condition, ExpressionAttributeValues=values)

    def located(self, key: rows.Key) -> Mapping[str, Any] | None:
        """Return a locator, which never changes."""
        found = self._locators.get(key) or self.item(key)
        if found is not None:
            self._remember(key, found)
        return found

    def _about(self, subject_id: str | None, prefix: str) -> Iterator[Mapping[str, Any]]:
        if subject_id is not None:
            return self.items(subject_key(subject_id), prefix)
        values = rows.encode_all({":subjects": subject_key(""), ":prefix": prefix})
        condition = "begins_with(pk, :subjects) AND begins_with(sk, :prefix)"
        return self._pages("Scan", FilterExpression=condition, ExpressionAttributeValues=values)

    def _pages(self, operation: str, **members: object) -> Iterator[Mapping[str, Any]]:
        start: dict[str, object] = {}
        while True:
            page = self._call(operation, ConsistentRead=True, **members, **start)
            for item in page.get("Items", ()):
                yield rows.decode_all(item)
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _remember(self, key: rows.Key, locator: Mapping[str, Any]) -> None:
        if len(self._locators) >= MAX_LOCATORS:
            self._locators.clear()
        self._locators[key] = locator

    def _transact(self, parts: Sequence[Part]) -> Sequence[str]:
        """Return nothing once it happened, or why nothing did: a code for each part, `None` where it was not that."""
        if len(parts) > MAX_PARTS:
            raise StoreError(f"a commit has {len(parts)} parts and DynamoDB takes {MAX_PARTS}; commit fewer at once")
        if not parts:
            return ()
        try:
            self._client.call(
                "DynamoDB_20120810.TransactWriteItems",
                {
                    "TransactItems": [part.request(self._table) for part in parts],
                    "ClientRequestToken": self._random.token_bytes(TOKEN_BYTES).hex(),
                },
                json_version="1.0",
            )
        except AwsRefusedError as error:
            if error.code != "TransactionCanceledException":
                raise self._unavailable(error) from error
            return [str(reason.get("Code")) for reason in error.body["CancellationReasons"]]
        except AwsError as error:
            raise self._unavailable(error) from error
        return ()

    def _call(self, operation: str, **members: object) -> dict[str, Any]:
        members["TableName"] = self._table
        try:
            return self._client.call(f"DynamoDB_20120810.{operation}", members, json_version="1.0")
        except AwsError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: AwsError) -> StoreUnavailableError:
        return StoreUnavailableError(f"the table {self._table} cannot be used: {error}")


def _head_key(shard: str) -> rows.Key:
    return f"audit-head#{shard}", "head"


def _appended(tail: Tail, records: Sequence[RecordBuilder]) -> tuple[Tail, list[Part]]:
    """Return the chain's end behind the records, and the parts of the transaction that get there."""
    before, parts = tail, []
    for build in records:
        line, seq = build(tail), tail.seq + 1
        parts.append(Part(action="Put", key=audit_key(tail.shard, seq), condition=NEW, item={LINE_ATTRIBUTE: line}))
        tail = Tail(tail.shard, seq, hashlib.sha256(line).hexdigest())
    if not records:
        return tail, parts
    known: dict[str, rows.Plain] = {} if before.seq < 0 else {":before": before.seq, ":known": before.hash}
    head = Part(
        action="Update",
        key=_head_key(tail.shard),
        condition="chain_seq = :before AND chain_hash = :known" if known else NEW,
        change="SET chain_seq = :seq, chain_hash = :hash",
        values={":seq": tail.seq, ":hash": tail.hash, **known},
        guards=True,
    )
    return tail, [*parts, head]


def _judge(reasons: Sequence[str], plan: Plan, lease: Lease) -> None:
    """Raise why a transaction can not succeed; return where it may, planned anew.

    Raises:
        ConditionFailedError: The condition of a write does not hold.
        AuditTailError: There are lines behind the end of the log.
        StoreUnavailableError: DynamoDB refuses it for another reason.
    """
    planned = list(plan.parts.values())
    for code, (part, write) in zip(reasons, planned, strict=False):
        if code == _CONDITION and not part.guards:
            raise ConditionFailedError(write)
    others = set(reasons) - _AGAIN - {_PASSED, _CONDITION}
    if others:
        raise StoreUnavailableError(f"DynamoDB refuses the commit ({', '.join(sorted(others))}); check the table")
    log = reasons[len(planned) :]
    if log and log[-1] == _PASSED and _CONDITION in log:
        raise _altered(lease.shard)


def _altered(shard: str) -> AuditTailError:
    return AuditTailError(
        f"shard {shard} of the audit log does not end in what was written last; run `keyrung audit verify`"
    )
