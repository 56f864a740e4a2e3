"""Commits that come together share one sync of the disk, and nothing else: each caller has an outcome of its own."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.disk_sync import failing_sync
from support.verifier import AUDIT_KEY, TESTS, World, at_once

from keyrung_audit import public_key_from_jwk, verify
from keyrung_verifier.errors import AuditTailError, StoreUnavailableError
from keyrung_verifier.store.protocol import ConditionFailedError, ConsumeOnce, RecordBuilder, Tail
from keyrung_verifier.store.sqlite import SqliteStore

COUNT = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    yield made
    made.close()


def record(name: object) -> RecordBuilder:
    return lambda tail: f"{tail.seq + 1}: {name}".encode()


def mark(key: object) -> ConsumeOnce:
    return ConsumeOnce(kind="test", key=str(key), keep_until_seconds=10**10)


def outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except Exception as error:
        return type(error)


def holds(store: SqliteStore, write: ConsumeOnce) -> bool:
    return outcome(lambda: store.commit([write], [])) is not ConditionFailedError


@contextmanager
def _lock_held(store: SqliteStore) -> Iterator[None]:
    """Hold the file as another process would."""
    with sqlite3.connect(store._path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def together(store: SqliteStore, work: Callable[[int], object]) -> list[Any]:
    """Run the work in threads of which all but one commit in the second group; return the outcomes."""
    results: list[Any] = [None] * COUNT

    def run(number: int) -> None:
        results[number] = outcome(lambda: work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(COUNT)]
    with _lock_held(store):
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 4
        while len(store._group._waiting) < COUNT - 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    return results


def lines(store: SqliteStore) -> list[bytes]:
    return [store.audit_line("main", seq) or b"" for seq in range(store.audit_tail("main").seq + 1)]


def test_commits_that_come_during_another_share_one_transaction(store: SqliteStore) -> None:
    statements: list[str] = []
    assert store._writer is not None
    store._writer.set_trace_callback(statements.append)

    results = together(store, lambda number: store.commit([mark(number)], [record(number)]).seq)

    assert statements.count("COMMIT") == 2
    assert sorted(results) == list(range(COUNT))
    assert [line.partition(b":")[0] for line in lines(store)] == [str(seq).encode() for seq in range(COUNT)]


def test_each_caller_gets_the_number_of_its_own_record(store: SqliteStore) -> None:
    results = together(store, lambda number: store.commit([], [record(number)]).seq)

    assert [lines(store)[results[number]] for number in range(COUNT)] == [
        f"{results[number]}: {number}".encode() for number in range(COUNT)
    ]


def test_a_condition_that_fails_is_the_failure_of_its_own_caller(store: SqliteStore) -> None:
    def work(number: int) -> object:
        wanted = [mark("what all odd ones want")] if number % 2 else []
        return store.commit([mark(number), *wanted], [record(number)])

    results = together(store, work)

    assert results[::2].count(ConditionFailedError) == 0
    assert results[1::2].count(ConditionFailedError) == COUNT // 2 - 1
    assert len(lines(store)) == COUNT // 2 + 1
    for number, result in enumerate(results):  # who failed left nothing
        assert holds(store, mark(number)) is (result is ConditionFailedError)


def test_a_record_that_cannot_be_built_is_the_failure_of_its_own_caller(store: SqliteStore) -> None:
    def build(number: int) -> RecordBuilder:
        def line(tail: Tail) -> bytes:
            return f"{tail.seq}: {1 // (number % 2)}".encode()

        return line

    results = together(store, lambda number: store.commit([mark(number)], [record(number), build(number)]))

    assert results[::2] == [ZeroDivisionError] * (COUNT // 2)
    assert len(lines(store)) == COUNT


def test_a_log_whose_end_was_changed_refuses_every_caller(store: SqliteStore) -> None:
    store.commit([], [record("first")])
    with sqlite3.connect(store._path) as other:
        other.execute("DELETE FROM audit")

    assert together(store, lambda number: store.commit([], [record(number)])) == [AuditTailError] * COUNT


def test_a_transaction_that_fails_fails_for_every_caller_and_the_next_one_works(store: SqliteStore) -> None:
    def full(_tail: Tail) -> bytes:
        raise sqlite3.OperationalError("database or disk is full")

    results = together(store, lambda number: store.commit([mark(number)], [full if number == 5 else record(number)]))

    # Whoever led the first group did so alone.
    assert results.count(StoreUnavailableError) >= COUNT - 1
    for number, result in enumerate(results):
        assert holds(store, mark(number)) is (result is StoreUnavailableError)


def test_callers_of_a_store_that_hangs_are_refused_together_and_not_one_after_another(tmp_path: Path) -> None:
    busy_seconds = 0.5
    store, before = SqliteStore(tmp_path / "store.db", busy_seconds=busy_seconds), threading.active_count()
    with _lock_held(store):
        began = time.monotonic()
        results = at_once(COUNT, lambda number: outcome(lambda: store.commit([mark(number)], [record(number)])))
        waited_seconds = time.monotonic() - began

    assert results == [StoreUnavailableError] * COUNT
    assert waited_seconds < busy_seconds * COUNT / 2
    assert threading.active_count() == before
    assert store.commit([mark(1)], [record(1)]) is not None
    store.close()


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(store: SqliteStore) -> None:
    def interrupted(_tail: Tail) -> bytes:
        raise KeyboardInterrupt

    def work(number: int) -> object:
        try:
            return store.commit([mark(number)], [interrupted if number == 5 else record(number)])
        except KeyboardInterrupt:
            raise StoreUnavailableError("interrupted") from None

    results = together(store, work)

    assert results.count(StoreUnavailableError) >= COUNT - 1
    assert store.commit([mark("next")], [record("next")]).seq >= 0


def test_one_thing_taken_by_200_callers_at_once_goes_to_one(store: SqliteStore) -> None:
    results = at_once(200, lambda _: outcome(lambda: store.commit([mark("it")], [record("taken")])))

    assert results.count(ConditionFailedError) == 199
    assert len(lines(store)) == 1


_MANY_AT_ONCE = """
import sys
from pathlib import Path
from support.verifier import World, at_once
folder, switch = Path(sys.argv[1]), Path(sys.argv[2])
world = World(folder)

