"""A good log is never flagged; every kind of tampering is found and its place is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit_log import AuditKey, Log, canonical, chain, good_log, plain_changes, record, sha256

from keyrung_audit import PublicKeyError, Report, verify

KEYS = {algorithm: AuditKey(algorithm) for algorithm in ("ES256", "Ed25519")}
LOGS = [good_log(audit_key, count) for audit_key in KEYS.values() for count in (6, 14)]
logs = st.sampled_from(LOGS)


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


@given(algorithm=st.sampled_from(sorted(KEYS)), count=st.integers(5, 40))
@settings(deadline=None, max_examples=40)
def test_a_good_log_of_any_length_is_never_flagged(algorithm: str, count: int) -> None:
    log = good_log(KEYS[algorithm], count)

    report = log.check()

    assert report.findings == ()
    assert report.notes == ()
    assert (report.records_count, report.chains[0].head_seq, report.chains[0].signed_seq) == (
        count,
        count - 1,
        count - 1,
    )
    assert report.chains[0].head == sha256(log.lines[-1])
    assert report.unsigned_count == 0


@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_any_change_to_any_byte_of_any_line_is_found(data: st.DataObject) -> None:
    log = data.draw(logs)
    index = data.draw(st.integers(0, len(log.lines) - 1))
    line = bytearray(log.lines[index])
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= data.draw(st.integers(1, 255))

    report = log.check(lines=[*log.lines[:index], bytes(line), *log.lines[index + 1 :]])

    assert not report.ok
    places = {finding.line for finding in report.findings}
    assert places & {index, index + 1, index + 2}, "the finding names the line or its neighbour"


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_any_change_to_any_byte_of_any_checkpoint_is_found(data: st.DataObject) -> None:
    log = data.draw(logs)
    index = data.draw(st.integers(0, len(log.checkpoints) - 1))
    checkpoint = bytearray(log.checkpoints[index])
    position = data.draw(st.integers(0, len(checkpoint) - 1))
    checkpoint[position] ^= data.draw(st.integers(1, 255))

    report = log.check(checkpoints=[*log.checkpoints[:index], bytes(checkpoint), *log.checkpoints[index + 1 :]])

    assert index + 1 in {finding.checkpoint_line for finding in report.findings}


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_a_dropped_line_is_found(data: st.DataObject) -> None:
    log = data.draw(logs)
    index = data.draw(st.integers(0, len(log.lines) - 2))

    report = log.check(lines=log.lines[:index] + log.lines[index + 1 :])

    assert "dropped" in codes(report)
    assert index + 1 in {finding.line for finding in report.findings}


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_swapped_lines_are_found(data: st.DataObject) -> None:
    log = data.draw(logs)
    first = data.draw(st.integers(0, len(log.lines) - 2))
    second = data.draw(st.integers(first + 1, len(log.lines) - 1))
    lines = list(log.lines)
    lines[first], lines[second] = lines[second], lines[first]

    report = log.check(lines=lines)

    assert codes(report) & {"swapped", "no-genesis"}
    assert first + 1 in {finding.line for finding in report.findings}


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_a_duplicated_line_is_found(data: st.DataObject) -> None:
    log = data.draw(logs)
    source = data.draw(st.integers(0, len(log.lines) - 1))
    place = data.draw(st.integers(source + 1, len(log.lines)))

    report = log.check(lines=[*log.lines[:place], log.lines[source], *log.lines[place:]])

    assert ("inserted", place + 1) in {(finding.code, finding.line) for finding in report.findings}


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_an_inserted_record_is_found_whatever_it_names_as_its_predecessor(data: st.DataObject) -> None:
    log = data.draw(logs)
    place = data.draw(st.integers(1, len(log.lines) - 1))
    prev = data.draw(st.sampled_from(["ee" * 32, *map(sha256, log.lines)]))
    extra = record(place, prev, correlation_id="forged")

    report = log.check(lines=[*log.lines[:place], extra, *log.lines[place:]])

    assert codes(report) & {"inserted", "forked", "swapped"}
    assert {finding.line for finding in report.findings} & {place + 1, place + 2}


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_log_cut_before_its_newest_checkpoint_is_found(data: st.DataObject) -> None:
    log = data.draw(logs)
    kept = data.draw(st.integers(0, len(log.lines) - 1))

    report = log.check(lines=log.lines[:kept])

    assert "truncated" in codes(report)
    finding = next(finding for finding in report.findings if finding.code == "truncated")
    assert f"ends at number {kept - 1}," in finding.message
    assert finding.checkpoint_line == len(log.checkpoints)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_fork_chained_again_from_any_point_is_found_without_a_signature(data: st.DataObject) -> None:
    log = data.draw(logs)
    count = len(log.lines)
    start = data.draw(st.integers(0, count - 1))
    changes = plain_changes(log.key, count)
    changes[start] |= {"correlation_id": "another history"}
    forged = chain(changes)

    report = log.check(lines=forged)

    assert codes(report) == {"forked"}
    assert not codes(Log(key=log.key, lines=forged, checkpoints=log.checkpoints[:0]).check()) - {"unsigned"}


def test_a_fork_with_checkpoints_of_a_foreign_key_is_found(log: Log) -> None:
    stranger = AuditKey("ES256")
    forged = chain([change | {"correlation_id": "forged"} for change in plain_changes(log.key, 14)])

    report = log.check(lines=forged, checkpoints=[stranger.checkpoint(13, forged[13])])

    assert codes(report) == {"unknown-signer", "unsigned"}


def test_a_log_opened_for_a_foreign_key_is_found(log: Log) -> None:
    stranger = good_log(AuditKey("Ed25519"))

    report = log.check(lines=stranger.lines, checkpoints=stranger.checkpoints)

    assert {"wrong-genesis-key", "unknown-signer"} <= codes(report)


def test_two_checkpoints_that_sign_different_records_under_one_number_are_a_fork(log: Log) -> None:
    other = log.key.checkpoint(13, b"another record")

    report = log.check(checkpoints=[*log.checkpoints, other])

    assert codes(report) == {"forked"}
    assert {finding.checkpoint_line for finding in report.findings} == {len(log.checkpoints) + 1}


def test_a_writer_that_went_on_from_an_older_copy_is_found(log: Log) -> None:
    older_copy = log.lines[:9]
    went_on = older_copy + chain(plain_changes(log.key, 9))[:0]
    went_on.append(record(9, sha256(older_copy[-1]), correlation_id="after the restore"))

    report = log.check(lines=went_on, checkpoints=[*log.checkpoints, log.key.checkpoint(9, went_on[9])])

    assert codes(report) == {"truncated", "rolled-back"}


def test_a_checkpoint_of_another_shard_is_found(log: Log) -> None:
    foreign = log.key.checkpoint(13, log.lines[13], shard="other")

    assert codes(log.check(checkpoints=[*log.checkpoints, foreign])) == {"bad-checkpoint"}


def test_a_log_without_any_checkpoint_is_not_trusted(log: Log) -> None:
    assert codes(log.check(checkpoints=[])) == {"unsigned"}


def test_an_empty_log_is_not_a_good_log(log: Log) -> None:
    assert codes(log.check(lines=[], checkpoints=[])) == {"empty", "unsigned"}


def test_records_after_the_newest_checkpoint_are_counted_as_not_signed(log: Log) -> None:
    report = log.check(checkpoints=log.checkpoints[:2])

    assert report.ok
    assert (report.chains[0].signed_seq, report.unsigned_count) == (7, 6)


def test_nothing_is_verified_without_a_key(log: Log) -> None:
    with pytest.raises(PublicKeyError, match="audit key"):
        verify(log.lines, log.checkpoints, [])


def test_a_time_that_goes_backwards_is_a_note_only(audit_key: AuditKey) -> None:
    changes = plain_changes(audit_key, 8)
    changes[6]["time"] = "2026-11-25T00:30:00.000000Z"
    lines = chain(changes)

    report = Log(key=audit_key, lines=lines, checkpoints=[audit_key.checkpoint(7, lines[7])]).check()

    assert report.ok
    assert [(note.code, note.seq) for note in report.notes] == [("time-backwards", 6)]


def test_a_jump_of_the_number_is_found_though_the_hashes_agree(audit_key: AuditKey) -> None:
    changes = plain_changes(audit_key, 8)
    changes[6]["seq"] = 7
    changes[7]["seq"] = 8
    lines = chain(changes)

    report = Log(key=audit_key, lines=lines, checkpoints=[audit_key.checkpoint(8, lines[7])]).check()

    assert [(finding.code, finding.seq) for finding in report.findings] == [("sequence-gap", 7)]


def test_a_second_opening_inside_the_log_is_found(audit_key: AuditKey) -> None:
    changes = plain_changes(audit_key, 8)
    changes[6] = dict(changes[0])
    lines = chain(changes)

    report = Log(key=audit_key, lines=lines, checkpoints=[audit_key.checkpoint(7, lines[7])]).check()

    assert [(finding.code, finding.seq) for finding in report.findings] == [("inserted", 6)]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"typ": "stepup+jwt"},
        {"crit": ["exp"]},
        {"jwk": {"kty": "EC"}},
        {"kid": 1},
    ],
)
def test_a_checkpoint_header_that_is_not_exact_is_refused(audit_key: AuditKey, header: dict[str, object]) -> None:
    log = good_log(audit_key)
    payload = canonical(
        {"v": 1, "shard": "main", "seq": 13, "head": sha256(log.lines[13]), "time": "2026-11-25T03:00:00.000000Z"}
    )

    report = log.check(checkpoints=[audit_key.jws(payload, **header)])

    assert codes(report) <= {"bad-checkpoint", "unknown-signer", "unsigned"}
    assert len(report.findings) == 2


def test_the_report_says_the_same_in_json(log: Log) -> None:
    report = json.loads(json.dumps(log.check(lines=log.lines[:-1]).to_json()))

    assert report["format"] == "keyrung-audit-report/v2"
    assert report["ok"] is False
    assert report["records"] == 13
    assert report["findings"][0]["code"] == "truncated"
