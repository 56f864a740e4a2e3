"""The guard around a Lambda function, in front of a real verifier over TLS."""

import base64
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.guarded import PUBLIC_URL, guard_of, parameters_of
from support.lambda_events import http_event, rest_event
from support.tls_server import running_verifier
from support.verifier import ORIGIN, Totp, World

from keyrung_verifier.guard.aws_lambda import Action, Guard, GuardedRequest, Handler, Session, guarded

LARGE = {"amount_minor": 250000, "currency": "EUR", "payee": "Bob"}
SMALL = LARGE | {"amount_minor": 10}
MakeEvent = Callable[..., dict[str, Any]]


def identify(event: Mapping[str, Any]) -> Session | None:
    headers = {name.lower(): value for name, value in event["headers"].items()}
    if headers.get("authorization") != "Bearer alice":
        return None
    return Session(subject_id="alice", session_id="sid-alice", properties={"kind": "person"})


class Function:
    """A function behind its guard; `events` is what reached it."""

    def __init__(self, world: World, url: str, authority: Path) -> None:
        self.world, self.events = world, list[Mapping[str, Any]]()
        self._url, self.tls = url, ssl.create_default_context(cafile=str(authority))
        self.guard = self.guard_with()
        self.call = self.behind(self.guard)

    def guard_with(self, **changes: Any) -> Guard:
        return guard_of(self.world, verifier_url=self._url, issuer=ORIGIN, identify=identify, **changes)

    def behind(self, guard: Guard) -> Handler:
        return guarded(guard, tls=self.tls)(self._handle)

    def _handle(self, event: Mapping[str, Any], context: object) -> Mapping[str, Any]:
        assert context == "context"
        self.events.append(event)
        return {"statusCode": 200, "body": "passed"}

    def __call__(self, event: object) -> Mapping[str, Any]:
        return self.call(event, "context")  # type: ignore[arg-type] # hostile ones are anything

    def step_up(self, answer: Mapping[str, Any], totp: Totp) -> str:
        challenge_id = challenge_of(answer)["stepup_uri"].rpartition("/")[2]
        earned = self.world.respond_code(challenge_id, totp.code(self.world.clock.now()))
        return str(earned.body["assertion"])


@pytest.fixture
def function(world: World, certificates: Path) -> Iterator[Function]:
    with running_verifier(world, certificates) as url:
        yield Function(world, url, certificates / "tls-ca.pem")


def error_of(answer: Mapping[str, Any]) -> tuple[int, str]:
    return answer["statusCode"], json.loads(answer["body"])["error"]


def challenge_of(answer: Mapping[str, Any]) -> dict[str, str]:
    assert answer["statusCode"] == 401, answer
    return parameters_of(answer["headers"]["WWW-Authenticate"])


