"""Objects are read when they changed, and written once."""

from datetime import UTC, datetime, timedelta

import pytest
from support.aws import REGION, aws_client, sdk_client
from support.tcp_proxy import TcpProxy
from support.verifier import SettableClock

from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.aws.errors import AwsRefusedError
from keyrung_verifier.aws.published import POLL_SECONDS, PublishedObject
from keyrung_verifier.aws.s3 import Bucket

KEY = "audit/0/an object=with+odd~names (1) é.jsonl"


@pytest.fixture
def s3(moto: Endpoint):  # type: ignore[no-untyped-def] # boto3 has no types
    client = sdk_client("s3", moto)
    client.create_bucket(
        Bucket="a.bucket", ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    yield client
    client.close()


def test_an_object_is_read_again_only_when_it_changed(moto: Endpoint, s3) -> None:  # type: ignore[no-untyped-def]
    bucket = Bucket(aws_client("s3", moto), "a.bucket")
    s3.put_object(Bucket="a.bucket", Key=KEY, Body=b"one")

    first = bucket.get(KEY)
    assert first is not None
    assert first.body == b"one"
    assert bucket.get(KEY, unless_etag=first.etag) is None
    s3.put_object(Bucket="a.bucket", Key=KEY, Body=b"two")
    second = bucket.get(KEY, unless_etag=first.etag)
    assert second is not None
    assert second.body == b"two"


def test_a_clock_that_is_set_back_keeps_no_change_away(moto: Endpoint, s3) -> None:  # type: ignore[no-untyped-def]
    clock = SettableClock()
    published = PublishedObject(aws_client("s3", moto), "s3://a.bucket/deployment.json", clock=clock)
    s3.put_object(Bucket="a.bucket", Key="deployment.json", Body=b"one")
    first = published.stamp()
    s3.put_object(Bucket="a.bucket", Key="deployment.json", Body=b"two")
    assert published.stamp() == first

    clock.advance(-3600)
    assert published.stamp() != first
    assert published.read() == b"two"

    s3.put_object(Bucket="a.bucket", Key="deployment.json", Body=b"three")
    clock.advance(POLL_SECONDS)
    published.stamp()
    assert published.read() == b"three"


def test_a_missing_object_is_told_by_its_code(moto: Endpoint, s3) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AwsRefusedError) as refused:
        Bucket(aws_client("s3", moto), "a.bucket").get("nothing")

    assert refused.value.code == "NoSuchKey"


def test_an_object_is_written_once_and_locked_as_its_bucket_says(moto: Endpoint, s3) -> None:  # type: ignore[no-untyped-def]
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 400}}}
    s3.put_object_lock_configuration(Bucket="a.bucket", ObjectLockConfiguration=lock)
    bucket = Bucket(aws_client("s3", moto), "a.bucket")

    bucket.put_once(KEY, b"lines")
    bucket.put_once(KEY, b"other lines")

    found = s3.get_object(Bucket="a.bucket", Key=KEY)
    assert found["Body"].read() == b"lines"
    assert found["ObjectLockMode"] == "COMPLIANCE"
    assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=399)


def test_a_put_whose_answer_was_lost_counts_as_done(moto: Endpoint, s3, proxy: TcpProxy) -> None:  # type: ignore[no-untyped-def]
    proxy.drop_answers = 1

    Bucket(aws_client("s3", proxy.endpoint), "a.bucket").put_once(KEY, b"lines")

    assert s3.get_object(Bucket="a.bucket", Key=KEY)["Body"].read() == b"lines"
