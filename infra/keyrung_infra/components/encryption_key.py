"""A KMS key that encrypts data at rest for one service, renewed by KMS every year."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from keyrung_infra.components import key_policy
from keyrung_infra.components.account import Account
from keyrung_infra.components.policy_document import Statement, policy_document


def encryption_key(
    name: str, account: Account, statements: Sequence[Statement], *, description: str, opts: pulumi.ResourceOptions
) -> aws.kms.Key:
    """Declare the key; ``statements`` say who uses it, beside the account that administers it."""
    return aws.kms.Key(
        name,
        description=description,
        enable_key_rotation=True,
        policy=policy_document([key_policy.administration(account, *key_policy.OF_ROTATION), *statements]),
        opts=opts,
    )
