"""What the verifier asks of a store: a few reads, and one commit that takes conditions, changes and audit records.

A commit is a list of conditional writes and the records that tell of them: all happen, durably, or nothing does.
Lists instead of an open transaction, because that is what every engine has, and because no caller can hold a lock
while it talks to a key store.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from keyrung_verifier.errors import StoreError

# What `prev` says in the first record of a chain.
NO_PREVIOUS = "0" * 64


class Tail(NamedTuple):
    """What one chain of the audit log ends in; before its first record `seq` is -1 and `hash` is `NO_PREVIOUS`."""

    shard: str
    seq: int
    hash: str


# Given what the chain ends in, returns the line to append behind it.
RecordBuilder: TypeAlias = Callable[[Tail], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A factor that a subject holds; times are Unix seconds."""

    credential_id: str
    subject_id: str
    factor: str
    sealed_seed: str | None = field(default=None, repr=False)
    public_jwk: Mapping[str, str] | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    created_at_seconds: int
    revoked_at_seconds: int | None = None
    last_used_at_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The right of a subject to enrol one factor, once, known by the hash of its secret; times are Unix seconds."""

    ticket_id: str
    ticket_hash: str
    subject_id: str
    factor: str
    created_at_seconds: int
    expires_at_seconds: int
    redeemed_at_seconds: int | None = None
    revoked_at_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """A right answer to a challenge that one answer alone does not meet.

    Attributes:
        name: How it was answered; a challenge keeps one answer of each name.
        factors: The policy's factors that it proves.
        amr: What was done (RFC 8176).
        at_seconds: When, in Unix seconds.
    """

    name: str
    factors: tuple[str, ...]
    credential_id: str
    amr: tuple[str, ...]
    at_seconds: int


class _Kind(Struct, frozen=True, kw_only=True):
    """A kind of write; a Struct, since twenty dataclasses cost a seventh of the imports of a cold function."""


class ConsumeOnce(_Kind, frozen=True, kw_only=True):
    """Uses up a thing; fails when it was used before. The mark may be forgotten after `keep_until_seconds`."""

    kind: str
    key: str
    keep_until_seconds: int


class SpendCounted(_Kind, frozen=True, kw_only=True):
    """Uses a thing once more; fails when that was done `limit` times. The count is kept until `keep_until_seconds`."""

    key: str
    limit: int
    keep_until_seconds: int


class AdvanceCounter(_Kind, frozen=True, kw_only=True):
    """Moves a counter forward; fails when it stands at the value or beyond."""

    name: str
    value: int


class CountFailure(_Kind, frozen=True, kw_only=True):
    """Counts a failure in a row of a subject with a factor; fails while the factor is locked or waiting."""

    subject_id: str
    factor: str
    now_seconds: int


class ClearFailures(_Kind, frozen=True, kw_only=True):
    """Ends the row of failures after a success; fails while the factor is locked or waiting."""

    subject_id: str
    factor: str
    now_seconds: int


class ForgetFailures(_Kind, frozen=True, kw_only=True):
    """Ends the row of failures because an operator bound the factor anew; never fails."""

    subject_id: str
    factor: str


class PutChallenge(_Kind, frozen=True, kw_only=True):
    """Keeps a new challenge; fails when there is one of this name."""

    challenge_hash: str
    content: bytes
    expires_at_seconds: int


class ConsumeChallenge(_Kind, frozen=True, kw_only=True):
    """Uses up a challenge; fails when it is unknown, used, or has had too many wrong answers."""

    challenge_hash: str


class KeepAnswer(_Kind, frozen=True, kw_only=True):
    """Keeps a right answer to a challenge that needs more; fails like `ConsumeChallenge`, and for a second of its name.

    The answer may be forgotten with its challenge, after `expires_at_seconds`.
    """

    challenge_hash: str
    answer: KeptAnswer
    expires_at_seconds: int


class CountWrongAnswer(_Kind, frozen=True, kw_only=True):
    """Counts a wrong answer to a challenge; fails when it is unknown, used, or has had too many."""

    challenge_hash: str


class AddCredential(_Kind, frozen=True, kw_only=True):
    """Keeps a credential; fails when there is one of this id, or the subject holds too many of its factor."""

    credential: Credential


class RevokeCredential(_Kind, frozen=True, kw_only=True):
    """Revokes a credential; fails when it is unknown or revoked."""

    credential_id: str
    now_seconds: int


class UseCredential(_Kind, frozen=True, kw_only=True):
    """Notes that a credential gave a right answer; fails when it is unknown or revoked."""

    credential_id: str
    now_seconds: int


class KeepAssertion(_Kind, frozen=True, kw_only=True):
    """Keeps which credentials earned an assertion; fails when one is unknown or revoked, or the name is known."""

    jti_hash: str
    credential_ids: tuple[str, ...]
    keep_until_seconds: int


class RequireEarned(_Kind, frozen=True, kw_only=True):
    """Changes nothing; fails unless every credential that earned the assertion still stands."""

    jti_hash: str


class KeepTicket(_Kind, frozen=True, kw_only=True):
    """Keeps a new ticket; fails when there is one of this name, or the subject has too many open ones of the factor."""

    ticket: Ticket


class RedeemTicket(_Kind, frozen=True, kw_only=True):
    """Uses up a ticket; fails when it is unknown, used, revoked or expired."""

    ticket_hash: str
    now_seconds: int


class RevokeTicket(_Kind, frozen=True, kw_only=True):
    """Revokes a ticket; fails when it is unknown, used or revoked."""

    ticket_id: str
    now_seconds: int


class AcceptPolicy(_Kind, frozen=True, kw_only=True):
    """Raises the policy version; fails for an older one, and for the same version with another digest."""

    version: int
    digest: str


Write: TypeAlias = (
    ConsumeOnce
    | SpendCounted
    | AdvanceCounter
    | CountFailure
    | ClearFailures
    | ForgetFailures
    | PutChallenge
    | ConsumeChallenge
    | KeepAnswer
    | CountWrongAnswer
    | AddCredential
    | RevokeCredential
    | UseCredential
    | KeepAssertion
    | RequireEarned
    | KeepTicket
    | RedeemTicket
    | RevokeTicket
    | AcceptPolicy
)


class ConditionFailedError(StoreError):
    """A condition did not hold, so nothing of the commit happened."""

    def __init__(self, write: Write) -> None:
        self.write = write
        super().__init__(f"the condition of {type(write).__name__} does not hold; nothing was written")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """How many failures in a row a subject has with a factor, and until when no attempt is allowed."""

    subject_id: str
    factor: str
    failures: int
    not_before_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChallenge:
    """A challenge as it lies in the store; `answers` are the right ones that were not enough, in any order."""

    content: bytes
    consumed: bool
    wrong_answers: int
    answers: tuple[KeptAnswer, ...] = ()


class Store(Protocol):
    """Durable memory, safe for several threads and processes.

    Every method raises `StoreUnavailableError` when the engine cannot answer now.
    """

    @property
    def audit_shards(self) -> Sequence[str]:
        """Return the names of the audit log's chains, one or more; they never change."""
        ...

    @property
    def batch_limit(self) -> int:
        """Return how many credentials or tickets one commit takes, each with its record."""
        ...

    def commit(self, writes: Sequence[Write], records: Sequence[RecordBuilder], *, shard: str | None = None) -> Tail:
        """Do all writes and append all records, durably, or nothing; return what the records' chain ends in.

        Args:
            writes: No two of them change the same thing.
            records: Appended to one chain, in this order.
            shard: That chain; by default the store chooses.

        Raises:
            ConditionFailedError: A condition did not hold.
            AuditTailError: The log does not end in what was appended last.
        """
        ...

    def challenge(self, challenge_hash: str) -> StoredChallenge | None:
        """Return a challenge, whatever its state."""
        ...

    def credentials(self, subject_id: str | None = None) -> Sequence[Credential]:
        """Return the credentials of a subject, or all, oldest first, the revoked ones too."""
        ...

    def credential(self, credential_id: str) -> Credential | None:
        """Return one credential, whatever its state."""
        ...

    def ticket(self, ticket_hash: str) -> Ticket | None:
        """Return one enrolment ticket, whatever its state, unless it was forgotten after its end."""
        ...

    def tickets(self, subject_id: str | None = None) -> Sequence[Ticket]:
        """Return the enrolment tickets of a subject, or all, oldest first."""
        ...

    def failure_rows(self, subject_id: str | None = None) -> Sequence[FailureRow]:
        """Return the failures in a row of a subject, or of all; who has none has no row."""
        ...

    def accepted_policy_version(self) -> int:
        """Return the highest policy version accepted so far, 0 before the first."""
        ...

    def audit_line(self, shard: str, seq: int) -> bytes | None:
        """Return one line of the audit log."""
        ...

    def audit_tail(self, shard: str) -> Tail:
        """Return what a chain ends in.

        Raises:
            AuditTailError: It does not end in what was appended last.
        """
        ...

    def housekeep(self, now_seconds: int) -> None:
        """Forget marks, challenges, assertions and tickets whose time is over."""
        ...

    def close(self) -> None:
        """Let go of the engine."""
        ...
