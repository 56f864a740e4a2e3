"""What a function URL or an HTTP API hands over, and what of it counts."""

import base64
import json
from typing import Any

import pytest
from support.lambda_events import SESSION_ARN, http_event, iam_identity

from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.events.http import answer_of, request_of
from keyrung_verifier.limits import MAX_BODY_BYTES


def test_a_request_is_read_as_it_was_sent() -> None:
    event = http_event("POST", "/access/v1/evaluation", '{"a":1}', headers={"authorization": "Basic eA=="})

    assert request_of(event) == WebRequest(
        method="POST", path="/access/v1/evaluation", authorization="Basic eA==", principal=None, body=b'{"a":1}'
    )


def test_an_answer_carries_status_headers_and_text() -> None:
    answer = answer_of(Reply(status=401, body='{"a":"ä"}'.encode(), headers={"Retry-After": "2"}))

    assert answer == {
        "statusCode": 401,
        "headers": {"Retry-After": "2"},
        "body": '{"a":"ä"}',
        "isBase64Encoded": False,
    }
    json.dumps(answer)


def test_a_body_in_base64_is_decoded_once() -> None:
    event = http_event("POST", "/", base64.b64encode(b"\x00{}").decode()) | {"isBase64Encoded": True}

    assert request_of(event).body == b"\x00{}"
    assert request_of(event | {"isBase64Encoded": False}).body == event["body"].encode()


@pytest.mark.parametrize("body", ["!!!!", "YQ", "YQ==YQ==", "Y Q=", "ä"])
def test_a_body_in_broken_base64_is_malformed(body: str) -> None:
    with pytest.raises(MalformedRequestError):
        request_of(http_event("POST", "/", body) | {"isBase64Encoded": True})


def test_a_body_with_a_lone_surrogate_is_malformed() -> None:
    with pytest.raises(MalformedRequestError):
        request_of(http_event("POST", "/", "\ud800"))


def test_a_huge_body_is_cut_where_the_core_refuses_it() -> None:
    assert len(request_of(http_event("POST", "/", "x" * 6_000_000)).body) == MAX_BODY_BYTES + 1


@pytest.mark.parametrize(
    ("path", "stage", "expected"),
    [
        ("/healthz", "$default", "/healthz"),
        ("/prod/healthz", "prod", "/healthz"),
        ("/healthz", "prod", "/healthz"),
        ("/prod", "prod", "/prod"),
        ("/production/healthz", "prod", "/production/healthz"),
        ("/prod/prod/healthz", "prod", "/prod/healthz"),
        ("/%68ealthz", "$default", "/%68ealthz"),
        ("/prod%2Fhealthz", "prod", "/prod%2Fhealthz"),
        ("//healthz", "$default", "//healthz"),
        ("/x/../healthz", "$default", "/x/../healthz"),
    ],
)
def test_a_path_loses_its_stage_once_and_is_never_decoded(path: str, stage: str, expected: str) -> None:
    assert request_of(http_event("GET", path, stage=stage)).path == expected


def test_a_header_under_two_spellings_is_nothing_that_a_check_accepts() -> None:
    event = http_event("POST", "/", headers={"authorization": "Basic YTpi", "Authorization": "Basic YTpi"})

    assert request_of(event).authorization == "Basic YTpi, Basic YTpi"


def test_the_caller_is_whom_iam_has_authenticated() -> None:
    assert request_of(http_event("POST", "/", principal=SESSION_ARN)).principal == SESSION_ARN


@pytest.mark.parametrize(
    "authorizer",
    [
        None,
        {"jwt": {"claims": {"userArn": SESSION_ARN}, "scopes": []}},
        {"lambda": {"iam": {"userArn": SESSION_ARN}}},
        {"userArn": SESSION_ARN},
        {"iam": None},
        {"iam": iam_identity(SESSION_ARN) | {"cognitoIdentity": {"identityId": "x", "identityPoolId": "y", "amr": []}}},
    ],
    ids=["none", "jwt", "lambda", "outside", "null", "cognito"],
)
def test_what_iam_did_not_authenticate_is_nobody(authorizer: dict[str, Any] | None) -> None:
    event = http_event("POST", "/")
    event["requestContext"]["authorizer"] = authorizer

    assert request_of(event).principal is None


def test_no_header_makes_a_caller() -> None:
    headers = {
        name: SESSION_ARN
        for name in (
            "x-amzn-principal",
            "x-amz-user-arn",
            "x-apigateway-event",
            "principal",
            "userarn",
            "x-forwarded-user",
        )
    }
    event = http_event("POST", "/", headers=headers)
    event["headers"]["x-apigateway-event"] = json.dumps(http_event("POST", "/", principal=SESSION_ARN))

    assert request_of(event).principal is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0"},
        {"version": 2.0},
        {"rawPath": None},
        {"rawPath": 7},
        {"headers": {"authorization": ["Basic eA=="]}},
        {"headers": None},
        {"body": {"a": 1}},
        {"isBase64Encoded": "true"},
        {"requestContext": {}},
        {"requestContext": None},
    ],
    ids=str,
)
def test_an_event_of_another_form_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequestError) as caught:
        request_of(http_event("POST", "/", "secret-body") | change)

    assert caught.value.__cause__ is None
    assert "secret-body" not in str(caught.value)


@pytest.mark.parametrize("event", [None, [], "x", 7, {}, {"Records": []}, {"methodArn": "arn"}], ids=str)
def test_another_kind_of_event_is_malformed(event: object) -> None:
    with pytest.raises(MalformedRequestError):
        request_of(event)
