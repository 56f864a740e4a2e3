"""The one DynamoDB table of the store, described once for who creates it, who may use it and who reads its stream.

Every item has a partition key and a sort key, both texts. DynamoDB removes it some time after `expires_at` (Unix
seconds). What is about a subject lies in one partition, so that one consistent read lists it; what is asked for by a
name of its own has a locator, which never changes, that names the subject.

| partition key        | sort key             | what                                          | removed after     |
| -------------------- | -------------------- | --------------------------------------------- | ----------------- |
| `mark#KIND#KEY`      | `mark`               | a thing that was used up                      | its time          |
| `uses#KEY`           | `uses`               | how often a thing was used                    | its time          |
| `counter#NAME`       | `counter`            | a counter that only moves forward             |                   |
| `challenge#HASH`     | `challenge`          | a challenge                                   | its end, and skew |
| `assertion#JTI_HASH` | `assertion`          | which credential earned an assertion          | its time          |
| `subject#ID`         | `credential#ID`      | a credential                                  |                   |
| `subject#ID`         | `ticket#HASH`        | an enrolment ticket                           | its end, and skew |
| `subject#ID`         | `failures#FACTOR`    | failures in a row                             |                   |
| `subject#ID`         | `KIND!guard#FACTOR`  | changes with each credential or ticket added  |                   |
| `credential#ID`      | `locator`            | whose credential it is                        |                   |
| `ticket#HASH`        | `locator`            | whose ticket it is                            | like the ticket   |
| `ticket-id#ID`       | `locator`            | whose ticket it is, and its hash              | like the ticket   |
| `policy`             | `accepted`           | the highest policy version accepted           |                   |
| `audit#SHARD`        | number, 16 digits    | a line of the audit log                       |                   |
| `audit-head#SHARD`   | `head`               | number and hash of the shard's last line      |                   |
"""

PARTITION_KEY = "pk"
SORT_KEY = "sk"
TTL_ATTRIBUTE = "expires_at"
# The archiver needs the new lines of the log, never an old image.
STREAM_VIEW = "NEW_IMAGE"
AUDIT_PARTITION = "audit#"
LINE_ATTRIBUTE = "line_bytes"
# Chains of the audit log. One chain takes one commit after the other, some dozens a second; sixteen about a thousand.
AUDIT_SHARDS = 16
# Each is opened by a record of its own before the first answer, a minute's work for so many.
MAX_AUDIT_SHARDS = 1024

KEY_TYPE = "S"  # of both keys
BILLING_MODE = "PAY_PER_REQUEST"

# What the verifier's role needs on the table (a transaction needs the rights of its parts). It deletes nothing.
VERIFIER_ACTIONS = frozenset(
    {
        "dynamodb:ConditionCheckItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
    }
)
# What an operator needs, who lists the credentials, tickets and failures of all subjects.
OPERATOR_ACTIONS = VERIFIER_ACTIONS | {"dynamodb:Scan"}


def shard_names(count: int) -> tuple[str, ...]:
    """Return the names of so many shards of the audit log; a table keeps the number that it began with."""
    return tuple(f"{number:02d}" for number in range(count))


def audit_key(shard: str, seq: int) -> tuple[str, str]:
    """Return the key of a line of the audit log."""
    return f"{AUDIT_PARTITION}{shard}", f"{seq:016d}"
