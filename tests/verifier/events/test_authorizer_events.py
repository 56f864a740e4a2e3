"""What an authorizer asks follows from what the gateway established; what it answers admits one request and no more."""

import json
from typing import Any

import pytest
from support.lambda_events import ACCOUNT

from keyrung_verifier.entry import Reply
from keyrung_verifier.errors import ConfigurationError, MalformedRequestError
from keyrung_verifier.events.authorizer import (
    http_answer_of,
    http_request_of,
    parse_routes,
    rest_answer_of,
    rest_request_of,
)

ROUTES = {"GET /accounts/{id}": "accounts.read"}
CERTIFICATE = {"subjectDN": "CN=batch,O=Example", "serialNumber": "a1:b2", "issuerDN": "CN=ca", "clientCertPem": "x"}
ARN = f"arn:aws:execute-api:eu-central-1:{ACCOUNT}:abcdefghij/live/GET/accounts/7"


def http_event(**changes: Any) -> dict[str, Any]:
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": ARN,
        "identitySource": ["x"],
        "routeKey": "GET /accounts/{id}",
        "rawPath": "/accounts/7",
        "headers": {"x-subject": "CN=other"},
        "requestContext": {"authentication": {"clientCert": CERTIFICATE}, "http": {"method": "GET"}},
    } | changes


def rest_event(**changes: Any) -> dict[str, Any]:
    return {
        "type": "REQUEST",
        "methodArn": ARN,
        "resource": "/accounts/{id}",
        "path": "/accounts/7",
        "httpMethod": "GET",
        "headers": {"x-subject": "CN=other"},
        "requestContext": {"identity": {"clientCert": CERTIFICATE, "sourceIp": "203.0.113.7"}},
    } | changes


def reply(*, decision: object, status: int = 200) -> Reply:
    context = {"outcome": "allow" if decision else "step_up", "rule_ids": ["r"], "correlation_id": "c" * 32}
    return Reply(status=status, body=json.dumps({"decision": decision, "context": context}).encode())


REFUSED = Reply(status=503, body=b"{}", error="temporarily_unavailable", correlation_id="d" * 32)


def test_both_kinds_ask_the_same_of_the_same_request() -> None:
    asked = http_request_of(http_event(), ROUTES)

    assert asked == rest_request_of(rest_event(), ROUTES)
    assert (asked.method, asked.path, asked.principal) == ("POST", "/access/v1/evaluation", None)
    assert json.loads(asked.body) == {
        "subject": {"type": "machine", "id": "CN=batch,O=Example", "properties": {"kind": "machine"}},
        "action": {"name": "accounts.read"},
        "resource": {"type": "route", "id": "/accounts/7"},
        "context": {"session": {"id": "a1:b2"}},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"routeKey": "$default"},
        {"routeKey": "POST /accounts/{id}"},
        {"routeKey": "GET /accounts/7"},
        {"routeKey": "get /accounts/{id}"},
        {"requestContext": {}},
        {"requestContext": {"authentication": None}},
        {"requestContext": {"authentication": {}}},
        {"requestContext": {"authentication": {"clientCert": {"subjectDN": "CN=x"}}}},
        {"requestContext": {"authorizer": {"clientCert": CERTIFICATE}}},
        {"version": "1.0"},
        {"type": "TOKEN"},
    ],
    ids=str,
)
def test_an_http_event_without_route_or_certificate_asks_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequestError):
        http_request_of(http_event(**change), ROUTES)


@pytest.mark.parametrize(
    "change",
    [
        {"resource": "/{proxy+}"},
        {"httpMethod": "DELETE"},
        {"requestContext": {"identity": {"clientCert": None}}},
        {"type": "TOKEN"},
        {"methodArn": None},
        {"methodArn": ARN[:-1] + "*"},
        {"methodArn": ARN[:-1] + "?"},
        {"methodArn": ARN + "/${aws:username}"},
        {"methodArn": ARN + "\n"},
        {"methodArn": "*"},
        {"methodArn": f"arn:aws:s3:::bucket/{ACCOUNT}"},
    ],
    ids=str,
)
def test_a_rest_event_without_route_certificate_or_exact_arn_asks_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequestError):
        rest_request_of(rest_event(**change), ROUTES)


@pytest.mark.parametrize("event", [None, [], {}, "x", {"Records": []}], ids=str)
def test_another_kind_of_event_asks_nothing(event: object) -> None:
    for request_of in (http_request_of, rest_request_of):
        with pytest.raises(MalformedRequestError):
            request_of(event, ROUTES)


def test_what_the_policy_allows_is_admitted_for_exactly_this_request() -> None:
    context = {"outcome": "allow", "correlation_id": "c" * 32}

    assert http_answer_of(reply(decision=True)) == {"isAuthorized": True, "context": context}
    answer = rest_answer_of(reply(decision=True), rest_event())
    assert answer["context"] == context
    assert answer["policyDocument"] == {
        "Version": "2012-10-17",
        "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ARN}],
    }


@pytest.mark.parametrize(
    "said",
    [reply(decision=False), reply(decision="true"), reply(decision=1), reply(decision=True, status=201), REFUSED],
)
def test_all_else_is_refused(said: Reply) -> None:
    assert http_answer_of(said)["isAuthorized"] is False
    answer: Any = rest_answer_of(said, {"not": "an event"})
    assert [(each["Effect"], each["Resource"]) for each in answer["policyDocument"]["Statement"]] == [("Deny", "*")]


def test_routes_are_read_strictly() -> None:
    assert parse_routes('{"GET /accounts": "accounts.read"}') == {"GET /accounts": "accounts.read"}
    for text in ("", "[]", '{"a": 1}', '{"a": "b", "a": "c"}', '{"a": {"b": "c"}}'):
        with pytest.raises(ConfigurationError):
            parse_routes(text)
