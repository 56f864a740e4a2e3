"""The archiver: each line is archived once and signed for, whatever comes twice, late, mixed or fails half-way."""

import base64
import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.s3.models import s3_backends
from support.aws import dynamodb_store
from support.aws_deployment import ARCHIVE, DOCUMENT, AwsDeployment, deploy
from support.kms import put_kms_right
from support.lambda_events import ACCOUNT

from keyrung_audit import public_key_from_jwk
from keyrung_audit.checkpoints import open_checkpoint
from keyrung_verifier.aws.archiver import Archiver
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import DeploymentDocument
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.errors import UnavailableError
from keyrung_verifier.metrics import Teller
from keyrung_verifier.store.dynamodb_table import AUDIT_SHARDS
from keyrung_verifier.system import SystemClock, SystemRandom

Record = dict[str, Any]


@pytest.fixture
def deployment(moto: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AwsDeployment:
    put_kms_right(monkeypatch)
    made = deploy(moto)
    for _ in range(3):
        made.enrol_totp()  # some records in some of the chains
    return made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def archiver(deployment: AwsDeployment, said: list[str]) -> Archiver:
    environment, clock = deployment.environment(), SystemClock()
    clients = AwsClients(environment, clock=clock, random=SystemRandom(), sleep=lambda _seconds: None)
    teller = Teller(said.append, function="archiver", clock=clock)
    document = DeploymentDocument(environment, clients, clock=clock, teller=teller)
    return Archiver(document, clients, clock=clock, teller=teller)


def lines_of(deployment: AwsDeployment) -> dict[str, list[bytes]]:
    """Return the lines in the archive, chain by chain, each once."""
    found: dict[str, dict[int, set[bytes]]] = {}
    for name, body in deployment.archived("lines/").items():
        for line in body.splitlines():
            found.setdefault(name.split("/")[1], {}).setdefault(json.loads(line)["seq"], set()).add(line)
    assert all(len(same) == 1 for chain in found.values() for same in chain.values())
    return {shard: [next(iter(chain[seq])) for seq in sorted(chain)] for shard, chain in found.items()}


def written(deployment: AwsDeployment) -> dict[str, list[bytes]]:
    """Return the lines in the table, chain by chain."""
    store = dynamodb_store(deployment.endpoint, shards=AUDIT_SHARDS)
    tails = map(store.audit_tail, store.audit_shards)
    return {tail.shard: [store.audit_line(tail.shard, seq) or b"" for seq in range(tail.seq + 1)] for tail in tails}


def checkpoints_fit(deployment: AwsDeployment) -> int:
    """Check every checkpoint with the independent reader; return how many there are."""
    key = public_key_from_jwk(deployment.document["audit_keys"][0]["jwk"])
    lines = written(deployment)
    found = deployment.archived("checkpoints/")
    for name, body in found.items():
        opened = open_checkpoint(body.rstrip(b"\n"), line=1, keys={key.key_id: key})
        assert name == f"checkpoints/{opened.shard}/{opened.seq:016d}-{opened.head}.jws"
        assert opened.head == hashlib.sha256(lines[opened.shard][opened.seq]).hexdigest()
    return len(found)


def handed_over(archiver: Archiver, records: Sequence[Record]) -> Any:
    return archiver.archive({"Records": list(records)})["batchItemFailures"]


def test_every_line_is_archived_locked_and_signed_for(deployment: AwsDeployment, archiver: Archiver) -> None:
    assert handed_over(archiver, deployment.stream()) == []

    assert lines_of(deployment) == written(deployment)
    assert checkpoints_fit(deployment) == AUDIT_SHARDS
    for name in deployment.archived(""):
        assert deployment.s3.head_object(Bucket=ARCHIVE, Key=name)["ObjectLockMode"] == "GOVERNANCE"


def test_a_batch_that_comes_twice_changes_nothing(deployment: AwsDeployment, archiver: Archiver) -> None:
    records = deployment.stream()
    handed_over(archiver, records)
    before = deployment.archived("")

    assert handed_over(archiver, records) == []

    assert deployment.archived("") == before
    for name in before:
        versions = deployment.s3.list_object_versions(Bucket=ARCHIVE, Prefix=name)["Versions"]
        assert len(versions) == 1


def test_lines_that_take_the_numbers_of_archived_ones_are_archived_beside_them(
    deployment: AwsDeployment, archiver: Archiver
) -> None:
    records = deployment.stream()
    handed_over(archiver, records)
    before = deployment.archived("")
    other = [each for each in map(as_after_a_restore, records) if each is not None]

    assert handed_over(archiver, other) == []

    after = deployment.archived("")
    assert before.items() <= after.items()
    kept = b"".join(body for name, body in after.items() if name.startswith("lines/"))
    assert all(base64.b64decode(each["dynamodb"]["NewImage"]["line_bytes"]["B"]) in kept for each in other)


def as_after_a_restore(record: Record) -> Record | None:
    """Return the record of a chain's first line as another history would have it, None for other records."""
    image = record["dynamodb"].get("NewImage", {})
    if record["dynamodb"]["Keys"]["sk"]["S"] != f"{0:016d}" or "line_bytes" not in image:
        return None
    line = json.loads(base64.b64decode(image["line_bytes"]["B"])) | {"time": "2026-01-01T00:00:00.000000Z"}
    text = json.dumps(line, separators=(",", ":"), sort_keys=True).encode()
    changed = image | {"line_bytes": {"B": base64.b64encode(text).decode()}}
    return record | {"dynamodb": record["dynamodb"] | {"NewImage": changed}}


def test_batches_in_any_order_and_cut_give_the_same_log(deployment: AwsDeployment, archiver: Archiver) -> None:
    records = deployment.stream()
    cut = [records[start : start + 7] for start in range(0, len(records), 5)]  # each overlaps the one before
    random.Random(3).shuffle(cut)  # noqa: S311 - the same order in each run

    for batch in cut:
        assert handed_over(archiver, batch) == []

    assert lines_of(deployment) == written(deployment)
    assert checkpoints_fit(deployment) >= AUDIT_SHARDS


def test_what_could_not_be_signed_is_asked_for_again_from_its_first_line(
    deployment: AwsDeployment, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = deployment.stream()
    real, calls = KmsBackend.sign, []

    def fail_after_five(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > 5:
            raise JsonRESTError("ThrottlingException", "Rate exceeded")
        return real(*args, **kwargs)

    monkeypatch.setattr(KmsBackend, "sign", fail_after_five)
    (failure,) = handed_over(archiver, records)
    monkeypatch.setattr(KmsBackend, "sign", real)
    assert checkpoints_fit(deployment) == 5
    rest = [each for each in records if int(each["dynamodb"]["SequenceNumber"]) >= int(failure["itemIdentifier"])]

    assert handed_over(archiver, rest) == []

    assert lines_of(deployment) == written(deployment)
    assert checkpoints_fit(deployment) >= AUDIT_SHARDS


def test_what_could_not_be_written_is_not_signed_for(deployment: AwsDeployment, archiver: Archiver) -> None:
    archiver.archive({"Records": []})  # the document is read
    buckets = s3_backends[ACCOUNT]["aws"].buckets
    bucket = buckets.pop(ARCHIVE)
    try:
        assert len(handed_over(archiver, deployment.stream())) == 1
    finally:
        buckets[ARCHIVE] = bucket
    assert deployment.archived("") == {}


def test_lines_that_are_not_linked_are_kept_apart_unsigned_and_stop_no_other_chain(
    deployment: AwsDeployment, archiver: Archiver, said: list[str]
) -> None:
    records = deployment.stream()
    lines = [each for each in records if each["dynamodb"]["Keys"]["pk"]["S"].startswith("audit#")]
    chosen = next(each for each in lines if int(each["dynamodb"]["Keys"]["sk"]["S"]) == 1)
    image = chosen["dynamodb"]["NewImage"]
    line = base64.b64decode(image["line_bytes"]["B"]).replace(b'"outcome":"success"', b'"outcome":"refused"')
    image["line_bytes"]["B"] = base64.b64encode(line.replace(b'"prev":"', b'"prev":"0')).decode()

    shard = chosen["dynamodb"]["Keys"]["pk"]["S"].removeprefix("audit#")
    assert handed_over(archiver, records) == []  # they would never become linked

    assert checkpoints_fit(deployment) == AUDIT_SHARDS - 1
    assert not any(name.split("/")[1] == shard for name in deployment.archived("checkpoints/"))
    assert lines_of(deployment) == {name: lines for name, lines in written(deployment).items() if name != shard}
    (kept,) = deployment.archived("unlinked/").values()
    assert base64.b64decode(image["line_bytes"]["B"]) in kept.splitlines()
    assert json.loads(said[-1])["AlteredLines"] == len(kept.splitlines())


def test_a_changed_or_removed_line_raises_a_metric_and_leaves_the_archive(
    deployment: AwsDeployment, archiver: Archiver, said: list[str]
) -> None:
    records = deployment.stream()
    handed_over(archiver, records)
    before = deployment.archived("")
    lines = [each for each in records if each["dynamodb"]["Keys"]["pk"]["S"].startswith("audit#")]

    handed_over(archiver, [lines[0] | {"eventName": "MODIFY"}, lines[1] | {"eventName": "REMOVE"}])

    assert json.loads(said[-1])["AlteredLines"] == 2
    assert deployment.archived("") == before


def test_without_a_deployment_the_batch_fails_whole(deployment: AwsDeployment, archiver: Archiver) -> None:
    deployment.remove(DOCUMENT)

    with pytest.raises(UnavailableError):
        handed_over(archiver, deployment.stream())


def test_items_that_are_no_lines_are_passed_over(
    deployment: AwsDeployment, archiver: Archiver, said: list[str]
) -> None:
    records = [each for each in deployment.stream() if not each["dynamodb"]["Keys"]["pk"]["S"].startswith("audit#")]

    assert records
    assert handed_over(archiver, records) == []
    assert deployment.archived("") == {}
    assert json.loads(said[-1])["ArchivedLines"] == 0
