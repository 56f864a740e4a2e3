"""A bucket that nobody reaches without TLS or from outside, with every version kept and its access logged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.account import Account
from keyrung_infra.components.policy_document import Statement, policy_document


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateBucketArgs:
    """What a bucket is like.

    Attributes:
        kms_key_arn: Encrypts the objects; None: a key of S3 itself does.
        log_bucket: Name of the bucket where access is logged, under this one's name; None for the log bucket itself.
        expire_days: For how long objects are kept; None: for good.
        expire_replaced_days: For how long a version is kept that another one replaced; None: for good.
        object_lock: Whether versions can be locked; settled when the bucket is made.
        protect: Whether deleting the bucket is refused.
    """

    kms_key_arn: pulumi.Input[str] | None = None
    log_bucket: pulumi.Input[str] | None = None
    expire_days: int | None = None
    expire_replaced_days: int | None = None
    object_lock: bool = False
    protect: bool = True


class PrivateBucket(pulumi.ComponentResource):
    """An S3 bucket.

    Attributes:
        name: Its name.
        arn: Its ARN.
        log_target: Its name, known once its policy stands: S3 takes no bucket for access logs that refuses them.
        ready: What to wait for before objects are put: policy and versioning.
    """

    def __init__(
        self,
        name: str,
        args: PrivateBucketArgs,
        *,
        statements: Callable[[pulumi.Output[str]], Sequence[Statement]] = lambda _arn: (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the bucket; ``statements`` are those of its policy beside TLS, given its ARN."""
        super().__init__("keyrung:index:PrivateBucket", name, None, opts)
        bucket = aws.s3.Bucket(
            name,
            object_lock_enabled=args.object_lock,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name: pulumi.Output[str] = bucket.bucket
        self.arn: pulumi.Output[str] = bucket.arn
        child = pulumi.ResourceOptions(parent=self)
        closed = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=self.name,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        versioning = aws.s3.BucketVersioning(
            name, bucket=self.name, versioning_configuration={"status": "Enabled"}, opts=child
        )
        aws.s3.BucketServerSideEncryptionConfiguration(name, bucket=self.name, rules=[_encryption(args)], opts=child)
        policy = aws.s3.BucketPolicy(
            name,
            bucket=self.name,
            policy=policy_document([_tls_only(self.arn), *statements(self.arn)]),
            # Two changes of a bucket's access at one time are a conflict for S3.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )
        if args.log_bucket is not None:
            aws.s3.BucketLogging(
                name,
                bucket=self.name,
                target_bucket=args.log_bucket,
                target_prefix=pulumi.Output.format("{0}/", self.name),
                opts=child,
            )
        if args.expire_days is not None or args.expire_replaced_days is not None:
            aws.s3.BucketLifecycleConfiguration(
                name,
                bucket=self.name,
                rules=[_expiry(args)],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
            )
        self.log_target: pulumi.Output[str] = policy.bucket
        self.ready: list[pulumi.Resource] = [policy, versioning]
        self.register_outputs({"name": self.name, "arn": self.arn})


def _encryption(args: PrivateBucketArgs) -> dict[str, object]:
    if args.kms_key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    by_key = {"sse_algorithm": "aws:kms", "kms_master_key_id": args.kms_key_arn}
    return {"apply_server_side_encryption_by_default": by_key, "bucket_key_enabled": True}


def _expiry(args: PrivateBucketArgs) -> dict[str, object]:
    rule: dict[str, object] = {"id": "expiry", "status": "Enabled", "filter": {"prefix": ""}}
    if args.expire_days is not None:
        rule["expiration"] = {"days": args.expire_days}
    if args.expire_replaced_days is not None:
        rule["noncurrent_version_expiration"] = {"noncurrent_days": args.expire_replaced_days}
    return rule


def _tls_only(arn: pulumi.Output[str]) -> Statement:
    return Statement(
        sid="TlsOnly",
        effect="Deny",
        actions=("s3:*",),
        resources=(arn, pulumi.Output.format("{0}/*", arn)),
        principals={"AWS": ("*",)},
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )


def written_only_by(arn: pulumi.Output[str], writer_arn: pulumi.Input[str]) -> Statement:
    """Return the statement that refuses everybody but ``writer_arn`` (a role or user) to put or delete objects."""
    return Statement(
        sid="OneWriter",
        effect="Deny",
        # Replication writes and deletes by rights of its own.
        actions=(
            *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject"),
            *("s3:ReplicateDelete", "s3:ReplicateObject"),
        ),
        resources=(pulumi.Output.format("{0}/*", arn),),
        principals={"AWS": ("*",)},
        conditions={"ArnNotEquals": {"aws:PrincipalArn": writer_arn}},
    )


def written_once(arn: pulumi.Output[str]) -> Statement:
    """Return the statement that refuses a put which could replace an object; S3 takes no other value than `*` there."""
    return Statement(
        sid="WriteOnce",
        effect="Deny",
        actions=("s3:PutObject",),
        resources=(pulumi.Output.format("{0}/*", arn),),
        principals={"AWS": ("*",)},
        conditions={"Null": {"s3:if-none-match": "true"}},
    )


def receiving_access_logs(arn: pulumi.Output[str], account: Account) -> Statement:
    """Return the statement that lets S3 deliver the access logs of the account's own buckets."""
    return Statement(
        sid="AccessLogs",
        actions=("s3:PutObject",),
        resources=(pulumi.Output.format("{0}/*", arn),),
        principals={"Service": ("logging.s3.amazonaws.com",)},
        conditions={"StringEquals": {"aws:SourceAccount": account.id}},
    )
