"""The verifier as a function of AWS Lambda, and everything that its role may do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.function import Function, FunctionArgs
from keyrung_infra.components.policy_document import Statement
from keyrung_infra.errors import InfraError
from keyrung_verifier.store.dynamodb_table import AUDIT_PARTITION, VERIFIER_ACTIONS

ALIAS = "live"
# What a credential is: an operator writes it, and the verifier, which writes other things beside it, never does.
TRUSTED_ATTRIBUTES = ("evidence_json", "public_jwk", "sealed_seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierFunctionArgs:
    """What the verifier is given.

    Attributes:
        function: Code, role, log; its statements are those to read the configuration.
        table_arn: The store.
        store_key_arn: KMS key that encrypts the store.
        assertion_key_arns: The keys that it signs with.
        seed_key_arns: The keys that it opens seeds with.
        provisioned_concurrency: Instances that are kept warm; None: none are.
    """

    function: FunctionArgs
    table_arn: pulumi.Input[str]
    store_key_arn: pulumi.Input[str]
    assertion_key_arns: Sequence[pulumi.Input[str]]
    seed_key_arns: Sequence[pulumi.Input[str]]
    provisioned_concurrency: int | None = None

    def __post_init__(self) -> None:
        """Raise `InfraError` for more warm instances than may run."""
        warm, most = self.provisioned_concurrency, self.function.reserved_concurrency
        if warm is not None and (warm < 1 or (most is not None and warm > most)):
            raise InfraError(
                f"provisioned_concurrency is {warm}",
                fix=f"choose 1 to {most or 'the limit of the account'} (reserved_concurrency), such as 1",
            )


class VerifierFunction(pulumi.ComponentResource):
    """The function behind the alias `live`: callers name the alias, which goes back to an older version in one step.

    Attributes:
        function: The function.
        log_group: Its log.
        alias: Of the version in use.
    """

    def __init__(self, name: str, args: VerifierFunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the function."""
        super().__init__("keyrung:index:VerifierFunction", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        made = Function(
            name, replace(args.function, statements=[*args.function.statements, *_statements(args)]), opts=child
        )
        self.function, self.log_group = made.function, made.log_group
        self.alias = aws.lambda_.Alias(
            name, name=ALIAS, function_name=self.function.name, function_version=self.function.version, opts=child
        )
        if args.provisioned_concurrency is not None:
            aws.lambda_.ProvisionedConcurrencyConfig(
                name,
                function_name=self.function.name,
                qualifier=self.alias.name,
                provisioned_concurrent_executions=args.provisioned_concurrency,
                opts=child,
            )
        self.register_outputs({"arn": self.alias.arn})


def _statements(args: VerifierFunctionArgs) -> list[Statement]:
    return [
        Statement(sid="SignAssertions", actions=("kms:Sign",), resources=args.assertion_key_arns),
        Statement(sid="OpenSeeds", actions=("kms:Decrypt",), resources=args.seed_key_arns),
        Statement(sid="UseTheStore", actions=sorted(VERIFIER_ACTIONS), resources=(args.table_arn,)),
        Statement(
            sid="TrustNobodyAnew",
            effect="Deny",
            actions=("dynamodb:PutItem", "dynamodb:UpdateItem"),
            resources=(args.table_arn,),
            conditions={"ForAnyValue:StringEquals": {"dynamodb:Attributes": TRUSTED_ATTRIBUTES}},
        ),
        Statement(
            sid="KeepTheLog",
            effect="Deny",
            actions=("dynamodb:UpdateItem",),
            resources=(args.table_arn,),
            conditions={"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": [f"{AUDIT_PARTITION}*"]}},
        ),
        Statement(sid="DecryptTheStore", actions=("kms:Decrypt",), resources=(args.store_key_arn,)),
    ]
