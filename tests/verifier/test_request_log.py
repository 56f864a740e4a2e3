"""The line of a request: its metrics are in CloudWatch's form, and nothing gets into it that does not belong there."""

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from keyrung_verifier import paths
from keyrung_verifier.entry import Reply
from keyrung_verifier.request_log import Served, line_of, operation_of

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
OK, REFUSED = Reply(status=200, body=b"{}"), Reply(status=503, body=b"{}", error="busy", correlation_id="c" * 32)
XRAY = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:abcd:0"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# The rules of the specification ("Embedded metric format", CloudWatch user guide), written down as a schema.
_NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_000_000_000_000},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "pattern": r"^[0-9A-Za-z._/#:-]{1,256}$"},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "minItems": 1, "maxItems": 30, "items": _NAME},
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {"Name": _NAME, "Unit": {"enum": ["Count", "Milliseconds"]}},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def line(reply: Reply = OK, *, operation: str = "evaluate", **changes: Any) -> dict[str, Any]:
    served = Served(function="verifier", operation=operation, reply=reply, duration_ms=12.3456, cold=False, **changes)
    text = line_of(served, now=NOW)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize("reply", [OK, REFUSED])
def test_the_metrics_are_in_the_embedded_form(reply: Reply) -> None:
    found = line(reply)

    jsonschema.validate(found, EMF)
    (directive,) = found["_aws"]["CloudWatchMetrics"]
    for names in directive["Dimensions"]:
        assert all(isinstance(found[name], str) and found[name] for name in names)  # target members are texts
    for metric in directive["Metrics"]:
        assert isinstance(found[metric["Name"]], int | float)
    assert found["_aws"]["Timestamp"] == 1795694400000


def test_a_refusal_is_told_apart_by_its_error() -> None:
    found = line(REFUSED)

    assert (found["Refusals"], found["error"], found["level"]) == (1, "busy", "ERROR")
    assert ["function", "error"] in found["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert line(OK)["Refusals"] == 0


def test_an_answered_challenge_is_a_step_up_and_nothing_else_is() -> None:
    assert line(operation="respond")["StepUps"] == 1
    assert line(REFUSED, operation="respond")["StepUps"] == 0
    assert line(Reply(status=202, body=b"{}"), operation="respond")["StepUps"] == 0  # another answer is needed besides
    assert line(operation="evaluate")["StepUps"] == 0


def test_the_ids_of_a_call_are_there() -> None:
    found = line(REFUSED, request_id="7a0c5b3e-1", xray_header=XRAY, traceparent=TRACEPARENT)

    assert found["correlation_id"] == "c" * 32
    assert found["request_id"] == "7a0c5b3e-1"
    assert found["xray_trace_id"] == "1-67891233-abcdef012345678912345678"
    assert found["traceparent"] == TRACEPARENT


@pytest.mark.parametrize(
    "text",
    ["", "x", '","level":"FATAL', "00-\n", TRACEPARENT + "\n", TRACEPARENT + "-x", TRACEPARENT.upper(), "\ud800", "é"],
)
def test_what_has_another_form_is_not_repeated(text: str) -> None:
    found = line(request_id=text + "\n", xray_header=text, traceparent=text)

    assert {"request_id", "xray_trace_id", "traceparent"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", paths.EVALUATION, "evaluate"),
        ("POST", paths.EVALUATIONS, "evaluate-many"),
        ("POST", paths.CHALLENGES, "challenge"),
        ("GET", f"{paths.CHALLENGES}/a-secret-id", "read-challenge"),
        ("POST", f"{paths.CHALLENGES}/a-secret-id/response", "respond"),
        ("POST", paths.SPEND, "spend"),
        ("GET", "/a-secret", "other"),
        ("a-secret", paths.HEALTH, "other"),
        ("GET", f"{paths.CHALLENGES}/x/a-secret", "read-challenge"),
    ],
)
def test_an_operation_is_one_of_few_names_and_never_a_path(method: str, path: str, operation: str) -> None:
    assert operation_of(method, path) == operation
