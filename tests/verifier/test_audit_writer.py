"""The log: one canonical line for each record, chained, opened once, checkpointed, and alive after a crash."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.verifier import AUDIT_KEY, TESTS, UnsafeTestKey, World, at_once, key_events

from keyrung_audit import Report, public_key_from_jwk, verify
from keyrung_verifier.audit_writer import Entry
from keyrung_verifier.errors import AuditTailError, StrictFormError


def report(world: World) -> Report:
    return verify(
        world.lines(), world.checkpoint_path.read_bytes().splitlines(), [public_key_from_jwk(AUDIT_KEY.public_jwk)]
    )


def test_the_first_record_names_the_audit_key_and_salts_the_log(world: World) -> None:
    first = world.records()[0]

    assert first["event"] == "log.opened"
    assert first["prev"] == "0" * 64
    assert first["detail"]["audit_key"] == AUDIT_KEY.key_id
    assert len(bytes.fromhex(first["detail"]["salt"])) == 32


def test_a_key_event_is_appended_once_however_often_it_is_handed_over(world: World) -> None:
    (event, _) = key_events(UnsafeTestKey("new"))

    results = at_once(20, lambda _: world.audit.append_key_event(event))

    assert results.count(True) == 1
    assert len([record for record in world.records("key.created") if record["key"]["uri"] == "software:name=new"]) == 1
    assert world.records()[-1]["detail"] == {
        "event_id": "software:name=new-key.created",
        "purpose": "test",
        "at": "2026-11-25T11:00:00.000000Z",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"event": "assertion.issued"},
        {"event_id": ""},
        {"at": "yesterday"},
        {"key": {}},
        {"pin": "1234"},
        {"purpose": None},
    ],
)
def test_a_key_event_of_another_form_is_refused(world: World, change: dict[str, object]) -> None:
    before = world.lines()

    with pytest.raises(StrictFormError):
        world.audit.append_key_event(key_events(UnsafeTestKey("new"))[0] | change)

    assert world.lines() == before


def test_a_second_start_goes_on_with_the_same_log(world: World) -> None:
    again = World(world.folder, clock=world.clock)
    again.evaluate("accounts.read")
    world.evaluate("accounts.read")

    assert len(world.records("log.opened")) == 1
    assert len(world.records("verifier.started")) == 2
    assert report(world).ok
    again.close()


def test_one_subject_has_one_pseudonym_in_a_log_and_another_in_another(world: World, tmp_path: Path) -> None:
    other = World(_folder(tmp_path / "other"))
    for each in (world, world, other):
        each.evaluate("accounts.read")

    one, same = (record["subject"] for record in world.records("access.evaluated"))
    assert one == same != other.records("access.evaluated")[0]["subject"]
    other.close()


def test_checkpoints_are_signed_by_number_of_records_and_by_time(tmp_path: Path) -> None:
    world = World(tmp_path, checkpoint_records=5)
    started = len(world.checkpoint_path.read_bytes().splitlines())
    for _ in range(11):
        world.evaluate("accounts.read")
    assert len(world.checkpoint_path.read_bytes().splitlines()) == started + 2

    world.clock.advance(60)
    world.verifier.maintain()

    assert len(world.checkpoint_path.read_bytes().splitlines()) == started + 3
    world.verifier.maintain()
    assert len(world.checkpoint_path.read_bytes().splitlines()) == started + 3
    assert report(world).ok
    world.close()


def test_checkpoints_of_many_threads_never_go_back(tmp_path: Path) -> None:
    world = World(tmp_path, checkpoint_records=3)

    at_once(60, lambda _: world.evaluate("accounts.read"))
    world.verifier.stop()

    assert report(world).ok
    world.close()


def test_part_of_a_checkpoint_left_by_a_crash_is_taken_away(world: World) -> None:
    with world.checkpoint_path.open("ab") as file:
        file.write(b"eyJhbGci")

    world.verifier.stop()

    assert report(world).ok


def test_a_damaged_last_checkpoint_stops_the_start(world: World) -> None:
    with world.checkpoint_path.open("ab") as file:
        file.write(b"nonsense\n")

    with pytest.raises(AuditTailError):
        World(world.folder)


@pytest.mark.parametrize("restored", ["an older state", "another log"])
def test_a_store_that_lacks_what_was_signed_stops_the_start(world: World, tmp_path: Path, restored: str) -> None:
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(world.folder / "store.db")) as store, closing(sqlite3.connect(older)) as copy:
        store.backup(copy)
    if restored == "another log":
        (tmp_path / "other").mkdir()
        shutil.copyfile(world.bundle_path, tmp_path / "other" / "policy-bundle.json")
        other = World(tmp_path / "other")
        for _ in range(5):
            other.evaluate("accounts.read")
        other.verifier.stop()
        other.close()
        older = other.folder / "store.db"
    world.evaluate("accounts.read")
    world.verifier.stop()
    world.close()
    for beside in ("-wal", "-shm"):
        (world.folder / f"store.db{beside}").unlink(missing_ok=True)
    shutil.copyfile(older, world.folder / "store.db")

    signed = world.checkpoint_path.read_bytes()
    with pytest.raises(AuditTailError, match="or the store is an older one"):
        World(world.folder)
    assert world.checkpoint_path.read_bytes() == signed


def test_a_checkpoint_file_that_is_full_keeps_no_half_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.checkpoint_path.read_bytes()
    real_write = os.write
    monkeypatch.setattr("keyrung_verifier.checkpoints.os.write", lambda fd, data: real_write(fd, data[:10]))

    world.evaluate("accounts.read")
    with pytest.raises(OSError, match="full"):
        world.audit.checkpoint()

    assert world.checkpoint_path.read_bytes() == before


def test_nothing_is_recorded_in_a_log_that_was_not_opened(tmp_path: Path) -> None:
    world = World(tmp_path, start=False)

    with pytest.raises(AuditTailError):
        world.audit.commit([Entry(event="access.evaluated", subject_id="alice")])

    world.close()


@pytest.mark.parametrize(("setting", "seen"), [("value", True), ("omit", None)], ids=["value", "omit"])
def test_an_attribute_is_seen_as_its_setting_says(world: World, setting: str, seen: object) -> None:
    assert world.audit.visible(True, setting) is seen


def test_a_hashed_attribute_tells_equal_from_different_and_no_more(world: World) -> None:
    one, same, other = (world.audit.visible(value, "hash") for value in ("Bob", "Bob", "Eve"))

    assert one == same != other
    assert str(one).startswith("sha-256:")


@pytest.mark.parametrize("threads", [1, 8])
def test_a_process_killed_while_it_appends_leaves_a_log_that_holds_every_answered_request(
    tmp_path: Path, threads: int
) -> None:
    program = (
        "import os, sys; from pathlib import Path; from support.verifier import World, at_once\n"
        "world = World(Path(sys.argv[1]))\n"
        "def work(_):\n"
        "    while True:\n"
        "        answered = world.evaluate('accounts.read').body['context']['correlation_id']\n"
        "        os.write(1, f'{answered}\\n'.encode())\n"
        "at_once(int(sys.argv[2]), work)\n"
    )
    for _ in range(3):
        answered = tmp_path / "answered"
        with answered.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", program, tmp_path, str(threads)],
                stdout=output,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )
            until = time.monotonic() + 30
            size = answered.stat().st_size
            while answered.stat().st_size < size + 40 * 33 and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
    world = World(tmp_path)

    assert report(world).ok
    whole = [text for text in answered.read_text().splitlines(keepends=True) if text.endswith("\n")]
    assert len(whole) >= 120
    logged = {record["correlation_id"] for record in world.records("access.evaluated")}
    assert {text.strip() for text in whole} <= logged
    assert [json.loads(line)["seq"] for line in world.lines()] == list(range(len(world.lines())))
    world.close()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
