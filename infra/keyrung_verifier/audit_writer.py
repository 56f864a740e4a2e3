"""The audit log's writer: every change of the store travels with its record, in one commit.

A record is one line of canonical JSON that names the hash of the line before it. Its members are a closed list, so a
code, a seed or a token has no place to stand; subjects and sessions appear as keyed hashes, challenges and assertion
ids as hashes. Signed checkpoints say in a second file what the log ended in.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from msgspec import Struct

from keyrung_policies.canonical import canonical_bytes, canonical_record
from keyrung_policies.model import Value
from keyrung_verifier.audit_end import LogEnd, genesis_detail, utc_text
from keyrung_verifier.audit_line import Line
from keyrung_verifier.checkpoint_schedule import CheckpointSchedule
from keyrung_verifier.checkpoints import CheckpointFile
from keyrung_verifier.errors import AuditTailError, AuditUnsignedError
from keyrung_verifier.generations import SigningLine
from keyrung_verifier.key_events import KeyEvent, parse_key_event
from keyrung_verifier.limits import CHECKPOINT_RECORDS, CHECKPOINT_SECONDS
from keyrung_verifier.protocols import Clock, Random, Signer
from keyrung_verifier.store.protocol import (
    ConditionFailedError,
    ConsumeOnce,
    RecordBuilder,
    Store,
    Tail,
    Write,
)

FORMAT_VERSION = 1
SALT_BYTES = 32
# Marks that are never forgotten: 9999-12-31, the last moment a datetime can say.
FOREVER_SECONDS = 253402300799


class Entry(Struct, frozen=True, kw_only=True):
    """What one record tells; the writer adds number, hash and time.

    Attributes:
        reason: Short internal code.
        challenge: Hash of the challenge id, as the store knows it.
        jti: The assertion's id, hashed before it is written.
        operator: Who worked at the command line; written as a keyed hash, like subjects.
        attributes: Declared attributes that may be seen, each as value or hash.
    """

    event: str
    outcome: str | None = None
    reason: str | None = None
    actor: str | None = None
    subject_id: str | None = None
    session_id: str | None = None
    action: str | None = None
    request_digest: str | None = None
    rule_ids: tuple[str, ...] = ()
    policy_digest: str | None = None
    policy_version: int | None = None
    factor: str | None = None
    credential_id: str | None = None
    key: Mapping[str, str | int | None] | None = None
    challenge: str | None = None
    jti: str | None = None
    operator: str | None = None
    correlation_id: str | None = None
    attributes: Mapping[str, Value] = {}
    detail: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Return what says nothing of people."""
        return f"Entry(event={self.event!r}, outcome={self.outcome!r}, correlation_id={self.correlation_id!r})"