def statuses():
    return [answer.status for answer in at_once(20, lambda _: world.evaluate("accounts.read"))]

def wal_bytes():
    return (folder / "store.db-wal").stat().st_size

assert statuses() == [200] * 20
before = wal_bytes()
switch.touch()
assert statuses() == [503] * 20
assert statuses() == [503] * 20
switch.unlink()
assert world.evaluate("accounts.read").status == 200
assert wal_bytes() < before, "what was not synced still stands before what is"
assert statuses() == [200] * 20
world.close()
"""


def test_a_sync_that_fails_grants_nothing_to_anybody_and_nothing_is_built_on_what_it_left(tmp_path: Path) -> None:
    folder, switch = tmp_path / "world", tmp_path / "sync-fails"
    folder.mkdir()
    environment = {**failing_sync(tmp_path, switch), "PYTHONPATH": str(TESTS)}

    done = subprocess.run(
        [sys.executable, "-c", _MANY_AT_ONCE, folder, switch], env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    world = World(folder)
    checkpoints = world.checkpoint_path.read_bytes().splitlines()
    assert verify(world.lines(), checkpoints, [public_key_from_jwk(AUDIT_KEY.public_jwk)]).ok
    assert len(world.records("access.evaluated")) >= 41
    world.close()


def test_a_disk_that_fills_while_many_commit_refuses_some_and_leaves_the_log_whole(world: World) -> None:
    assert isinstance(world.store, SqliteStore)
    connection = world.store._writer
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    answers = [answer for _ in range(20) for answer in at_once(10, lambda _: world.evaluate("accounts.read"))]

    assert {answer.status for answer in answers} == {200, 503}
    granted = {answer.body["context"]["correlation_id"] for answer in answers if answer.status == 200}
    assert {record["correlation_id"] for record in world.records("access.evaluated")} == granted
    assert [record["seq"] for record in world.records()] == list(range(len(world.records())))
