"""A function of AWS Lambda with its log group and a role that may do what is listed, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.policy_document import Statement, policy_document
from keyrung_infra.packaging.bundle import PYTHON_VERSION, Architecture

RUNTIME = f"python{PYTHON_VERSION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionArgs:
    """What a function is like.

    Attributes:
        package: The zip with the code, as `keyrung bundle build` makes it for this architecture.
        handler: `MODULE.FUNCTION` inside it.
        role: What `execution_role` made; the statements are put on it here.
        statements: What it may do beside writing its log.
        environment: Variables; no secret.
        logs_key_arn: KMS key that encrypts the log.
        architecture: Of the processor, and of the compiled parts of the package.
        memory_mb: The processor's share grows with it.
        timeout_seconds: After which AWS ends a call.
        log_retention_days: One of the periods that CloudWatch offers.
        reserved_concurrency: Calls at one time that are set aside for it, and its upper limit; None: the account's.
    """

    package: Path
    handler: str
    role: aws.iam.Role
    statements: Sequence[Statement]
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    logs_key_arn: pulumi.Input[str]
    architecture: Architecture = Architecture.ARM64
    memory_mb: int = 512
    timeout_seconds: int = 10
    log_retention_days: int = 90
    reserved_concurrency: int | None = None


class Function(pulumi.ComponentResource):
    """A published version of a function; its role and log stand before it.

    Attributes:
        function: The function.
        log_group: Where it writes.
    """

    def __init__(self, name: str, args: FunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the function."""
        super().__init__("keyrung:index:Function", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.log_group = log_group(name, args.logs_key_arn, args.log_retention_days, opts=child)
        policy = aws.iam.RolePolicy(
            name,
            role=args.role.name,
            policy=policy_document([_logging(self.log_group.arn), *args.statements]),
            opts=child,
        )
        self.function = aws.lambda_.Function(
            name,
            role=args.role.arn,
            runtime=RUNTIME,
            handler=args.handler,
            code=pulumi.FileArchive(str(args.package)),
            architectures=[args.architecture.value],
            memory_size=args.memory_mb,
            timeout=args.timeout_seconds,
            environment={"variables": dict(args.environment)} if args.environment else None,
            logging_config={"log_format": "JSON", "log_group": self.log_group.name},
            reserved_concurrent_executions=args.reserved_concurrency,
            publish=True,
            # A function that starts before it has its rights fails until Lambda asks for credentials again.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({"arn": self.function.arn})


def execution_role(name: str, *, opts: pulumi.ResourceOptions | None = None) -> aws.iam.Role:
    """Declare a role that only Lambda takes on. It is made first of all, since key policies name it."""
    trust = Statement(sid="Lambda", actions=("sts:AssumeRole",), principals={"Service": ("lambda.amazonaws.com",)})
    return aws.iam.Role(name, assume_role_policy=policy_document([trust]), opts=opts)


def log_group(
    name: str, key_arn: pulumi.Input[str], retention_days: int, *, opts: pulumi.ResourceOptions
) -> aws.cloudwatch.LogGroup:
    """Declare a log group that is encrypted and forgets."""
    return aws.cloudwatch.LogGroup(name, kms_key_id=key_arn, retention_in_days=retention_days, opts=opts)


def _logging(log_group_arn: pulumi.Output[str]) -> Statement:
    return Statement(
        sid="Log",
        actions=("logs:CreateLogStream", "logs:PutLogEvents"),
        resources=(pulumi.Output.format("{0}:log-stream:*", log_group_arn),),
    )
