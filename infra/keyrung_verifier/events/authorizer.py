"""Lambda authorizers of API Gateway: the policy is asked about a route before the application behind it is called.

What is asked follows from what the gateway itself has established, and from no header that a client wrote:

- the action: the deployment maps the gateway's own names of routes to actions, such as `GET /accounts/{id}` to
  `accounts.read`;
- the subject: the client certificate that the gateway has verified (mutual TLS), by its subject's distinguished name,
  with `subject.kind` `machine`, and its serial number as the session. The gateway's trust store therefore holds only
  authorities that never give one name to two holders;
- the resource: type `route`, and the path as its id.

An authorizer sees no body and cannot send a challenge. So it admits what the policy allows outright and refuses all
else; a route that may need a step-up has the guard in front of it instead. The gateway must not keep answers: its TTL
is 0.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from keyrung_verifier import paths
from keyrung_verifier.entry import HTTP_OK, Reply, WebRequest
from keyrung_verifier.errors import ConfigurationError, MalformedRequestError, StrictFormError
from keyrung_verifier.strict import parse_object

Routes = Mapping[str, str]
# A client chooses the path in an ARN, and IAM reads `*`, `?` and `${` in a policy as more than one thing.
_EXACT_ARN = re.compile(r"arn:aws[a-z-]*:execute-api:[A-Za-z0-9:._/~%@!&'()+,;=-]{1,1500}", re.ASCII)
_VERSION = "2012-10-17"  # of the language of IAM policies


class _Certificate(Struct, frozen=True, kw_only=True, rename="camel"):
    subject_dn: str = field(name="subjectDN")
    serial_number: str


class _Authentication(Struct, frozen=True, kw_only=True, rename="camel"):
    client_cert: _Certificate | None = None


class _HttpContext(Struct, frozen=True, kw_only=True):
    authentication: _Authentication | None = None


class _RestContext(Struct, frozen=True, kw_only=True):
    identity: _Authentication | None = None


class _HttpEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """Format 2.0 of an HTTP API's authorizer; the gateway sends more."""

    version: Literal["2.0"]
    type: Literal["REQUEST"]
    route_key: str
    raw_path: str
    request_context: _HttpContext


class _RestEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """A REST API's authorizer of the kind `REQUEST`."""

    type: Literal["REQUEST"]
    method_arn: str
    http_method: str
    resource: str
    path: str
    request_context: _RestContext


def parse_routes(text: str) -> Routes:
    """Return the actions of routes in a JSON object; raises `ConfigurationError`."""
    try:
        return msgspec.convert(parse_object(text.encode("utf-8")), dict[str, str])
    except (StrictFormError, msgspec.ValidationError, UnicodeEncodeError) as error:
        raise ConfigurationError(
            f'the routes are no JSON object such as {{"GET /accounts": "accounts.read"}} ({error}); correct it'
        ) from error


def http_request_of(event: object, routes: Routes) -> WebRequest:
    """Return the evaluation that an HTTP API asks for; raises `MalformedRequestError`."""
    found = _convert(event, _HttpEvent)
    return _evaluation(found.route_key, found.raw_path, found.request_context.authentication, routes)


def rest_request_of(event: object, routes: Routes) -> WebRequest:
    """Return the evaluation that a REST API asks for; raises `MalformedRequestError`."""
    found = _convert(event, _RestEvent)
    if _EXACT_ARN.fullmatch(found.method_arn) is None:
        raise MalformedRequestError("no_exact_arn")
    return _evaluation(f"{found.http_method} {found.resource}", found.path, found.request_context.identity, routes)


def http_answer_of(reply: Reply) -> dict[str, object]:
    """Return the simple answer of an HTTP API's authorizer."""
    allowed, context = _decision(reply)
    return {"isAuthorized": allowed, "context": context}


def rest_answer_of(reply: Reply, event: object) -> dict[str, object]:
    """Return the policy for exactly the method that a REST API asked about; a denial is for all."""
    allowed, context = _decision(reply)
    resource = msgspec.convert(event, _RestEvent).method_arn if allowed else "*"
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow" if allowed else "Deny", "Resource": resource}
    return {
        "principalId": "keyrung",
        "policyDocument": {"Version": _VERSION, "Statement": [statement]},
        "context": context,
    }


def _convert(event: object, model: type[Any]) -> Any:
    try:
        return msgspec.convert(event, model, strict=True)
    except msgspec.ValidationError:
        # Its message may quote the value, so it is not chained.
        raise MalformedRequestError("no_authorizer_event") from None


def _evaluation(route: str, path: str, authentication: _Authentication | None, routes: Routes) -> WebRequest:
    certificate = None if authentication is None else authentication.client_cert
    if certificate is None or route not in routes:
        raise MalformedRequestError("no_certificate" if certificate is None else "no_route")
    question = {
        "subject": {"type": "machine", "id": certificate.subject_dn, "properties": {"kind": "machine"}},
        "action": {"name": routes[route]},
        "resource": {"type": "route", "id": path},
        "context": {"session": {"id": certificate.serial_number}},
    }
    # ASCII, so that a lone surrogate reaches the strict reader, which refuses it.
    return WebRequest(method="POST", path=paths.EVALUATION, body=json.dumps(question).encode("ascii"))


def _decision(reply: Reply) -> tuple[bool, dict[str, str]]:
    """Return whether the policy allows, and what the application or the gateway's own answer may be told."""
    if reply.status != HTTP_OK:
        return False, {"error": reply.error or "", "correlation_id": reply.correlation_id or ""}
    answer = json.loads(reply.body)
    told = {name: str(answer["context"][name]) for name in ("outcome", "correlation_id")}
    return answer["decision"] is True, told