def hash_id(text: str) -> str:
    """Return the hash by which the store and the log name a random id: hex SHA-256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def key_facts(signer: Signer) -> dict[str, str | int | None]:
    """Return how a record names a signing key."""
    return {
        "uri": signer.key_uri,
        "generation": signer.generation,
        "state": signer.state,
        "thumbprint": signer.key_id,
    }


class AuditWriter:
    """Commits changes together with their records; safe for several threads and processes on one store.

    Args:
        store: Where changes and records go.
        signers: The generations of the audit key; they sign checkpoints and nothing else. Where another program
            signs them, their public halves are enough.
        checkpoints: The second place, for a log of one chain; None where another program keeps it.
        clock: Gives each record its time; order comes from the number, not from the time.
        random: Gives the log its salt, once.
    """

    def __init__(
        self,
        *,
        store: Store,
        signers: SigningLine,
        checkpoints: CheckpointFile | None,
        clock: Clock,
        random: Random,
        checkpoint_records: int = CHECKPOINT_RECORDS,
        checkpoint_seconds: int = CHECKPOINT_SECONDS,
    ) -> None:
        self._store = store
        self._signers = signers
        self._checkpoints = checkpoints
        self._clock = clock
        self._random = random
        self._salt: bytes | None = None
        self._schedule: CheckpointSchedule | None = None
        if checkpoints is not None:
            self._schedule = CheckpointSchedule(
                LogEnd(store=store, signers=signers, checkpoints=checkpoints, clock=clock),
                hand_over=self._append_hand_over,
                clock=clock,
                records=checkpoint_records,
                seconds=checkpoint_seconds,
            )

    def open(self) -> None:
        """Start every chain of the log with its genesis record, or go on with those that are there.

        Raises:
            AuditTailError: The log is shorter than, or differs from, what the last checkpoint says.
        """
        first, *_ = shards = self._store.audit_shards
        if self._store.audit_tail(first).seq < 0:
            # The first chain comes last, so that where it has begun all have. Whoever is first at the last chain
            # chooses the salt of all, by which one subject has one pseudonym in the whole log.
            self._salt = self._random.token_bytes(SALT_BYTES)
            for shard in reversed(shards):
                self._write_genesis(shard)
                self._salt = self._salt_of(shard)
        begun = genesis_detail(self._store, first)
        self._salt = bytes.fromhex(begun["salt"])
        named = begun["shards"].split(" ")
        if named != list(shards):
            raise AuditTailError(
                f"this store's log has {len(named)} chains for good, not {len(shards)}; set that number"
            )
        last = None if self._checkpoints is None else self._checkpoints.last()
        if last is not None:
            line = self._store.audit_line(first, last.seq)
            if line is None or hashlib.sha256(line).hexdigest() != last.head:
                raise AuditTailError(
                    "the audit log is not the one that was signed last, or the store is an older one: put the newest"
                    " one back (`keyrung audit verify` says what is missing)"
                )
            if self._schedule is not None:
                self._schedule.known_signed(last.seq)

    def commit(self, entries: Sequence[Entry], writes: Sequence[Write] = ()) -> None:
        """Do the writes and append the records, durably, or nothing.

        Raises:
            ConditionFailedError: A condition did not hold.
            StoreError: The store cannot do it now, the log's end was changed, or its records wait for a signature for
                too long.
        """
        if self._schedule is not None and self._schedule.waits_too_long():
            self.checkpoint_if_due()
            if self._schedule.waits_too_long():
                raise AuditUnsignedError("the audit log waits for a signature; bring the audit key within reach")
        self._append(entries, writes)
        self.checkpoint_if_due()

    def append_key_event(self, event: Mapping[str, object]) -> bool:
        """Append a step of a key's life unless its event id is in the log already; return whether it was new.

        Args:
            event: Exactly `event`, `event_id`, `purpose`, `at` (the log's spelling of a time) and `key`
                (`uri`, `generation`, `state`, `thumbprint`).

        Raises:
            StrictFormError: The event has another form.
        """
        step: KeyEvent = parse_key_event(event)
        entry = Entry(
            event=step.event,
            outcome="success",
            actor="keyrung",
            key={
                "uri": step.key.uri,
                "generation": step.key.generation,
                "state": step.key.state,
                "thumbprint": step.key.thumbprint,
            },
            detail={"event_id": step.event_id, "purpose": step.purpose, "at": step.at},
        )
        mark = ConsumeOnce(kind="key-event", key=step.event_id, keep_until_seconds=FOREVER_SECONDS)
        try:
            self._append([entry], [mark])  # always: what happened to the audit key has to come before its next use
        except ConditionFailedError:
            return False
        self.checkpoint_if_due()
        return True

    def derived_key(self, label: str) -> bytes:
        """Return 32 secret bytes for one use, the same in every process on this log."""
        return hmac.new(self._salted(), label.encode("ascii"), hashlib.sha256).digest()

    def visible(self, value: Value, setting: str) -> Value | None:
        """Return an attribute as its `audit` setting lets it be seen, or None for `omit`."""
        if setting == "value":
            return value
        if setting == "hash":
            return f"sha-256:{hmac.digest(self._salted(), canonical_bytes(value), 'sha256').hex()}"
        return None

    def checkpoint(self) -> None:
        """Sign what the log ends in and write it to the second place.

        Raises:
            SigningFailedError: The audit key gave no good signature.
            OSError: The second place cannot be written.
        """
        if self._schedule is not None:
            self._schedule.sign()

    def checkpoint_if_due(self) -> None:
        """Sign a checkpoint when enough records or time have passed; a failure is logged and tried again.

        The records are durable already, so an audit key out of reach does not stop the answers they belong to.
        """
        if self._schedule is not None:
            self._schedule.sign_if_due()

    def _append(self, entries: Sequence[Entry], writes: Sequence[Write]) -> None:
        tail = self._store.commit(writes, [self._builder(entry) for entry in entries])
        if self._schedule is not None:
            self._schedule.appended(tail.seq)

    def _append_hand_over(self, detail: Mapping[str, str]) -> None:
        # Always: without it a later generation of the audit key could not sign what waits for it.
        self._append([Entry(event="audit-key.handed-over", outcome="success", actor="keyrung", detail=detail)], [])

    def _write_genesis(self, shard: str) -> None:
        signer, shards = self._signers.current(), self._store.audit_shards
        detail = {"audit_key": signer.key_id, "salt": self._salted().hex()}
        if len(shards) > 1:
            detail["shards"] = " ".join(shards)  # each chain names all, so that none can be taken away unnoticed
        entry = Entry(event="log.opened", actor="keyrung", key=key_facts(signer), detail=detail)
        mark = ConsumeOnce(kind="audit-genesis", key=shard, keep_until_seconds=FOREVER_SECONDS)
        try:
            self._store.commit([mark], [self._builder(entry)], shard=shard)
        except ConditionFailedError:
            # Another process was first; its salt is read next. With the mark and without a chain, it was removed.
            if self._store.audit_tail(shard).seq < 0:
                raise AuditTailError("the audit log was removed; restore it") from None

    def _salt_of(self, shard: str) -> bytes:
        return bytes.fromhex(genesis_detail(self._store, shard)["salt"])

    def _builder(self, entry: Entry) -> RecordBuilder:
        def build(tail: Tail) -> bytes:
            return canonical_record(self._line(entry, tail))

        return build

    def _line(self, entry: Entry, tail: Tail) -> Line:
        operator = self._pseudonym(entry.operator)
        return Line(
            v=FORMAT_VERSION,
            shard=tail.shard,
            seq=tail.seq + 1,
            prev=tail.hash,
            time=utc_text(self._clock.now()),
            event=entry.event,
            outcome=entry.outcome,
            reason=entry.reason,
            actor=entry.actor,
            subject=self._pseudonym(entry.subject_id),
            session=self._pseudonym(entry.session_id),
            action=entry.action,
            request_digest=entry.request_digest,
            rule_ids=entry.rule_ids,
            policy_digest=entry.policy_digest,
            policy_version=entry.policy_version,
            factor=entry.factor,
            credential_id=entry.credential_id,
            key=entry.key,
            challenge=entry.challenge,
            jti=None if entry.jti is None else hash_id(entry.jti),
            correlation_id=entry.correlation_id,
            attributes=entry.attributes,
            detail={**entry.detail, **({} if operator is None else {"operator": operator})},
        )

    def _pseudonym(self, identifier: str | None) -> str | None:
        if identifier is None:
            return None
        return hmac.digest(self._salted(), identifier.encode("utf-8"), "sha256").hex()

    def _salted(self) -> bytes:
        if self._salt is None:
            raise AuditTailError("the audit log is not open; call open() first")
        return self._salt
