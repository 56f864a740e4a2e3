"""A direct invocation has one strict form, and its caller is the deployment's to name."""

from typing import Any

import pytest

from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.events.direct import answer_of, request_of

EVENT = {"method": "POST", "path": "/access/v1/evaluation", "body": "{}"}


def test_a_request_is_read_and_made_by_whom_the_deployment_names() -> None:
    assert request_of(EVENT, principal="arn") == WebRequest(
        method="POST", path="/access/v1/evaluation", principal="arn", body=b"{}"
    )
    assert request_of(EVENT, principal=None).principal is None


def test_an_answer_carries_status_headers_and_text() -> None:
    assert answer_of(Reply(status=503, body=b"{}", headers={"Retry-After": "2"})) == {
        "status": 503,
        "headers": {"Retry-After": "2"},
        "body": "{}",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"principal": "arn"},
        {"authorization": "Basic eA=="},
        {"headers": {}},
        {"requestContext": {}},
        {"body": {"subject": "x"}},
        {"body": None},
        {"body": "\ud800"},
        {"method": 1},
        {"path": None},
    ],
    ids=str,
)
def test_another_form_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequestError):
        request_of(EVENT | change, principal=None)


@pytest.mark.parametrize("event", [None, [], "x", {}, {"method": "GET"}], ids=str)
def test_another_kind_of_event_is_malformed(event: object) -> None:
    with pytest.raises(MalformedRequestError):
        request_of(event, principal="arn")
