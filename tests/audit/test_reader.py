"""The reader takes the writer's SQLite file or a text file, changes neither, and bounds what it takes in."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.audit_log import Log

from keyrung_audit import SourceError, read_lines, read_log
from keyrung_audit.record import MAX_LINE_BYTES


def write_database(path: Path, lines: list[bytes]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE audit(shard TEXT, seq INTEGER, line BLOB, PRIMARY KEY(shard, seq))")
        rows = [("main", seq, line) for seq, line in reversed(list(enumerate(lines)))]
        connection.executemany("INSERT INTO audit VALUES (?, ?, ?)", rows)
        connection.commit()


def test_a_database_yields_its_lines_in_order_and_is_not_changed(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "store.db"
    write_database(path, log.lines)
    before = path.read_bytes()

    assert list(read_log(path)) == log.lines
    assert path.read_bytes() == before


def test_a_log_is_readable_while_its_writer_holds_the_database_open(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "store.db"
    write_database(path, log.lines[:-1])
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO audit VALUES ('main', ?, ?)", (len(log.lines) - 1, log.lines[-1]))
        writer.commit()

        assert list(read_log(path)) == log.lines


@pytest.mark.parametrize("value", [None, 7, "text"])
def test_a_row_that_is_no_blob_never_passes_for_a_record(tmp_path: Path, log: Log, value: object) -> None:
    path = tmp_path / "store.db"
    write_database(path, log.lines)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE audit SET line = ? WHERE seq = 7", (value,))
        connection.commit()

    report = log.check(lines=list(read_log(path)))

    assert {finding.line for finding in report.findings if finding.code == "not-canonical"} == {8}


def test_lines_moved_to_other_rows_are_found(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "store.db"
    write_database(path, log.lines)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE audit SET seq = 100 WHERE seq = 5")
        connection.commit()

    assert not log.check(lines=list(read_log(path))).ok


def test_records_hidden_under_another_shard_are_found(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "store.db"
    write_database(path, log.lines)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO audit VALUES ('other', 0, ?)", (log.lines[3],))
        connection.commit()

    assert not log.check(lines=list(read_log(path))).ok


def test_a_text_file_yields_the_same_lines(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(log.lines) + b"\n")

    assert list(read_log(path)) == log.lines


def test_a_line_that_is_too_long_is_cut_and_the_next_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"a" * (MAX_LINE_BYTES * 2) + b"\n" + b"next\n" + b"b" * (MAX_LINE_BYTES + 1))

    first, second, third = read_lines(path)

    assert len(first) == MAX_LINE_BYTES + 1
    assert second == b"next"
    assert len(third) == MAX_LINE_BYTES + 1


def test_a_line_of_just_the_allowed_length_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"a" * MAX_LINE_BYTES + b"\n\nlast")

    assert list(read_lines(path)) == [b"a" * MAX_LINE_BYTES, b"", b"last"]


def test_a_missing_file_is_an_error_and_no_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"

    with pytest.raises(SourceError) as caught:
        read_log(path)

    assert caught.value.path == path
    assert not path.exists()


def test_a_database_without_an_audit_table_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other(x)")

    with pytest.raises(SourceError, match="no such table"):
        list(read_log(path))


def test_a_damaged_database_is_an_error(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "store.db"
    write_database(path, log.lines)
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(SourceError):
        list(read_log(path))
