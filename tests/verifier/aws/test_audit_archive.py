"""From the table's stream to the archive: whole runs under names of their own, the same whatever comes twice."""

import base64
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.aws import TABLE, StartAt, dynamodb_store, make_table, sdk_client
from support.verifier import AUDIT_KEY, SettableClock, one_generation

from keyrung_audit import public_key_from_jwk, read_checkpoints, read_log, verify
from keyrung_verifier.audit_archive import read_batch
from keyrung_verifier.audit_writer import AuditWriter, Entry
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.checkpoints import sign_checkpoint
from keyrung_verifier.errors import AuditTailError
from keyrung_verifier.store.dynamodb import DynamoDbStore
from keyrung_verifier.store.dynamodb_table import shard_names
from keyrung_verifier.system import SystemRandom


def stream(moto: Endpoint) -> list[dict[str, Any]]:
    """Return every item of the table as a record of its stream, in no order."""
    records = [
        {"eventName": "INSERT", "dynamodb": {"Keys": {name: item[name] for name in ("pk", "sk")}, "NewImage": item}}
        for item in sdk_client("dynamodb", moto).scan(TableName=TABLE)["Items"]
    ]
    # As JSON, which is how a function gets them.
    text = json.dumps(records, default=lambda data: base64.b64encode(data).decode())
    found: list[dict[str, Any]] = json.loads(text)
    random.shuffle(found)
    return found


def _writer(store: DynamoDbStore, clock: SettableClock) -> AuditWriter:
    return AuditWriter(
        store=store,
        signers=one_generation(AUDIT_KEY, clock),
        checkpoints=None,
        clock=clock,
        random=SystemRandom(),
    )


@pytest.fixture
def log(moto: Endpoint) -> AuditWriter:
    """A log of two chains with some records in each."""
    make_table(moto)
    clock = SettableClock()
    writers = [_writer(dynamodb_store(moto, shards=2, random=StartAt(number)), clock) for number in range(2)]
    for writer in writers:
        writer.open()
        for _ in range(4):
            writer.commit([Entry(event="access.evaluated", outcome="allow", subject_id="alice")])
    return writers[0]


def test_every_line_is_archived_once_under_a_name_that_says_which(log: AuditWriter, moto: Endpoint) -> None:
    store = dynamodb_store(moto, shards=2)

    batch = read_batch(stream(moto))

    assert [run.shard for run in batch.runs] == list(shard_names(2))
    assert batch.altered == []
    for run in batch.runs:
        tail = store.audit_tail(run.shard)
        assert run.tail == tail
        assert run.body == b"".join((store.audit_line(run.shard, seq) or b"") + b"\n" for seq in range(tail.seq + 1))
        assert run.lines_name == f"lines/{run.shard}/{0:016d}-{tail.seq:016d}-{tail.hash}.jsonl"
        assert run.checkpoint_name == f"checkpoints/{run.shard}/{tail.seq:016d}-{tail.hash}.jws"


def test_a_batch_that_comes_twice_says_the_same(log: AuditWriter, moto: Endpoint) -> None:
    records = stream(moto)

    assert read_batch(records) == read_batch(records * 2)


def test_lines_that_come_later_leave_a_gap_between_two_runs(log: AuditWriter, moto: Endpoint) -> None:
    late = [record for record in stream(moto) if record["dynamodb"]["Keys"]["sk"]["S"] != f"{1:016d}"]

    runs = read_batch(late).runs

    assert [run.first_seq for run in runs] == [0, 2, 0, 2]


@pytest.mark.parametrize("event", ["MODIFY", "REMOVE"])
def test_a_line_that_somebody_changed_in_the_table_is_told_and_not_archived(
    log: AuditWriter, moto: Endpoint, event: str
) -> None:
    records = stream(moto)
    for record in records:
        if record["dynamodb"]["Keys"] == {"pk": {"S": "audit#01"}, "sk": {"S": f"{0:016d}"}}:
            record["eventName"] = event

    batch = read_batch(records)

    assert batch.altered == [f"'audit#01' '{0:016d}'"]
    assert [run.first_seq for run in batch.runs] == [0, 1]


