"""The store of a deployment in AWS, opened for an operator's command with the operator's own credentials."""

import os
from collections.abc import Mapping

from keyrung_infra.errors import InfraError
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import CONFIG_VARIABLE, REGION_VARIABLE, open_store, sealing_line
from keyrung_verifier.aws.published import PublishedObject
from keyrung_verifier.deployment import Deployment, parse_deployment
from keyrung_verifier.generations import SealingLine
from keyrung_verifier.store.dynamodb import DynamoDbStore
from keyrung_verifier.system import SystemClock, SystemRandom


class DeployedStore:
    """What the deployment document in S3 leads to.

    Attributes:
        deployment: The document.
        clients: AWS, as the operator.
        operator: Who that is, by ARN.
    """

    def __init__(self) -> None:
        """Read the document that the variable `KEYRUNG_CONFIG` names.

        Raises:
            InfraError: There are no AWS credentials, or the document cannot be read.
        """
        environment, self.operator = _as_caller()
        clock = SystemClock()
        self.clients = AwsClients(environment, clock=clock, random=SystemRandom())
        s3 = self.clients.client("s3", environment[REGION_VARIABLE])
        document = PublishedObject(s3, environment[CONFIG_VARIABLE], clock=clock)
        try:
            document.stamp()
            self.deployment: Deployment = parse_deployment(document.read())
        except FileNotFoundError as error:
            raise InfraError(
                f"the deployment document {environment[CONFIG_VARIABLE]} cannot be read",
                fix="check the name, the region (AWS_REGION) and that your role has the stack's operatorPolicy",
            ) from error

    def store(self) -> DynamoDbStore:
        """Return the verifier's table."""
        return open_store(self.deployment.store, self.clients, random=SystemRandom())

    def sealer(self) -> SealingLine:
        """Return the keys that seal seeds."""
        return sealing_line(self.deployment.seed_keys, self.clients, clock=SystemClock())


def _as_caller() -> tuple[Mapping[str, str], str]:
    """Return this environment with the credentials that AWS's SDK finds (profile, single sign-on, role), and whose."""
    import boto3  # noqa: PLC0415 - only where a deployment in AWS is meant
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    session = boto3.session.Session()
    found = session.get_credentials()
    region = os.environ.get(REGION_VARIABLE) or session.region_name
    if found is None or not region:
        raise InfraError(
            "no AWS credentials or no region", fix="set AWS_PROFILE, or the variables of a role, and AWS_REGION"
        )
    frozen = found.get_frozen_credentials()
    try:
        arn = str(session.client("sts", region_name=region).get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError) as error:
        raise InfraError("AWS did not accept the credentials", fix="renew them, as with `aws sso login`") from error
    named = {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_SESSION_TOKEN": frozen.token or "",
        REGION_VARIABLE: region,
    }
    return {**os.environ, **named}, arn