def http(method: str, path: str, body: object = None, *, query: str = "", **headers: str) -> dict[str, Any]:
    """Return an event of an HTTP API or a function URL."""
    sent = {"authorization": "Bearer alice"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return http_event(method, path, body, headers=sent) | {"rawQueryString": query}


def rest(method: str, path: str, body: object = None, *, query: str = "", **headers: str) -> dict[str, Any]:
    """Return an event of a REST API."""
    sent = [("Authorization", "Bearer alice")] + [(name.replace("_", "-").title(), v) for name, v in headers.items()]
    parameters: dict[str, list[str]] = {}
    for pair in query.split("&") if query else []:
        parameters.setdefault(pair.partition("=")[0], []).append(pair.partition("=")[2])
    return rest_event(method, path, body, headers=sent, query=parameters or None)


both = pytest.mark.parametrize("event_of", [http, rest])


@both
def test_an_ordinary_request_reaches_the_function_unchanged(function: Function, event_of: MakeEvent) -> None:
    event = event_of("POST", "/transfers", SMALL)

    assert function(event) == {"statusCode": 200, "body": "passed"}
    assert function.events == [event]


@both
def test_a_sensitive_request_passes_once_after_its_step_up(function: Function, totp: Totp, event_of: MakeEvent) -> None:
    asked = function(event_of("POST", "/profile", {"name": "x"}))
    challenge = challenge_of(asked)
    assert challenge["error"] == "insufficient_user_authentication"
    assert (challenge["acr_values"], challenge["max_age"]) == ("urn:keyrung:otp phr", "300")
    assert asked["headers"]["Cache-Control"] == "no-store"
    assert function.events == []

    retry = event_of("POST", "/profile", {"name": "x"}, step_up_assertion=function.step_up(asked, totp))

    assert function(retry)["statusCode"] == 200
    assert error_of(function(retry)) == (403, "assertion_refused")
    assert len(function.events) == 1


@both
@pytest.mark.parametrize(
    "changes", [{"body": {"name": "y"}}, {"query": "a=1"}, {"path": "/transfers", "body": LARGE}], ids=str
)
def test_an_assertion_for_another_request_is_refused(
    function: Function, totp: Totp, event_of: MakeEvent, changes: dict[str, Any]
) -> None:
    asked = function(event_of("POST", "/profile", {"name": "x"}))
    assertion = function.step_up(asked, totp)
    other = {"method": "POST", "path": "/profile", "body": {"name": "x"}} | changes

    assert function(event_of(**other, step_up_assertion=assertion))["statusCode"] == 403
    assert function.events == []


@both
def test_the_query_is_bound_with_its_repeated_parameters(function: Function, totp: Totp, event_of: MakeEvent) -> None:
    asked = function(event_of("POST", "/profile", query="a=1&a=2"))
    assertion = function.step_up(asked, totp)

    for other in ("a=2&a=1", "a=2", "a=1", ""):
        refused = function(event_of("POST", "/profile", query=other, step_up_assertion=assertion))
        assert refused["statusCode"] == 403, other
    assert function(event_of("POST", "/profile", query="a=1&a=2", step_up_assertion=assertion))["statusCode"] == 200


@both
def test_a_body_in_base64_is_bound_as_the_bytes_it_stands_for(
    function: Function, totp: Totp, event_of: MakeEvent
) -> None:
    encoded = base64.b64encode(b"\xff\x00").decode()
    asked = function(event_of("POST", "/profile", encoded) | {"isBase64Encoded": True})
    assertion = function.step_up(asked, totp)
    as_text = event_of("POST", "/profile", encoded, step_up_assertion=assertion)

    assert function(as_text)["statusCode"] == 403
    assert function(as_text | {"isBase64Encoded": True})["statusCode"] == 200


@both
def test_a_request_without_a_session_is_refused_before_anything_is_asked(
    function: Function, event_of: MakeEvent
) -> None:
    answer = function(event_of("GET", "/accounts", authorization="Bearer nobody"))

    assert error_of(answer) == (401, "unauthenticated")
    assert function.world.records("access.evaluated") == []


@both
def test_a_denied_request_is_refused_without_a_challenge(function: Function, event_of: MakeEvent) -> None:
    answer = function(event_of("POST", "/transfers", SMALL | {"currency": "XXX"}))

    assert error_of(answer) == (403, "access_denied")
    assert "WWW-Authenticate" not in answer["headers"]


@both
def test_a_level_that_the_subject_cannot_reach_is_an_explicit_error(function: Function, event_of: MakeEvent) -> None:
    assert error_of(function(event_of("POST", "/profile"))) == (403, "unmet_authentication_requirements")


@both
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/other"), ("HEAD", "/accounts"), ("OPTIONS", "/accounts"), ("get", "/accounts")),
        *(("GET", "/accounts/"), ("GET", "//accounts"), ("GET", "/Accounts"), ("GET", "/accounts/1/2")),
        *(("GET", "/accounts/.."), ("GET", "/accounts/."), ("GET", "/./accounts"), ("GET", "/x/../accounts")),
    ],
)
def test_what_is_not_listed_is_refused(function: Function, event_of: MakeEvent, method: str, path: str) -> None:
    assert error_of(function(event_of(method, path))) == (404, "not_found")


