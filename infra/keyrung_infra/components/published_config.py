"""What the verifier reads of a deployment: the document and the signed policy, in a bucket that one identity writes."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.policy_document import Statement
from keyrung_infra.components.private_bucket import PrivateBucket, PrivateBucketArgs, written_only_by
from keyrung_verifier.deployment import OBJECT_NAME

POLICY = "policy-bundle.json"
_JSON = "application/json"
_KEEP_REPLACED_DAYS = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedConfigArgs:
    """How the configuration is published.

    Attributes:
        deployer_arn: The user or role that runs `pulumi up`; nobody else writes, whatever IAM says.
        log_bucket: Name of the bucket where access is logged.
        protect: Whether deleting the bucket is refused.
    """

    deployer_arn: pulumi.Input[str]
    log_bucket: pulumi.Input[str]
    protect: bool = True


class PublishedConfig(pulumi.ComponentResource):
    """A bucket with two objects. They hold references, public keys and signed rules, and no secret.

    Attributes:
        uri: Of the document, as the verifier's `KEYRUNG_CONFIG` wants it.
        policy_uri: Of the signed policy.
    """

    def __init__(self, name: str, args: PublishedConfigArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the bucket; what is in it comes with `publish`, when functions and keys are known."""
        super().__init__("keyrung:index:PublishedConfig", name, None, opts)
        self._name = name
        self._bucket = PrivateBucket(
            name,
            PrivateBucketArgs(
                log_bucket=args.log_bucket, expire_replaced_days=_KEEP_REPLACED_DAYS, protect=args.protect
            ),
            statements=lambda arn: [written_only_by(arn, args.deployer_arn)],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.uri = pulumi.Output.format("s3://{0}/{1}", self._bucket.name, OBJECT_NAME)
        self.policy_uri = pulumi.Output.format("s3://{0}/{1}", self._bucket.name, POLICY)
        self.register_outputs({"uri": self.uri})

    def reading(self) -> Statement:
        """Return the right to read the two objects."""
        return Statement(
            sid="ReadTheConfiguration",
            actions=("s3:GetObject",),
            resources=[pulumi.Output.format("{0}/{1}", self._bucket.arn, key) for key in (OBJECT_NAME, POLICY)],
        )

    def publish(self, *, document: pulumi.Input[str], policy: pulumi.Input[str]) -> None:
        """Declare the objects; a verifier takes a changed one within seconds."""
        for key, content in ((OBJECT_NAME, document), (POLICY, policy)):
            aws.s3.BucketObjectv2(
                f"{self._name}-{key.removesuffix('.json')}",
                bucket=self._bucket.name,
                key=key,
                content=content,
                content_type=_JSON,
                opts=pulumi.ResourceOptions(parent=self, depends_on=self._bucket.ready),
            )
