"""Alarms, a dashboard, and the topic that tells people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.account import Account
from keyrung_infra.components.policy_document import Statement, policy_document
from keyrung_verifier.errors import UnavailableError
from keyrung_verifier.metrics import NAMESPACE

_PERIOD_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchArgs:
    """What is watched, and who is told.

    Attributes:
        account: Where it is.
        topic_key_arn: KMS key that encrypts the messages.
        verifier: Name of the verifier's function.
        archiver: Name of the archiver's function.
        table: Name of the store.
        dead_letters: Name of the archiver's queue of failures.
        api_id: Of the HTTP API, if there is one.
        emails: Addresses that are told; each has to confirm once, by a link that AWS sends.
        slow_milliseconds: Above which the slowest hundredth of the calls raises an alarm.
        archive_lag_seconds: Above which the archive is late.
        refusals_per_minute: Above which refusals look like an attack or an outage.
    """

    account: Account
    topic_key_arn: pulumi.Input[str]
    verifier: pulumi.Input[str]
    archiver: pulumi.Input[str]
    table: pulumi.Input[str]
    dead_letters: pulumi.Input[str]
    api_id: pulumi.Input[str] | None = None
    emails: Sequence[str] = ()
    slow_milliseconds: int = 2_000
    archive_lag_seconds: int = 300
    refusals_per_minute: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarm:
    """One metric of CloudWatch and the value above which it is an alarm.

    Attributes:
        statistic: `Sum`, `Maximum`, or a percentile such as `p99`.
        minutes: In a row that must be above the threshold.
    """

    name: str
    meaning: str
    namespace: str
    metric: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: str = "Sum"
    threshold: float = 0
    minutes: int = 1


class Watch(pulumi.ComponentResource):
    """What tells that a deployment is not well.

    Attributes:
        topic: Where alarms are published.
        alarms: By their names.
    """

    def __init__(self, name: str, args: WatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the alarms."""
        super().__init__("keyrung:index:Watch", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.topic = aws.sns.Topic(f"{name}-alarms", kms_master_key_id=args.topic_key_arn, opts=child)
        aws.sns.TopicPolicy(
            f"{name}-alarms",
            arn=self.topic.arn,
            policy=policy_document([_publishing(self.topic.arn, args.account)]),
            opts=child,
        )
        for address in args.emails:
            aws.sns.TopicSubscription(
                f"{name}-{address}", topic=self.topic.arn, protocol="email", endpoint=address, opts=child
            )
        watched = _watched(args)
        self.alarms = {alarm.name: self._alarm(name, alarm, child) for alarm in watched}
        aws.cloudwatch.Dashboard(
            name,
            dashboard_name=f"{name}-{pulumi.get_stack()}",
            dashboard_body=pulumi.Output.json_dumps(
                {"widgets": [_widget(alarm, place, args.account) for place, alarm in enumerate(watched)]}
            ),
            opts=child,
        )
        self.register_outputs({"topic": self.topic.arn})

    def _alarm(self, name: str, alarm: _Alarm, opts: pulumi.ResourceOptions) -> aws.cloudwatch.MetricAlarm:
        percentile = alarm.statistic.startswith("p")
        return aws.cloudwatch.MetricAlarm(
            f"{name}-{alarm.name}",
            alarm_description=alarm.meaning,
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            dimensions=dict(alarm.dimensions),
            statistic=None if percentile else alarm.statistic,
            extended_statistic=alarm.statistic if percentile else None,
            comparison_operator="GreaterThanThreshold",
            threshold=alarm.threshold,
            period=_PERIOD_SECONDS,
            evaluation_periods=alarm.minutes,
            treat_missing_data="notBreaching",  # nothing happened
            alarm_actions=[self.topic.arn],
            ok_actions=[self.topic.arn],
            opts=opts,
        )


def _watched(args: WatchArgs) -> list[_Alarm]:
    verifier, archiver = {"FunctionName": args.verifier}, {"FunctionName": args.archiver}
    table, lam, dynamodb = {"TableName": args.table}, "AWS/Lambda", "AWS/DynamoDB"
    alarms = [
        _Alarm(
            name="verifier-errors",
            meaning="The verifier failed instead of answering: read its log.",
            namespace=lam,
            metric="Errors",
            dimensions=verifier,
        ),
        _Alarm(
            name="verifier-throttles",
            meaning="Lambda turned calls away: raise the reserved concurrency.",
            namespace=lam,
            metric="Throttles",
            dimensions=verifier,
        ),
        _Alarm(
            name="verifier-slow",
            meaning="The slowest hundredth of calls takes too long: look at KMS and DynamoDB.",
            namespace=lam,
            metric="Duration",
            dimensions=verifier,
            statistic="p99",
            threshold=args.slow_milliseconds,
            minutes=5,
        ),
        _Alarm(
            name="archiver-errors",
            meaning="Audit records could not be archived: read the archiver's log.",
            namespace=lam,
            metric="Errors",
            dimensions=archiver,
        ),
        _Alarm(
            name="archiver-late",
            meaning="The archive of the audit log is behind.",
            namespace=lam,
            metric="IteratorAge",
            dimensions=archiver,
            statistic="Maximum",
            threshold=args.archive_lag_seconds * 1000,
        ),
        _Alarm(
            name="archiver-gave-up",
            meaning="Part of the audit log was given up: archive it from the table.",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": args.dead_letters},
            statistic="Maximum",
        ),
        _Alarm(
            name="store-reads-throttled",
            meaning="DynamoDB turned reads away: look for a hot partition.",
            namespace=dynamodb,
            metric="ReadThrottleEvents",
            dimensions=table,
        ),
        _Alarm(
            name="store-writes-throttled",
            meaning="DynamoDB turned writes away: look for a hot partition.",
            namespace=dynamodb,
            metric="WriteThrottleEvents",
            dimensions=table,
        ),
        _Alarm(
            name="out-of-reach",
            meaning="KMS, DynamoDB or the policy is out of the verifier's reach, which refuses for as long.",
            namespace=NAMESPACE,
            metric="Refusals",
            dimensions={"function": args.verifier, "error": UnavailableError.error},
        ),
        _Alarm(
            name="many-refusals",
            meaning="Many requests are refused: somebody tries things out, or an application is broken.",
            namespace=NAMESPACE,
            metric="Refusals",
            dimensions={"function": args.verifier},
            threshold=args.refusals_per_minute,
        ),
        _Alarm(
            name="deployment-refused",
            meaning="The verifier does not take the newest deployment and goes on with the one before; deploy again.",
            namespace=NAMESPACE,
            metric="RefusedDeployments",
            dimensions={"function": args.verifier},
        ),
        _Alarm(
            name="log-altered",
            meaning="Somebody changed, removed or added lines of the audit log in the table: see the archiver's log.",
            namespace=NAMESPACE,
            metric="AlteredLines",
            dimensions={"function": args.archiver},
        ),
    ]
    if args.api_id is not None:
        alarms.append(
            _Alarm(
                name="api-errors",
                meaning="The HTTP API answered with errors of its own.",
                namespace="AWS/ApiGateway",
                metric="5xx",
                dimensions={"ApiId": args.api_id},
            )
        )
    return alarms


def _publishing(topic_arn: pulumi.Output[str], account: Account) -> Statement:
    return Statement(
        sid="Alarms",
        actions=("sns:Publish",),
        resources=(topic_arn,),
        principals={"Service": ("cloudwatch.amazonaws.com",)},
        conditions={"StringEquals": {"aws:SourceAccount": account.id}},
    )


def _widget(alarm: _Alarm, place: int, account: Account) -> dict[str, Any]:
    width, height, columns = 8, 6, 3  # of a grid that is 24 wide
    dimensions = [part for pair in alarm.dimensions.items() for part in pair]
    return {
        "type": "metric",
        "x": place % columns * width,
        "y": place // columns * height,
        "width": width,
        "height": height,
        "properties": {
            "title": alarm.name,
            "region": account.region,
            "metrics": [[alarm.namespace, alarm.metric, *dimensions]],
            "stat": alarm.statistic,
            "period": _PERIOD_SECONDS,
            "annotations": {"horizontal": [{"label": "alarm", "value": alarm.threshold}]},
        },
    }
