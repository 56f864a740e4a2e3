"""What every store must hold; run here against SQLite."""

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.store.protocol import (
    AcceptPolicy,
    AddCredential,
    AdvanceCounter,
    ClearFailures,
    ConditionFailedError,
    ConsumeChallenge,
    ConsumeOnce,
    CountFailure,
    CountWrongAnswer,
    Credential,
    KeepAssertion,
    PutChallenge,
    RequireEarned,
    RevokeCredential,
    SpendCounted,
    Store,
    Tail,
    UseCredential,
    Write,
)
from keyrung_verifier.store.sqlite import SqliteStore

CHALLENGE = PutChallenge(challenge_hash="c", content=b"content", expires_at_seconds=1000)
MARK = ConsumeOnce(kind="assertion", key="j", keep_until_seconds=1000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = SqliteStore(tmp_path / "store.db")
    yield made
    made.close()


def holds(store: Store, *writes: Write) -> bool:
    try:
        store.commit(writes, [lambda tail: f"line {tail.seq + 1}".encode()])
    except ConditionFailedError:
        return False
    return True


def credential(number: int, *, subject: str = "alice") -> Credential:
    return Credential(
        credential_id=f"id-{number}", subject_id=subject, factor="otp", sealed_seed="sealed", created_at_seconds=number
    )


def test_a_thing_is_consumed_once(store: Store) -> None:
    assert holds(store, MARK)
    assert not holds(store, MARK)
    assert holds(store, ConsumeOnce(kind="other", key="j", keep_until_seconds=1000))


def test_a_thing_is_used_as_often_as_its_limit_says_whichever_limit_is_asked_for(store: Store) -> None:
    def used(limit: int) -> bool:
        return holds(store, SpendCounted(key="k", limit=limit, keep_until_seconds=1000))

    assert [used(3), used(2), used(2), used(3), used(3)] == [True, True, False, True, False]
    assert holds(store, SpendCounted(key="other", limit=1, keep_until_seconds=1000))
    store.housekeep(1001)
    assert used(1), "the count is forgotten after its time"


@pytest.mark.parametrize(("value", "moves"), [(4, False), (5, False), (6, True)])
def test_a_counter_only_moves_forward(store: Store, value: int, moves: bool) -> None:
    assert holds(store, AdvanceCounter(name="n", value=5))
    assert holds(store, AdvanceCounter(name="n", value=value)) is moves


def test_a_condition_that_fails_undoes_everything_before_and_after_it(store: Store) -> None:
    assert holds(store, MARK)

    assert not holds(store, AdvanceCounter(name="n", value=5), MARK, CHALLENGE)

    assert holds(store, AdvanceCounter(name="n", value=1))
    assert store.challenge("c") is None
    assert store.audit_tail("main").seq == 1
    assert store.audit_line("main", 2) is None


def test_a_record_that_cannot_be_built_undoes_the_writes(store: Store) -> None:
    def build(_tail: Tail) -> bytes:
        raise ValueError("no record")

    with pytest.raises(ValueError, match="no record"):
        store.commit([MARK], [build])

    assert holds(store, MARK)


def test_a_challenge_is_put_once_and_consumed_once(store: Store) -> None:
    assert not holds(store, ConsumeChallenge(challenge_hash="c"))
    assert holds(store, CHALLENGE)
    assert not holds(store, CHALLENGE)
    assert holds(store, ConsumeChallenge(challenge_hash="c"))
    assert not holds(store, ConsumeChallenge(challenge_hash="c"))
    found = store.challenge("c")
    assert found is not None
    assert found.consumed


def test_wrong_answers_end_a_challenge(store: Store) -> None:
    holds(store, CHALLENGE)
    wrong = CountWrongAnswer(challenge_hash="c")

    assert [holds(store, wrong) for _ in range(6)] == [True] * 5 + [False]
    assert not holds(store, ConsumeChallenge(challenge_hash="c"))


def test_a_locked_factor_refuses_success_and_failure_alike(store: Store) -> None:
    moment = 0
    for _ in range(10):
        assert holds(store, CountFailure(subject_id="a", factor="otp", now_seconds=moment))
        moment += 1000

    for later in (moment, moment + 10**9):
        assert not holds(store, CountFailure(subject_id="a", factor="otp", now_seconds=later))
        assert not holds(store, ClearFailures(subject_id="a", factor="otp", now_seconds=later))
    assert holds(store, ClearFailures(subject_id="b", factor="otp", now_seconds=0))
    assert holds(store, ClearFailures(subject_id="a", factor="other", now_seconds=0))


def test_credentials_are_unique_bounded_and_revoked_once(store: Store) -> None:
    assert holds(store, AddCredential(credential=credential(1)))
    assert not holds(store, AddCredential(credential=credential(1, subject="bob")))
    for number in range(2, 6):
        assert holds(store, AddCredential(credential=credential(number)))
    assert not holds(store, AddCredential(credential=credential(6)))
    assert holds(store, RevokeCredential(credential_id="id-1", now_seconds=50))
    assert not holds(store, RevokeCredential(credential_id="id-1", now_seconds=60))
    assert not holds(store, RevokeCredential(credential_id="nobody", now_seconds=60))
    assert holds(store, AddCredential(credential=credential(6)))
    first = store.credentials("alice")[0]
    assert (first.credential_id, first.revoked_at_seconds) == ("id-1", 50)
    assert store.credentials("ALICE") == []
    assert len(store.credentials()) == 6


@pytest.mark.parametrize(
    ("version", "digest", "accepted"), [(4, "x", False), (5, "x", True), (5, "y", False), (6, "y", True)]
)
def test_a_policy_version_never_goes_back(store: Store, version: int, digest: str, accepted: bool) -> None:
    assert store.accepted_policy_version() == 0
    assert holds(store, AcceptPolicy(version=5, digest="x"))

    assert holds(store, AcceptPolicy(version=version, digest=digest)) is accepted
    assert store.accepted_policy_version() == (version if accepted else 5)


@pytest.mark.parametrize(("now", "forgotten"), [(1000, False), (1001, True)])
def test_a_mark_is_kept_as_long_as_it_says(store: Store, now: int, forgotten: bool) -> None:
    holds(store, MARK)
    store.housekeep(now)

    assert holds(store, MARK) is forgotten


@pytest.mark.parametrize(("now", "forgotten"), [(1000, False), (1120, False), (1121, True)])
def test_a_challenge_is_kept_twice_the_skew_beyond_its_end(store: Store, now: int, forgotten: bool) -> None:
    holds(store, CHALLENGE)
    store.housekeep(now)

    assert (store.challenge("c") is None) is forgotten


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "store.db")
    holds(first, MARK, CHALLENGE)
    first.close()
    second = SqliteStore(tmp_path / "store.db")

    assert not holds(second, MARK)
    assert second.challenge("c") is not None
    second.close()


