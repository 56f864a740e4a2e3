"""Events as AWS Lambda gets them from a function URL or an HTTP API, with the members that the platform adds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


class PlatformContext:
    """The context object of the runtime, as far as we look at it."""

    aws_request_id = "7a0c5b3e-0000-4000-8000-000000000002"

    def __init__(self, remaining_ms: int = 10_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


ACCOUNT = "123456789012"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/service/sample-api"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/sample-api/i-0123456789"


def http_event(
    method: str,
    path: str,
    body: object = None,
    *,
    principal: str | None = None,
    headers: Mapping[str, str] | None = None,
    stage: str = "$default",
) -> dict[str, Any]:
    """Return an event of payload format 2.0; `principal` is the ARN that IAM has authenticated."""
    context: dict[str, Any] = {
        "accountId": ACCOUNT,
        "apiId": "abcdefghij",
        "domainName": "abcdefghij.lambda-url.eu-central-1.on.aws",
        "domainPrefix": "abcdefghij",
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "203.0.113.7",
            "userAgent": "test",
        },
        "requestId": "7a0c5b3e-0000-4000-8000-000000000001",
        "routeKey": "$default",
        "stage": stage,
        "time": "25/Nov/2026:12:00:00 +0000",
        "timeEpoch": 1795608000000,
    }
    if principal is not None:
        context["authorizer"] = {"iam": iam_identity(principal)}
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-forwarded-for": "203.0.113.7", **(headers or {})},
        "requestContext": context,
        "isBase64Encoded": False,
    } | ({} if text is None else {"body": text})


def iam_identity(arn: str) -> dict[str, Any]:
    return {
        "accessKey": "ASIAEXAMPLE",
        "accountId": ACCOUNT,
        "callerId": "AROAEXAMPLE:i-0123456789",
        "cognitoIdentity": None,
        "principalOrgId": "o-example",
        "userArn": arn,
        "userId": "AROAEXAMPLE:i-0123456789",
    }


def rest_event(
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Sequence[tuple[str, str]] = (),
    query: Mapping[str, list[str]] | None = None,
    stage: str = "prod",
) -> dict[str, Any]:
    """Return a proxy event of a REST API (payload format 1.0), which has the stage in front of its public path."""
    every: dict[str, list[str]] = {"Host": ["abcdefghij.execute-api.eu-central-1.amazonaws.com"]}
    for name, value in headers:
        every.setdefault(name, []).append(value)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in every.items()},
        "multiValueHeaders": every,
        "queryStringParameters": None if query is None else {name: values[-1] for name, values in query.items()},
        "multiValueQueryStringParameters": None if query is None else dict(query),
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abcdefghij",
            "httpMethod": method,
            "identity": {"sourceIp": "203.0.113.7"},
            "path": f"/{stage}{path}",
            "protocol": "HTTP/1.1",
            "requestId": "7a0c5b3e-0000-4000-8000-000000000002",
            "resourcePath": "/{proxy+}",
            "stage": stage,
        },
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
    }
