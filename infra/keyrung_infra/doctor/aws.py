"""What stands in AWS: the published configuration, the alarms, and the archive of the audit log."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from keyrung_infra.doctor.deployment import Deployment
from keyrung_infra.doctor.model import Finding
from keyrung_infra.errors import InfraError
from keyrung_verifier.audit_archive import CHECKPOINTS_PREFIX, LINES_PREFIX
from keyrung_verifier.deployment import OBJECT_NAME

_LATE_MINUTES = 15  # the archiver writes within seconds


class AwsSide:
    """The account that the AWS credentials of this process belong to."""

    def __init__(self, deployment: Deployment) -> None:
        """Look at what ``deployment`` made there."""
        self._deployment = deployment

    def configuration(self) -> Iterator[Finding]:
        """Yield where the verifier reads something else than was deployed."""
        bucket = self._deployment.bucket
        found = self._ask("s3", lambda s3: s3.get_object(Bucket=bucket, Key=OBJECT_NAME)["Body"].read())
        if found != self._deployment.document.encode():
            yield Finding(
                text=f"s3://{bucket}/{OBJECT_NAME} is not as it was deployed",
                fix="find out who wrote there (access logs); `pulumi refresh` and `pulumi up` write it again",
            )

    def alarms(self) -> Iterator[Finding]:
        """Yield alarms that are gone, that ring, or that nobody hears."""
        names = list(self._deployment.alarms)
        found = self._ask("cloudwatch", lambda watch: watch.describe_alarms(AlarmNames=names)["MetricAlarms"])
        there = {each["AlarmName"]: each for each in found}
        for name in names:
            if name not in there:
                yield Finding(text=f"the alarm {name} is gone", fix="`pulumi refresh` and `pulumi up` make it again")
            elif there[name]["StateValue"] == "ALARM":
                yield Finding(text=f"the alarm {name} rings", fix=there[name].get("AlarmDescription", "see to it"))
            elif not there[name].get("ActionsEnabled", True):
                yield Finding(text=f"the alarm {name} is silenced", fix=f"aws cloudwatch enable-alarm-actions {name}")
        topic = str(self._deployment.outputs.get("alarmTopic"))
        heard = self._ask("sns", lambda sns: sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"])
        if not any(each["SubscriptionArn"].startswith("arn:") for each in heard):
            fix = "set alarmEmails and `pulumi up`, then confirm the message; or subscribe your pager to the topic"
            yield Finding(text=f"nobody is subscribed to {topic}", fix=fix)

    def archive(self, now: datetime) -> Iterator[Finding]:
        """Yield lines in the archive that no checkpoint has covered for a while."""
        bucket = str(self._deployment.outputs.get("auditBucket"))
        lines, checkpoints = (self._newest(bucket, prefix) for prefix in (LINES_PREFIX, CHECKPOINTS_PREFIX))
        for shard, written in lines.items():
            signed = checkpoints.get(shard)
            late = timedelta(minutes=_LATE_MINUTES)
            if (signed is None or signed < written) and now - written > late:
                at = written.isoformat(timespec="minutes")
                yield Finding(
                    text=f"what was archived of the audit log's shard {shard} at {at} is not signed",
                    fix="read the archiver's log; it signs again when it can use its key",
                )

    def _newest(self, bucket: str, prefix: str) -> dict[str, datetime]:
        """Return when the newest object of each shard was written."""
        found: dict[str, datetime] = {}

        def pages(s3: Any) -> list[Any]:
            return list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))

        for page in self._ask("s3", pages):
            for each in page.get("Contents", ()):
                shard = each["Key"].removeprefix(prefix).partition("/")[0]
                found[shard] = max(found.get(shard, each["LastModified"]), each["LastModified"])
        return found

    def _ask(self, service: str, call: Callable[[Any], Any]) -> Any:
        try:
            return call(boto3.session.Session().client(service, region_name=self._deployment.region))
        except (BotoCoreError, ClientError) as error:
            why = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            raise InfraError(
                f"{service} in {self._deployment.region} cannot be asked ({why})",
                fix="check the network, and that the AWS credentials may read it",
            ) from error
