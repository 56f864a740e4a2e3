"""Key policies: the account administers a key, and only principals that are named use it.

A statement for the account's root hands the listed actions over to IAM. Here it lists administration and nothing that
uses the key, so no IAM policy, not even that of an administrator, signs or decrypts; and since `kms:PutKeyPolicy` is
among them the key cannot be locked out of reach when a named role is gone ("Default key policy" in the KMS developer
guide). Who changes a key policy appears in CloudTrail.
"""

from collections.abc import Sequence

import pulumi

from keyrung_infra.components.account import Account
from keyrung_infra.components.policy_document import Statement
from keyrung_provisioners.api import Purpose

THIS_KEY = "*"  # in a key policy it means the key that the policy belongs to, and nothing else can be written there

ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)
OF_ROTATION = ("kms:DisableKeyRotation", "kms:EnableKeyRotation", "kms:ListKeyRotations", "kms:RotateKeyOnDemand")
OF_IMPORT = ("kms:DeleteImportedKeyMaterial", "kms:GetParametersForImport", "kms:ImportKeyMaterial")
OF_REPLICAS = ("kms:ReplicateKey", "kms:UpdatePrimaryRegion")
# What a service does with a key that encrypts data at rest, in the name of who calls it or in its own.
AT_REST = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
_CONTEXT = "kms:EncryptionContext:keyrung"  # what every seed is sealed under; see the back end aws_kms


def administration(account: Account, *further: str) -> Statement:
    """Return the statement that hands administration, and no use, over to the account's IAM."""
    return Statement(
        sid="Administration",
        actions=(*ADMINISTRATION, *further),
        resources=(THIS_KEY,),
        principals={"AWS": [account.root_arn]},
    )


def signing(principals: Sequence[pulumi.Input[str]], signing_algorithm: str) -> Statement:
    """Return the statement that lets ``principals`` sign, by this algorithm only."""
    return Statement(
        sid="Sign",
        actions=("kms:Sign",),
        resources=(THIS_KEY,),
        principals={"AWS": principals},
        conditions={"StringEquals": {"kms:SigningAlgorithm": signing_algorithm}},
    )


def sealing(principals: Sequence[pulumi.Input[str]]) -> Statement:
    """Return the statement that lets ``principals`` seal under our context, but open nothing."""
    return _under_context("Seal", ("kms:Encrypt",), principals)


def opening(principals: Sequence[pulumi.Input[str]]) -> Statement:
    """Return the statement that lets ``principals`` open what was sealed under our context, but seal nothing."""
    return _under_context("Open", ("kms:Decrypt",), principals)


def _under_context(sid: str, actions: Sequence[str], principals: Sequence[pulumi.Input[str]]) -> Statement:
    return Statement(
        sid=sid,
        actions=actions,
        resources=(THIS_KEY,),
        principals={"AWS": principals},
        conditions={"Null": {_CONTEXT: "false"}},
    )


def through_service(account: Account, service: str) -> Statement:
    """Return the statement that lets IAM allow the key's use through ``service`` (`dynamodb`, `s3`), not directly."""
    return Statement(
        sid="AtRest",
        actions=(*AT_REST, "kms:CreateGrant"),
        resources=(THIS_KEY,),
        principals={"AWS": [account.root_arn]},
        conditions={
            "StringEquals": {"kms:ViaService": pulumi.Output.format("{0}.{1}.amazonaws.com", service, account.region)}
        },
    )


def tags(purpose: Purpose, generation: int) -> dict[str, str]:
    """Return the tags by which people and invoices tell keys apart."""
    return {"keyrung:purpose": purpose.value, "keyrung:generation": str(generation)}


def for_logs(account: Account) -> Statement:
    """Return the statement that lets CloudWatch Logs encrypt the account's log groups."""
    groups = pulumi.Output.format("arn:{0}:logs:{1}:{2}:log-group:*", account.partition, account.region, account.id)
    return Statement(
        sid="Logs",
        actions=[action for action in AT_REST if action != "kms:DescribeKey"],  # which has no context
        resources=(THIS_KEY,),
        principals={"Service": [pulumi.Output.format("logs.{0}.amazonaws.com", account.region)]},
        conditions={"StringLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
    )


def for_alarms(account: Account) -> Statement:
    """Return the statement that lets alarms of the account publish to an encrypted topic."""
    return Statement(
        sid="Alarms",
        actions=("kms:Decrypt", "kms:GenerateDataKey"),
        resources=(THIS_KEY,),
        principals={"Service": ("cloudwatch.amazonaws.com",)},
        conditions={"StringEquals": {"aws:SourceAccount": account.id}},
    )
