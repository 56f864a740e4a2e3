"""Malformed, huge, deep and odd requests: a generic 4xx, quickly, and the next request works."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.verifier import CLIENT, World, challenge_body, evaluation, http_request

GOOD = json.dumps(evaluation("accounts.read")).encode()

HOSTILE = {
    "empty": b"",
    "no json": b"hello",
    "null": b"null",
    "array": b"[]",
    "text": b'"x"',
    "truncated": GOOD[:-1],
    "trailing": GOOD + b"{}",
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "utf-16": GOOD.decode().encode("utf-16"),
    "latin-1": GOOD.replace(b"alice", b"al\xefce"),
    "repeated member": GOOD[:-1] + b',"action":{"name":"accounts.read"}}',
    "repeated inner member": GOOD.replace(b'"id": "alice"', b'"id": "bob", "id": "alice"'),
    "NaN": GOOD[:-2] + b',"x":NaN}}',
    "Infinity": GOOD[:-2] + b',"x":-Infinity}}',
    "huge float": GOOD[:-2] + b',"x":1e999}}',
    "huge integer": GOOD[:-2] + b',"x":' + b"9" * 5000 + b"}}",
    "inexact integer": GOOD[:-2] + b',"x":9007199254740993}}',
    "deep arrays": GOOD[:-2] + b',"x":' + b"[" * 15000 + b"]" * 15000 + b"}}",
    "deep objects": b'{"a":' * 6000 + b"1" + b"}" * 6000,
    "only opening brackets": b"[" * 32000,
    "brackets that do not match": b"]}" * 1000 + b"[" * 1000,
    "too long": GOOD[:-1] + b" " * 40000 + b"}",
    "lone surrogate": GOOD.replace(b"alice", b"\\ud800"),
    "NUL in an id": GOOD.replace(b"alice", b"al\\u0000ice"),
    "newline in an id": GOOD.replace(b"alice", b"alice\\n"),
    "escape in an id": GOOD.replace(b"alice", b"\\u001b[2Jalice"),
    "long id": GOOD.replace(b"alice", b"a" * 257),
    "empty id": GOOD.replace(b"alice", b""),
    "id that is a number": GOOD.replace(b'"alice"', b"1"),
    "unknown member": GOOD[:-1] + b',"contxt":{}}',
    "unknown inner member": GOOD.replace(b'"id": "alice"', b'"id": "alice", "role": "admin"'),
    "session that is a text": GOOD.replace(b'{"id": "sid-1"}', b'"sid-1"'),
    "session without id": GOOD.replace(b'{"id": "sid-1"}', b"{}"),
    "single quotes": GOOD.replace(b'"', b"'"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_refused_quickly_and_the_next_request_works(world: World, body: bytes) -> None:
    began = time.perf_counter()
    answer = world.http("POST", "/access/v1/evaluation", body, client=CLIENT)
    took_seconds = time.perf_counter() - began

    assert answer.status == 400
    assert answer.body["error"] == "invalid_request"
    assert took_seconds < 1
    assert world.records("access.evaluated")[-1]["outcome"] == "refused"
    assert world.evaluate("accounts.read").status == 200


@pytest.mark.parametrize(
    "request_changes",
    [
        {"method": "post"},
        {"method": "POST "},
        {"method": ""},
        {"method": "P" * 40},
        {"uri": "https://api.example/a b"},
        {"uri": "https://api.example/#part"},
        {"uri": "https://api.example/\u00e9"},
        {"uri": "https://api.example/\n"},
        {"uri": "https://api.example/" + "a" * 8000},
        {"uri": ""},
        {"body_sha256": "x"},
        {"body_sha256": "A" * 42 + "B"},
        {"body_sha256": "A" * 42 + "="},
        {"body_sha256": "A" * 43 + "\n"},
        {"body_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    ],
)
def test_a_request_that_has_no_one_form_is_refused(world: World, request_changes: dict[str, str]) -> None:
    world.enrol_totp()
    body = challenge_body("profile.update", request=http_request() | request_changes)

    answer = world.http("POST", "/stepup/v1/challenges", body, client=CLIENT)

    assert answer.status == 400
    assert world.records("challenge.created")[-1]["outcome"] == "refused"


def test_a_challenge_without_a_session_is_refused(world: World) -> None:
    world.enrol_totp()

    assert world.challenge(session=None).status == 400


@pytest.mark.parametrize(
    "action",
    [
        "accounts.read ",
        " accounts.read",
        "ACCOUNTS.READ",
        "accounts.*",
        "*",
        "accounts.read\u200b",
        "\u0430ccounts.read",
    ],
)
def test_a_look_alike_of_an_allowed_action_is_denied(world: World, action: str) -> None:
    assert world.evaluate(action).body["decision"] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/access/v1/evaluation"),
        ("PUT", "/stepup/v1/challenges"),
        ("GET", "/stepup/v1/challenges/"),
        ("POST", "/stepup/v1/challenges/x"),
        ("POST", "/stepup/v1/challenges//response"),
        ("POST", "/stepup/v1/challenges/x/y/response"),
        ("GET", "/stepup/v1/challenges/x/response"),
        ("GET", "/x/stepup/v1/challenges/abc"),
        ("POST", "/access/v1/evaluation/"),
        ("POST", "//access/v1/evaluation"),
        ("post", "/access/v1/evaluation"),
        ("GET", "/stepup/v1/challenges/" + "x" * 200),
        ("GET", ""),
    ],
)
def test_a_path_that_is_not_listed_is_not_found(world: World, method: str, path: str) -> None:
    answer = world.http(method, path, evaluation("accounts.read"), client=CLIENT)

    assert answer.status == 404
    assert answer.body["error"] == "not_found"


def test_a_subject_with_line_breaks_in_unicode_is_one_line_in_the_log(world: World) -> None:
    world.evaluate("accounts.read\u2028fake", subject="a\u2028b\u2029c\u0085d")

    assert all(b"\n" not in line and b"\r" not in line for line in world.lines())
    assert len(world.lines()) == len(world.records())


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=300), JSON.map(lambda value: json.dumps(value).encode())))
@pytest.mark.parametrize(
    "path",
    [
        "/access/v1/evaluation",
        "/access/v1/evaluations",
        "/stepup/v1/challenges",
        "/stepup/v1/assertions/spend",
        "/stepup/v1/challenges/x/response",
    ],
)
def test_no_body_makes_a_server_error(world: World, path: str, body: bytes) -> None:
    assert world.http("POST", path, body, client=CLIENT).status in {400, 403}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(properties=st.dictionaries(st.sampled_from(["amount_minor", "currency", "payee"]), JSON))
def test_no_attribute_value_makes_a_server_error_or_passes_the_limit(world: World, properties: dict[str, Any]) -> None:
    body = json.dumps(evaluation("payments.transfer", resource=properties)).encode()

    answer = world.http("POST", "/access/v1/evaluation", body, client=CLIENT)

    assert answer.status in {200, 400}
    if answer.body.get("decision") is True:
        assert type(properties["amount_minor"]) is int
        assert 0 <= properties["amount_minor"] < 100000
