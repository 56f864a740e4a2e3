"""`keyrung doctor` over AWS: an alarm that is gone, rings or is heard by nobody, and an archive that is not signed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from keyrung_infra.doctor.aws import AwsSide
from keyrung_infra.doctor.deployment import Deployment
from keyrung_infra.doctor.model import Finding
from keyrung_infra.errors import InfraError

REGION, CONFIG, ARCHIVE = "eu-central-1", "keyrung-config", "keyrung-archive"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOCUMENT = '{"issuer": "https://verifier.example"}'


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account that moto plays in this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def deployment(account: None) -> Deployment:
    """Two alarms whose topic somebody reads, the published document, and an archive that holds nothing yet."""
    topic = _client("sns").create_topic(Name="alarms")["TopicArn"]
    _client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{DEFAULT_ACCOUNT_ID}:pager"
    )
    for name in ("late", "errors"):
        _alarm(name)
    for bucket in (CONFIG, ARCHIVE):
        _client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    _client("s3").put_object(Bucket=CONFIG, Key="deployment.json", Body=DOCUMENT.encode())
    return Deployment(
        root=Path(),
        settings={},
        outputs={"alarmTopic": topic, "auditBucket": ARCHIVE},
        keys={},
        policy={},
        document=DOCUMENT,
        document_path=None,
        bucket=CONFIG,
        alarms=["late", "errors"],
        region=REGION,
    )


def _client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def _alarm(name: str, **changed: Any) -> None:
    options: dict[str, Any] = {
        "AlarmDescription": f"see to {name}",
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "MetricName": "Errors",
        "Namespace": "AWS/Lambda",
        "Period": 60,
        "Statistic": "Sum",
        "Threshold": 0.0,
    }
    _client("cloudwatch").put_metric_alarm(AlarmName=name, **(options | changed))


def _archive(name: str, written: datetime) -> None:
    _client("s3").put_object(Bucket=ARCHIVE, Key=name, Body=b"x")
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[ARCHIVE].keys[name].last_modified = written


def _texts(findings: Iterator[Finding]) -> list[str]:
    return [found.text for found in findings]


def test_a_healthy_deployment_has_nothing_wrong(deployment: Deployment) -> None:
    side = AwsSide(deployment)

    assert [*side.configuration(), *side.alarms(), *side.archive(NOW)] == []


def test_a_document_that_somebody_replaced_is_told(deployment: Deployment) -> None:
    _client("s3").put_object(Bucket=CONFIG, Key="deployment.json", Body=b"{}")

    (told,) = _texts(AwsSide(deployment).configuration())
    assert told == "s3://keyrung-config/deployment.json is not as it was deployed"


def test_an_alarm_that_is_gone_is_told(deployment: Deployment) -> None:
    _client("cloudwatch").delete_alarms(AlarmNames=["late"])

    assert _texts(AwsSide(deployment).alarms()) == ["the alarm late is gone"]


def test_an_alarm_that_rings_is_told_with_its_meaning(deployment: Deployment) -> None:
    _client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")

    assert list(AwsSide(deployment).alarms()) == [Finding(text="the alarm errors rings", fix="see to errors")]


def test_an_alarm_that_is_silenced_is_told_with_the_command_that_ends_it(deployment: Deployment) -> None:
    _alarm("late", ActionsEnabled=False)

    assert list(AwsSide(deployment).alarms()) == [
        Finding(text="the alarm late is silenced", fix="aws cloudwatch enable-alarm-actions late")
    ]


def test_alarms_that_nobody_hears_are_told(deployment: Deployment) -> None:
    sns = _client("sns")
    for each in sns.list_subscriptions()["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])

    assert _texts(AwsSide(deployment).alarms()) == [f"nobody is subscribed to {deployment.outputs['alarmTopic']}"]


@pytest.mark.parametrize(
    ("signed_minutes_ago", "written_minutes_ago", "late"),
    [
        pytest.param(None, 16, True, id="never signed"),
        pytest.param(60, 16, True, id="signed before the last lines"),
        pytest.param(16, 16, False, id="signed with the last lines"),
        pytest.param(5, 16, False, id="signed late"),
        pytest.param(None, 5, False, id="just written"),
    ],
)
def test_lines_that_no_checkpoint_covers_are_told_after_a_while(
    deployment: Deployment, signed_minutes_ago: int | None, written_minutes_ago: int, late: bool
) -> None:
    _archive("lines/00/older.jsonl", NOW - timedelta(days=1))
    _archive("lines/00/newest.jsonl", NOW - timedelta(minutes=written_minutes_ago))
    _archive("lines/01/other.jsonl", NOW - timedelta(days=1))
    _archive("checkpoints/01/other.jws", NOW - timedelta(days=1))
    if signed_minutes_ago is not None:
        _archive("checkpoints/00/newest.jws", NOW - timedelta(minutes=signed_minutes_ago))

    told = _texts(AwsSide(deployment).archive(NOW))

    assert told == (["what was archived of the audit log's shard 00 at 2026-03-01T11:44+00:00 is not signed"] * late)


def test_what_cannot_be_asked_is_told_and_is_no_pass(deployment: Deployment) -> None:
    _client("s3").delete_object(Bucket=CONFIG, Key="deployment.json")

    with pytest.raises(InfraError, match="cannot be asked"):
        list(AwsSide(deployment).configuration())