@pytest.mark.parametrize("change", [{"prev": "0" * 64}, {"seq": 7}, {"shard": "00"}])
def test_nothing_is_signed_over_a_line_that_does_not_lead_to_the_head(
    log: AuditWriter, moto: Endpoint, change: dict[str, Any]
) -> None:
    records = stream(moto)
    for record in records:
        if record["dynamodb"]["Keys"] == {"pk": {"S": "audit#01"}, "sk": {"S": f"{1:016d}"}}:
            image = record["dynamodb"]["NewImage"]["line_bytes"]
            line = json.loads(base64.b64decode(image["B"])) | change
            image["B"] = base64.b64encode(json.dumps(line).encode()).decode()

    batch = read_batch(records)

    assert [run.shard for run in batch.runs] == ["00"]
    assert [(run.shard, run.first_seq, len(run.lines)) for run in batch.unlinked] == [("01", 0, 5)]


@pytest.mark.parametrize("image", [{}, {"line_bytes": {"S": "no bytes"}}, {"line_bytes": {"B": "%"}}])
def test_an_item_without_a_line_stops_no_other_chain(log: AuditWriter, moto: Endpoint, image: dict[str, Any]) -> None:
    records = stream(moto)
    for record in records:
        if record["dynamodb"]["Keys"] == {"pk": {"S": "audit#01"}, "sk": {"S": f"{1:016d}"}}:
            record["dynamodb"]["NewImage"] = image

    batch = read_batch(records)

    assert [run.shard for run in batch.runs] == ["00"]
    assert [run.shard for run in batch.unlinked] == ["01"]


@pytest.mark.parametrize(("pk", "sk"), [("audit#00", "last"), ("audit#00", "7"), ("audit#../00", f"{9:016d}")])
def test_an_item_under_a_key_that_no_line_has_is_told_and_names_no_object(
    log: AuditWriter, moto: Endpoint, pk: str, sk: str
) -> None:
    records = stream(moto)
    foreign = {"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}, "NewImage": {}}}

    batch = read_batch([*records, foreign])

    assert batch.altered == [f"{pk!a} {sk!a}"]
    assert (batch.runs, batch.unlinked) == (read_batch(records).runs, [])


def test_a_subject_has_one_pseudonym_in_all_chains(log: AuditWriter, moto: Endpoint) -> None:
    lines = [json.loads(line) for run in read_batch(stream(moto)).runs for line in run.lines]

    assert {line["event"] for line in lines if line["seq"] == 0} == {"log.opened"}
    assert len({line["detail"]["salt"] for line in lines if line["seq"] == 0}) == 1
    assert {line["detail"]["shards"] for line in lines if line["seq"] == 0} == {"00 01"}
    assert len({line["subject"] for line in lines if line["seq"] > 0}) == 1
    assert {line["shard"] for line in lines if line["seq"] > 0} == {"00", "01"}


def test_the_reader_finds_the_archive_of_a_real_log_whole_and_one_with_a_chain_less_not(
    log: AuditWriter, moto: Endpoint, tmp_path: Path
) -> None:
    for run in read_batch(stream(moto)).runs:
        checkpoint = sign_checkpoint(AUDIT_KEY, run.tail, time="2026-11-25T12:00:00.000000Z")
        for name, body in ((run.lines_name, run.body), (run.checkpoint_name, checkpoint + b"\n")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(body)
    key = public_key_from_jwk(AUDIT_KEY.public_jwk)

    report = verify(read_log(tmp_path), read_checkpoints(tmp_path), [key])
    assert report.findings == ()
    assert (report.records_count, report.unsigned_count) == (10, 0)

    shutil.rmtree(tmp_path / "lines" / "00")
    shutil.rmtree(tmp_path / "checkpoints" / "00")
    report = verify(read_log(tmp_path), read_checkpoints(tmp_path), [key])
    assert [(finding.code, finding.shard) for finding in report.findings] == [("missing-shard", "00")]


@pytest.mark.parametrize("shards", [1, 3])
def test_a_log_keeps_the_number_of_chains_that_it_began_with(log: AuditWriter, moto: Endpoint, shards: int) -> None:
    other = _writer(dynamodb_store(moto, shards=shards), SettableClock())

    with pytest.raises(AuditTailError, match=f"has 2 chains for good, not {shards}"):
        other.open()