@both
@pytest.mark.parametrize(
    "path",
    ["/acc%6funts", "/accounts%2F1", "/accounts/%2e%2e", "/accounts/1%00", "/accounts/\n", "/accounts/é", "", "x"],
)
def test_a_path_that_somebody_could_decode_to_another_is_refused(
    function: Function, event_of: MakeEvent, path: str
) -> None:
    assert error_of(function(event_of("GET", path))) == (400, "invalid_request")


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "", 7, {}, {"version": "2.0"}, {"version": "1.0"}, {"Records": []}),
        {"version": "2.0", "rawPath": "/accounts", "rawQueryString": "", "headers": None, "requestContext": {}},
        http("GET", "/accounts") | {"rawPath": ["/accounts"]},
        http("GET", "/accounts") | {"rawQueryString": None},
        http("GET", "/accounts") | {"headers": {"authorization": "Bearer alice", "x": None}},
        rest("GET", "/accounts") | {"multiValueHeaders": None},
        rest("GET", "/accounts") | {"multiValueQueryStringParameters": {"a": 1}, "requestContext": {"path": 1}},
        # What a WebSocket API sends when a connection opens: a long connection is no request to bind anything to.
        {"requestContext": {"eventType": "CONNECT", "connectionId": "c"}, "headers": {"Authorization": "Bearer alice"}},
    ],
)
def test_an_event_of_another_kind_never_reaches_the_function(function: Function, event: object) -> None:
    assert error_of(function(event)) == (400, "invalid_request")
    assert function.events == []
    assert function(http("GET", "/accounts"))["statusCode"] == 200


@pytest.mark.parametrize("changes", [{"body": 7}, {"body": "!", "isBase64Encoded": True}, {"body": "\ud800"}], ids=str)
@both
def test_a_body_of_another_kind_is_refused(function: Function, event_of: MakeEvent, changes: dict[str, object]) -> None:
    assert error_of(function(event_of("POST", "/profile") | changes)) == (400, "invalid_request")


@both
def test_a_body_that_is_too_long_is_refused(function: Function, event_of: MakeEvent) -> None:
    assert error_of(function(event_of("POST", "/profile", "a" * (1024 * 1024 + 1)))) == (413, "body_too_large")
    assert function.world.records("access.evaluated") == []


@both
def test_a_repeated_assertion_is_refused(function: Function, totp: Totp, event_of: MakeEvent) -> None:
    assertion = function.step_up(function(event_of("POST", "/profile")), totp)
    event = event_of("POST", "/profile", step_up_assertion=assertion)
    if event_of is rest:
        event["multiValueHeaders"]["step-up-assertion"] = [assertion]  # another spelling of the same name
    else:
        event["headers"]["step-up-assertion"] = f"{assertion},{assertion}"  # as the platform joins them

    assert error_of(function(event)) == (400, "invalid_request")


def test_a_mapper_sees_the_path_parameters_and_the_public_address(function: Function) -> None:
    seen: list[GuardedRequest] = []

    def look(request: GuardedRequest) -> Mapping[str, str]:
        seen.append(request)
        return {}

    actions = {"GET /accounts/{id}": Action(name="accounts.read", resource=look)}
    call = function.behind(function.guard_with(routes=actions))
    assert call(http("GET", "/accounts/17", query="a=1"), "context")["statusCode"] == 200
    assert call(rest("GET", "/accounts/17", query="a=1"), "context")["statusCode"] == 200

    assert [request.params for request in seen] == [{"id": "17"}] * 2
    assert [request.uri for request in seen] == [
        f"{PUBLIC_URL}{path}/17?a=1" for path in ("/accounts", "/prod/accounts")
    ]


def test_an_error_of_the_function_itself_is_not_hidden(function: Function) -> None:
    def broken(_event: Mapping[str, Any], _context: object) -> Mapping[str, Any]:
        raise LookupError("function")

    with pytest.raises(LookupError, match="function"):
        guarded(function.guard, tls=function.tls)(broken)(http("GET", "/accounts"), "context")
