"""What one step-up asks of the services behind it, counted on the verifier itself rather than estimated.

A whole step-up as the guard drives it runs once against the real core, over a store that counts. What DynamoDB charges
for a commit follows from its documented units: a transactional write costs two write units for each started KiB of an
item, a strongly consistent read one read unit for each started 4 KiB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.verifier import Answer, UnsafeTestKey, World

from keyrung_verifier.store.protocol import PutChallenge, RecordBuilder, Store, Tail, Write
from keyrung_verifier.store.sqlite import SqliteStore

KIB = 1024
WRITE_UNITS_PER_KIB = 2
READ_UNIT_BYTES = 4 * KIB
# A read of the person's credentials or of a challenge: one item below 4 KiB.
_ITEM_READS = frozenset({"challenge", "credentials", "credential", "audit_head", "audit_line", "failure_rows"})


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one step-up costs; units are DynamoDB's."""

    requests: int
    commits: int
    write_units: int
    largest_commit_shard_units: int
    read_units: int
    signatures: int
    opened_seeds: int


@dataclass
class _Counts:
    commits: int = 0
    write_units: int = 0
    largest_commit_shard_units: int = 0
    reads: int = 0


class _CountingStore:
    """A `Store` that counts what is asked of the store behind it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counts = _Counts()

    def commit(self, writes: Sequence[Write], records: Sequence[RecordBuilder], *, shard: str | None = None) -> Tail:
        lines: list[bytes] = []

        def counted(build: RecordBuilder) -> RecordBuilder:
            def built(tail: Tail) -> bytes:
                lines.append(build(tail))
                return lines[-1]

            return built

        done = self._store.commit(writes, [counted(build) for build in records], shard=shard)
        shard_units = sum(_write_units(len(line)) for line in lines) + WRITE_UNITS_PER_KIB  # the lines and the head
        self.counts.commits += 1
        self.counts.largest_commit_shard_units = max(self.counts.largest_commit_shard_units, shard_units)
        self.counts.write_units += shard_units + sum(_write_units(_size_bytes(write)) for write in writes)
        return done

    def __getattr__(self, name: str) -> Any:
        self.counts.reads += name in _ITEM_READS
        return getattr(self._store, name)


class _CountingKey(UnsafeTestKey):
    signatures = 0

    def sign(self, data: bytes) -> bytes:
        self.signatures += 1
        return super().sign(data)


@dataclass
class _Requests:
    answers: list[Answer] = field(default_factory=list)

    def good(self, answer: Answer, status: int = 200) -> Answer:
        assert answer.status == status, answer.body
        self.answers.append(answer)
        return answer


def count_one_step_up(folder: Path) -> Work:
    """Return what a step-up with a one-time code costs, from the first question to the spent assertion."""
    signer = _CountingKey("assertion")
    store = _CountingStore(SqliteStore(folder / "store.db"))
    world = World(folder, store=store, signer=signer)
    totp = world.enrol_totp()
    store.counts, signer.signatures, world.sealer.opened = _Counts(), 0, 0
    asked = _Requests()
    asked.good(world.evaluate("profile.update"))
    challenge_id = asked.good(world.challenge("profile.update"), 201).body["challenge_id"]
    asked.good(world.view(challenge_id))
    given = asked.good(world.respond_code(challenge_id, totp.code(world.clock.now())))
    asked.good(world.spend(given.body["assertion"]))
    world.close()
    return Work(
        requests=len(asked.answers),
        commits=store.counts.commits,
        write_units=store.counts.write_units,
        largest_commit_shard_units=store.counts.largest_commit_shard_units,
        read_units=store.counts.reads,
        signatures=signer.signatures,
        opened_seeds=world.sealer.opened,
    )


def _write_units(size_bytes: int) -> int:
    return WRITE_UNITS_PER_KIB * math.ceil(size_bytes / KIB)


def _size_bytes(write: Write) -> int:
    return len(write.content) if isinstance(write, PutChallenge) else 1
