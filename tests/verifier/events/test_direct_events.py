"""A direct invocation has one strict form, and it names no caller."""

from typing import Any

import pytest

from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.events.direct import answer_of, request_of

EVENT = {"method": "POST", "path": "/access/v1/evaluation", "body": "{}"}


def test_a_request_is_read_and_names_no_caller() -> None:
    assert request_of(EVENT) == WebRequest(method="POST", path="/access/v1/evaluation", principal=None, body=b"{}")


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
        request_of(EVENT | change)


@pytest.mark.parametrize("event", [None, [], "x", {}, {"method": "GET"}], ids=str)
def test_another_kind_of_event_is_malformed(event: object) -> None:
    with pytest.raises(MalformedRequestError):
        request_of(event)
