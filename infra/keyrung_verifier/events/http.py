"""A function URL or an HTTP API: payload format 2.0 of both (AWS Lambda and API Gateway developer guides)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.limits import MAX_BODY_BYTES

# The stage that adds nothing to the path; function URLs have it too.
_DEFAULT_STAGE = "$default"


class _Iam(Struct, frozen=True, kw_only=True, rename="camel"):
    """Who signed the request, as the platform checked it."""

    user_arn: str | None = None
    account_id: str | None = None
    cognito_identity: Mapping[str, Any] | None = None


class _Authorizer(Struct, frozen=True, kw_only=True):
    """Only what IAM says counts; `jwt` and `lambda` are other people's checks."""

    iam: _Iam | None = None


class _Http(Struct, frozen=True, kw_only=True):
    method: str


class _Context(Struct, frozen=True, kw_only=True):
    http: _Http
    stage: str
    authorizer: _Authorizer | None = None


class _Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """The members that count; the platform sends more."""

    version: Literal["2.0"]
    raw_path: str
    request_context: _Context
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    is_base64_encoded: bool = field(name="isBase64Encoded", default=False)


def request_of(event: object) -> WebRequest:
    """Return the request in an event.

    Raises:
        MalformedRequestError: It is no event of payload format 2.0.
    """
    try:
        found = msgspec.convert(event, _Event, strict=True)
    except msgspec.ValidationError:
        # Its message may quote the value, so it is not chained.
        raise MalformedRequestError("no_http_event") from None
    return WebRequest(
        method=found.request_context.http.method,
        path=_path(found.raw_path, found.request_context.stage),
        authorization=_one_header(found.headers, "authorization"),
        dpop=_one_header(found.headers, "dpop"),
        request_id=_one_header(found.headers, "x-request-id"),
        traceparent=_one_header(found.headers, "traceparent"),
        principal=_principal(found.request_context.authorizer),
        body=_body(found),
    )


def answer_of(reply: Reply) -> dict[str, object]:
    """Return the answer that the platform sends on."""
    return {
        "statusCode": reply.status,
        "headers": dict(reply.headers),
        "body": reply.body.decode("utf-8"),
        "isBase64Encoded": False,
    }


def _path(raw_path: str, stage: str) -> str:
    """Return the path without the name of its stage; it is compared as it came, so nothing is ever decoded."""
    prefix = f"/{stage}"
    inside = stage != _DEFAULT_STAGE and raw_path.startswith(f"{prefix}/")
    return raw_path.removeprefix(prefix) if inside else raw_path


def _one_header(headers: Mapping[str, str], name: str) -> str | None:
    """Return the header's value; one that comes under two spellings is passed on as something no check accepts.

    The platform joins what comes twice under one spelling by a comma, which no check accepts either.
    """
    values = [value for spelling, value in headers.items() if spelling.lower() == name]
    return ", ".join(values) if values else None


def _principal(authorizer: _Authorizer | None) -> str | None:
    """Return the ARN of the IAM identity that signed; people behind one shared Cognito role are no application."""
    iam = authorizer.iam if authorizer is not None else None
    return None if iam is None or iam.cognito_identity is not None else iam.user_arn


def _body(event: _Event) -> bytes:
    """Return the body, at most one byte longer than the core accepts: it refuses that itself."""
    text = event.body or ""
    try:
        body = base64.b64decode(text, validate=True) if event.is_base64_encoded else text.encode("utf-8")
    except (binascii.Error, ValueError):
        raise MalformedRequestError("no_http_body") from None
    return body[: MAX_BODY_BYTES + 1]
