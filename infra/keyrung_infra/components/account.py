"""Where a stack is deployed to, and by whom: what AWS says of the credentials in use."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account and region of a stack.

    Attributes:
        partition: `aws`, or that of another part of AWS; ARNs begin with it.
        caller_arn: The user or role (not its session) that deploys.
    """

    id: pulumi.Output[str]
    partition: pulumi.Output[str]
    region: pulumi.Output[str]
    caller_arn: pulumi.Output[str]

    @property
    def root_arn(self) -> pulumi.Output[str]:
        """The account as a principal: whoever in it is allowed by IAM."""
        return pulumi.Output.format("arn:{0}:iam::{1}:root", self.partition, self.id)


def current_account(opts: pulumi.InvokeOptions | None = None) -> Account:
    """Return the account of the provider in use."""
    caller = aws.get_caller_identity_output(opts=opts)
    return Account(
        id=caller.account_id,
        partition=caller.arn.apply(lambda arn: str(arn).split(":")[1]),  # arn:PARTITION:...
        region=aws.get_region_output(opts=opts).region,
        caller_arn=aws.iam.get_session_context_output(arn=caller.arn, opts=opts).issuer_arn,
    )
