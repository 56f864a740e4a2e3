"""Functions that look things up."""

from collections.abc import Callable, Mapping
from typing import Any

from support.aws_plugin.resource import Aws, Plain


def _caller(aws: Aws, _args: Plain) -> dict[str, Any]:
    found = aws.client("sts").get_caller_identity()
    # STS names a user by its ARN of IAM, where moto makes one up that is of STS.
    arn = found["Arn"].replace(":sts:", ":iam:") if ":user/" in found["Arn"] else found["Arn"]
    return {"accountId": found["Account"], "arn": arn, "userId": found["UserId"], "id": found["Account"]}


def _region(aws: Aws, _args: Plain) -> dict[str, Any]:
    return {
        "region": aws.region,
        "name": aws.region,
        "id": aws.region,
        "description": aws.region,
        "endpoint": f"ec2.{aws.region}.amazonaws.com",
    }


def _session_context(_aws: Aws, args: Plain) -> dict[str, Any]:
    """Answer with the role behind a session; anybody else is who they are."""
    arn = str(args["arn"])
    start, _, rest = arn.partition(":assumed-role/")
    role = rest.partition("/")[0]
    issuer = f"{start.replace(':sts:', ':iam:')}:role/{role}" if role else arn
    return {
        "arn": arn,
        "id": arn,
        "issuerArn": issuer,
        "issuerId": "",
        "issuerName": role,
        "sessionName": rest.partition("/")[2],
    }


FUNCTIONS: Mapping[str, Callable[[Aws, Plain], dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:index/getRegion:getRegion": _region,
    "aws:iam/getSessionContext:getSessionContext": _session_context,
}
