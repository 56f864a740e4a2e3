"""What breaks on the way of a step-up: keys, disks, the log. Nothing is ever granted without a durable record."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.verifier import (
    UnsafeTestKey,
    UnsafeTestSealer,
    World,
)

from keyrung_verifier.errors import AuditTailError, SigningFailedError
from keyrung_verifier.store.protocol import ConsumeChallenge, RecordBuilder, Tail, Write
from keyrung_verifier.store.sqlite import SqliteStore


class BrokenKey(UnsafeTestKey):
    """The assertion key, whose store does what the test says."""

    def __init__(self) -> None:
        super().__init__("assertion")
        self.behaviour: Callable[[bytes], bytes] = self._fail

    @staticmethod
    def _fail(_data: bytes) -> bytes:
        raise RuntimeError("the token was pulled out")

    def sign(self, data: bytes) -> bytes:
        return self.behaviour(data)


@pytest.mark.parametrize(
    "behaviour",
    [BrokenKey._fail, lambda _data: b"", lambda _data: b"\0" * 64, UnsafeTestKey("other").sign],
    ids=["fails", "empty", "zeros", "another key's signature"],
)
def test_a_signer_that_fails_leaves_a_used_challenge_and_no_assertion(
    tmp_path: Path, behaviour: Callable[[bytes], bytes]
) -> None:
    key = BrokenKey()
    key.behaviour = behaviour
    world = World(tmp_path, signer=key)
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()

    answer = world.respond_code(challenge_id, totp.code(world.clock.now()))

    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert "assertion" not in answer.body
    assert [(record["outcome"], record["reason"]) for record in world.records("assertion.issued")] == [
        ("refused", "signer")
    ]
    key.behaviour = UnsafeTestKey("assertion").sign
    world.clock.advance(30)
    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "used"
    world.close()


def test_the_challenge_is_used_up_durably_before_the_signature_is_made(tmp_path: Path) -> None:
    seen: list[bool] = []

    class WatchingKey(UnsafeTestKey):
        def sign(self, data: bytes) -> bytes:
            # Another connection sees only what was committed.
            with sqlite3.connect(tmp_path / "store.db") as connection:
                seen.append(connection.execute("SELECT consumed FROM challenges").fetchone()[0] == 1)
            return super().sign(data)

    world = World(tmp_path, signer=WatchingKey("assertion"))

    world.step_up(world.enrol_totp())

    assert seen == [True]
    world.close()


class FailingStore(SqliteStore):
    """A store whose commits fail where the test says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fails: Callable[[list[Write], bytes], bool] = lambda _writes, _line: False

    def commit(self, writes: Any, records: Any, *, shard: str | None = None) -> Tail:
        def checked(build: RecordBuilder) -> RecordBuilder:
            def line(tail: Tail) -> bytes:
                text = build(tail)
                if self.fails(list(writes), text):
                    # Raised inside the transaction, as a full disk would be.
                    raise sqlite3.OperationalError("database or disk is full")
                return text

            return line

        return super().commit(writes, [checked(build) for build in records], shard=shard)


@pytest.fixture
def failing(tmp_path: Path) -> Any:
    store = FailingStore(tmp_path / "store.db")
    world = World(tmp_path, store=store)
    yield world, store
    world.close()


@pytest.mark.parametrize("event", [b'"challenge.answered"', b'"assertion.issued"'])
def test_without_its_audit_record_there_is_no_assertion(failing: tuple[World, FailingStore], event: bytes) -> None:
    world, store = failing
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    store.fails = lambda _writes, line: event in line

    answer = world.respond_code(challenge_id, totp.code(world.clock.now()))

    assert answer.status == 503
    assert answer.body["error"] == "temporarily_unavailable"
    assert answer.headers["Retry-After"]


def test_a_failed_commit_uses_up_nothing_and_the_next_try_succeeds(failing: tuple[World, FailingStore]) -> None:
    world, store = failing
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    store.fails = lambda writes, _line: any(isinstance(write, ConsumeChallenge) for write in writes)
    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 503

    store.fails = lambda _writes, _line: False

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 200


def test_without_its_audit_record_nothing_is_spent(failing: tuple[World, FailingStore]) -> None:
    world, store = failing
    assertion = world.step_up(world.enrol_totp())
    store.fails = lambda _writes, line: b'"assertion.spent"' in line
    assert world.spend(assertion).status == 503

    store.fails = lambda _writes, _line: False

    assert world.spend(assertion).status == 200
    assert world.spend(assertion).status == 403


def test_without_its_audit_record_nothing_is_allowed(failing: tuple[World, FailingStore]) -> None:
    world, store = failing
    store.fails = lambda _writes, line: b'"access.evaluated"' in line

    answer = world.evaluate("accounts.read")

    assert answer.status == 503
    assert "decision" not in answer.body


