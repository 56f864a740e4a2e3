"""The audit log's second place: the store's stream, an archiver, and a bucket whose objects nobody can change."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.account import Account
from keyrung_infra.components.encryption_key import encryption_key
from keyrung_infra.components.function import Function, FunctionArgs
from keyrung_infra.components.key_policy import through_service
from keyrung_infra.components.policy_document import Statement
from keyrung_infra.components.private_bucket import PrivateBucket, PrivateBucketArgs, written_once, written_only_by
from keyrung_infra.errors import InfraError
from keyrung_verifier.aws.s3 import Bucket
from keyrung_verifier.store.dynamodb_table import AUDIT_PARTITION, PARTITION_KEY

_BATCH_SIZE = 100
_BATCH_SECONDS = 1  # an object of the archive holds what came in this time
# Longer than known outages of S3 and KMS. What came behind a record that cannot be archived is then still in the
# stream, which holds a day.
_GIVEN_UP_AFTER_SECONDS = 6 * 3600
_ONLY_THE_LOG = json.dumps({"dynamodb": {"Keys": {PARTITION_KEY: {"S": [{"prefix": AUDIT_PARTITION}]}}}})
_DEAD_LETTER_SECONDS = 14 * 24 * 3600  # the longest that SQS keeps a message
_TIMEOUT_SECONDS = 60
ARCHIVE_ACTIONS = tuple(sorted(Bucket.PUT_ACTIONS))  # the bucket's default retention locks each object
LONGEST_DAYS = 36_500  # of a default retention in S3


class LockMode(StrEnum):
    """Who can shorten the time for which an object is locked."""

    GOVERNANCE = "GOVERNANCE"  # whoever has the right `s3:BypassGovernanceRetention`
    COMPLIANCE = "COMPLIANCE"  # nobody, not even the account's root


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTrailArgs:
    """What the trail is like.

    Attributes:
        account: Where it is.
        table: The store whose stream carries the log.
        store_key_arn: KMS key that encrypts the store.
        audit_key_arns: Of the keys that sign checkpoints.
        archiver: The archiver's code, role and log.
        log_bucket: Name of the bucket where access is logged.
        lock_mode: Whether anybody can shorten the retention.
        retention_days: For which every object is locked.
        protect: Whether deleting the bucket is refused.
    """

    account: Account
    table: aws.dynamodb.Table
    store_key_arn: pulumi.Input[str]
    audit_key_arns: Sequence[pulumi.Input[str]]
    archiver: FunctionArgs
    log_bucket: pulumi.Input[str]
    lock_mode: LockMode = LockMode.GOVERNANCE
    retention_days: int = 365
    protect: bool = True

    def __post_init__(self) -> None:
        """Raise `InfraError` for a retention that S3 does not offer."""
        if not 1 <= self.retention_days <= LONGEST_DAYS:
            raise InfraError(
                f"retention_days is {self.retention_days}", fix=f"choose 1 to {LONGEST_DAYS} days, such as 365"
            )


class AuditTrail(pulumi.ComponentResource):
    """A bucket under Object Lock and the one function that writes it.

    Attributes:
        bucket: The archive.
        archiver: The function.
        dead_letters: Which parts of the stream could not be archived.
    """

    def __init__(self, name: str, args: AuditTrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the trail."""
        super().__init__("keyrung:index:AuditTrail", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = encryption_key(
            f"{name}-archive",
            args.account,
            [through_service(args.account, "s3")],
            description="Keyrung: encrypts the audit log's archive",
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.bucket = PrivateBucket(
            f"{name}-archive",
            PrivateBucketArgs(kms_key_arn=key.arn, log_bucket=args.log_bucket, object_lock=True, protect=args.protect),
            statements=lambda arn: [written_only_by(arn, args.archiver.role.arn), written_once(arn)],
            opts=child,
        )
        locked = aws.s3.BucketObjectLockConfiguration(
            f"{name}-archive",
            bucket=self.bucket.name,
            rule={"default_retention": {"mode": args.lock_mode.value, "days": args.retention_days}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=self.bucket.ready),
        )
        self.dead_letters = aws.sqs.Queue(
            f"{name}-dead-letters",
            message_retention_seconds=_DEAD_LETTER_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=child,
        )
        self.archiver = Function(
            f"{name}-archiver",
            replace(
                args.archiver,
                statements=[*args.archiver.statements, *self._statements(args, key)],
                timeout_seconds=_TIMEOUT_SECONDS,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[locked]),
        )
        aws.lambda_.EventSourceMapping(
            f"{name}-archiver",
            event_source_arn=args.table.stream_arn,
            function_name=self.archiver.function.arn,
            starting_position="TRIM_HORIZON",
            batch_size=_BATCH_SIZE,
            maximum_batching_window_in_seconds=_BATCH_SECONDS,
            filter_criteria={"filters": [{"pattern": _ONLY_THE_LOG}]},
            maximum_record_age_in_seconds=_GIVEN_UP_AFTER_SECONDS,
            bisect_batch_on_function_error=True,
            function_response_types=["ReportBatchItemFailures"],
            destination_config={"on_failure": {"destination_arn": self.dead_letters.arn}},
            opts=child,
        )
        self.register_outputs({"bucket": self.bucket.name})

    def _statements(self, args: AuditTrailArgs, key: aws.kms.Key) -> list[Statement]:
        """Return what the archiver may do: read the stream, write the archive, sign checkpoints."""
        return [
            Statement(
                sid="ReadTheStream",
                actions=("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
                resources=(args.table.stream_arn,),
            ),
            # IAM knows no resource for this action; it tells the names of streams, and nothing in them.
            Statement(sid="FindTheStream", actions=("dynamodb:ListStreams",), resources=("*",)),
            Statement(sid="DecryptTheStream", actions=("kms:Decrypt",), resources=(args.store_key_arn,)),
            Statement(
                sid="WriteTheArchive",
                actions=ARCHIVE_ACTIONS,
                resources=(pulumi.Output.format("{0}/*", self.bucket.arn),),
            ),
            Statement(sid="EncryptTheArchive", actions=("kms:GenerateDataKey",), resources=(key.arn,)),
            Statement(sid="SignCheckpoints", actions=("kms:Sign",), resources=args.audit_key_arns),
            Statement(sid="TellOfFailures", actions=("sqs:SendMessage",), resources=(self.dead_letters.arn,)),
        ]