def test_the_file_and_what_sqlite_puts_beside_it_are_for_the_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    holds(store, MARK)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    store.close()


def test_commits_are_synced_in_full_to_a_write_ahead_log(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    assert store._writer is not None

    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_store_of_the_version_before_is_brought_up_to_date_with_all_it_holds(tmp_path: Path) -> None:
    old = SqliteStore(tmp_path / "store.db")
    assert holds(old, AddCredential(credential=credential(1)))
    old.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.executescript(
        "ALTER TABLE credentials DROP COLUMN last_used_at; DROP TABLE assertions; DROP TABLE tickets;"
        " PRAGMA user_version = 1;"
    )
    connection.close()

    for _ in range(2):
        store = SqliteStore(tmp_path / "store.db")
        assert [each.credential_id for each in store.credentials()] == ["id-1"]
        assert holds(store, UseCredential(credential_id="id-1", now_seconds=7))
        store.close()


def test_only_a_credential_that_stands_is_used_and_earns(store: Store) -> None:
    earned = KeepAssertion(jti_hash="j", credential_id="id-1", keep_until_seconds=1000)
    use = UseCredential(credential_id="id-1", now_seconds=5)
    assert not holds(store, use)
    assert not holds(store, earned)
    assert holds(store, AddCredential(credential=credential(1)), use, earned)
    found = store.credential("id-1")
    assert found is not None
    assert found.last_used_at_seconds == 5
    assert not holds(store, earned)  # one assertion, one name
    assert holds(store, RequireEarned(jti_hash="j"))
    assert not holds(store, RequireEarned(jti_hash="of nobody"))

    assert holds(store, RevokeCredential(credential_id="id-1", now_seconds=6))

    assert not holds(store, use)
    assert not holds(store, RequireEarned(jti_hash="j"))
    assert not holds(store, KeepAssertion(jti_hash="k", credential_id="id-1", keep_until_seconds=1000))


def test_what_earned_an_assertion_is_forgotten_after_its_time(store: Store) -> None:
    earned = KeepAssertion(jti_hash="j", credential_id="id-1", keep_until_seconds=1000)
    assert holds(store, AddCredential(credential=credential(1)), earned)
    store.housekeep(1000)
    assert holds(store, RequireEarned(jti_hash="j"))
    store.housekeep(1001)
    assert not holds(store, RequireEarned(jti_hash="j"))


def test_failures_are_listed_for_one_subject_or_all(store: Store) -> None:
    for subject in ("alice", "alice", "bob"):
        assert holds(store, CountFailure(subject_id=subject, factor="otp", now_seconds=100))
    rows = [(row.subject_id, row.factor, row.failures) for row in store.failure_rows()]
    assert sorted(rows) == [("alice", "otp", 2), ("bob", "otp", 1)]
    assert [row.failures for row in store.failure_rows("bob")] == [1]
    assert list(store.failure_rows("nobody")) == []


def test_a_store_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store.db").close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreUnavailableError, match="newer"):
        SqliteStore(tmp_path / "store.db")


@pytest.mark.parametrize("kind", ["folder", "garbage", "missing folder"])
def test_a_path_that_cannot_be_a_store_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"not a database, but long enough to be looked at as one" * 50)
    else:
        path = tmp_path / "nowhere" / "store.db"

    with pytest.raises(StoreUnavailableError, match="check free space and permissions"):
        SqliteStore(path)


def test_the_head_is_read_whole_while_another_appends(store: Store) -> None:
    """Number, hash and line come from one moment; read from two, an untouched log would look shortened."""
    ended = threading.Event()

    def append() -> None:
        for _ in range(400):
            store.commit([], [lambda tail: f"line {tail.seq + 1}".encode()])
        ended.set()

    writer = threading.Thread(target=append)
    writer.start()
    try:
        while not ended.is_set():
            store.audit_tail("main")
    finally:
        writer.join()
    assert store.audit_tail("main").seq == 399