def test_a_full_disk_denies_and_the_log_goes_on_when_space_returns(world: World) -> None:
    assert isinstance(world.store, SqliteStore)
    connection = world.store._writer
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    statuses = [world.evaluate("accounts.read").status for _ in range(200)]

    # The writer with the limit is given up at its first failure, and the one opened after it has none.
    assert statuses.count(503) == 1
    assert statuses[-1] == 200
    assert [record["seq"] for record in world.records()] == list(range(len(world.records())))


def test_a_read_only_store_denies_everything_that_would_be_granted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    totp = world.enrol_totp()
    assertion = world.step_up(totp)
    challenge_id = world.challenge_id()
    world.clock.advance(30)

    def open_read_only(store: SqliteStore) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{store._path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)

    assert isinstance(world.store, SqliteStore)
    world.store.close()
    monkeypatch.setattr(SqliteStore, "_open", open_read_only)

    assert world.evaluate("accounts.read").status == 503
    assert world.challenge().status == 503
    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 503
    assert world.spend(assertion).status == 503
    monkeypatch.undo()
    world.store.close()
    assert world.spend(assertion).status == 200


def test_a_store_held_by_somebody_else_gives_a_retryable_refusal(tmp_path: Path) -> None:
    world = World(tmp_path, store=SqliteStore(tmp_path / "store.db", busy_seconds=0.1))
    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = world.evaluate("accounts.read")
        other.execute("ROLLBACK")

    assert answer.status == 503
    assert world.evaluate("accounts.read").status == 200
    world.close()


@pytest.mark.parametrize(
    "tamper",
    [
        "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
        "UPDATE audit SET line = replace(line, 'allow', 'deny') WHERE seq = (SELECT max(seq) FROM audit)",
        "INSERT INTO audit VALUES ('main', (SELECT max(seq) + 1 FROM audit), '{}')",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
    ],
)
def test_nothing_is_appended_to_a_log_whose_end_was_changed(world: World, tamper: str) -> None:
    world.evaluate("accounts.read")
    with sqlite3.connect(world.folder / "store.db") as connection:
        connection.execute(tamper)
        before = connection.execute("SELECT count(*) FROM audit").fetchone()

    assert world.evaluate("accounts.read").status == 503
    with sqlite3.connect(world.folder / "store.db") as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == before


def test_a_log_rolled_back_behind_its_checkpoint_stops_the_next_start(world: World) -> None:
    world.verifier.stop()
    with sqlite3.connect(world.folder / "store.db") as connection:
        # The attacker fits the head to the shortened log; the second place knows better.
        connection.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
        seq, line = connection.execute("SELECT seq, line FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        connection.execute("UPDATE audit_head SET seq = ?, hash = ?", (seq, hashlib.sha256(line).hexdigest()))

    with pytest.raises(AuditTailError):
        World(world.folder)


def test_a_removed_log_is_not_begun_again(world: World) -> None:
    with sqlite3.connect(world.folder / "store.db") as connection:
        connection.execute("DELETE FROM audit")
        connection.execute("DELETE FROM audit_head")

    with pytest.raises(AuditTailError):
        World(world.folder)


def test_an_audit_key_out_of_reach_stops_the_start_but_not_answers_under_way(tmp_path: Path) -> None:
    key = BrokenKey()
    with pytest.raises(SigningFailedError):
        World(tmp_path, audit_signer=key)
    key.behaviour = UnsafeTestKey("assertion").sign
    world = World(tmp_path, audit_signer=key, checkpoint_records=3)
    signed = len(world.checkpoint_path.read_bytes().splitlines())
    key.behaviour = BrokenKey._fail

    statuses = [world.evaluate("accounts.read").status for _ in range(10)]

    assert statuses == [200] * 10
    assert len(world.checkpoint_path.read_bytes().splitlines()) == signed
    key.behaviour = UnsafeTestKey("assertion").sign
    world.clock.advance(10)
    world.evaluate("accounts.read")
    assert len(world.checkpoint_path.read_bytes().splitlines()) == signed + 1
    world.close()


def test_a_sealer_out_of_reach_is_retryable_and_counts_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()

    def fail(_self: UnsafeTestSealer, _sealed: str, *, context: bytes) -> bytes:
        raise RuntimeError("sealed")

    monkeypatch.setattr(UnsafeTestSealer, "open", fail)
    for _ in range(20):
        assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 503
    monkeypatch.undo()

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 200


def test_an_unexpected_error_denies_with_a_generic_answer_and_a_record(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_arguments: object) -> None:
        raise ZeroDivisionError("internal detail")

    monkeypatch.setattr("keyrung_verifier.evaluating.judge", explode)

    answer = world.evaluate("accounts.read")

    assert answer.status == 500
    assert answer.body["error"] == "server_error"
    assert b"internal detail" not in answer.raw
    assert "internal detail" not in caplog.text
    assert answer.body["correlation_id"] in caplog.text
    assert world.records("access.evaluated")[-1]["correlation_id"] == answer.body["correlation_id"]
    assert world.last_reason("access.evaluated") == "unexpected"
