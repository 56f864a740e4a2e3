"""Every way in is listed here, and leads through the one choke point."""

import ast
import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from support.asgi_shell import asgi_shell
from support.lambda_events import ROLE_ARN, SESSION_ARN, PlatformContext, http_event
from support.verifier import SettableClock, World, evaluation

from keyrung_infra.serve.app import VerifierApp
from keyrung_verifier import entry, handler
from keyrung_verifier.callers import Client
from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.principals import configured_principal
from keyrung_verifier.service import Verifier
from keyrung_verifier.system import SystemRandom

ROOT = Path(__file__).parents[2]
SHELLS = {"infra/keyrung_infra/serve/app.py", "infra/keyrung_verifier/handler.py"}
EVENT_MODULES = {
    f"infra/keyrung_verifier/{name}.py" for name in ("events/authorizer", "events/http", "events/direct", "request_log")
}
ROUTES = {"GET /accounts/{id}": "accounts.read", "POST /profile": "profile.update"}
AUTHORIZERS = [handler.http_authorizer_shell(ROUTES), handler.rest_authorizer_shell(ROUTES)]
CHOSEN = Reply(status=299, body=b'{"chosen":true}')


def answer(
    shell: handler.Shell, verifier: Verifier, event: object, *, principal: str | None = None
) -> dict[str, object]:
    """Return what the function of a deployment answers, with this verifier."""
    function = handler.Function(
        verifier=lambda: verifier,
        principal=principal,
        end_at=lambda _end_seconds: None,
        write=lambda _line: None,
        name="verifier",
        clock=SettableClock(),
        random=SystemRandom(),
    )
    return function.call(shell, event, PlatformContext())


def by_function_url(world: World) -> tuple[int, str]:
    event = http_event("GET", "/healthz")
    said = answer(handler.HTTP, world.verifier, event)
    return cast(int, said["statusCode"]), str(said["body"])


def by_http_api(world: World) -> tuple[int, str]:
    event = http_event("GET", "/live/healthz", stage="live")
    said = answer(handler.HTTP, world.verifier, event)
    return cast(int, said["statusCode"]), str(said["body"])


def by_direct_invocation(world: World) -> tuple[int, str]:
    event = {"method": "GET", "path": "/healthz"}
    said = answer(handler.DIRECT, world.verifier, event)
    return cast(int, said["status"]), str(said["body"])


def by_asgi(world: World) -> tuple[int, str]:
    app = asgi_shell(world.verifier)
    answer = asyncio.run(_get(app, "/healthz"))
    return answer.status_code, answer.text


async def _get(app: VerifierApp, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://verifier.example") as client:
        return await client.get(path)


@pytest.fixture
def vouched(tmp_path: Path) -> Iterator[World]:
    client = Client(client_id="by-role", audience="https://role.example", principal_arn=ROLE_ARN)
    made = World(tmp_path, clients=[client])
    yield made
    made.close()


WAYS_IN: list[Callable[[World], tuple[int, str]]] = [by_function_url, by_http_api, by_direct_invocation, by_asgi]


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_what_the_choke_point_says_is_what_the_caller_hears(
    world: World, monkeypatch: pytest.MonkeyPatch, way_in: Callable[[World], tuple[int, str]]
) -> None:
    asked: list[WebRequest] = []

    def serve(_verifier: object, request: WebRequest) -> Reply:
        asked.append(request)
        return CHOSEN

    monkeypatch.setattr(entry, "serve", serve)
    monkeypatch.setattr("keyrung_infra.serve.app.serve", serve)

    assert way_in(world) == (299, '{"chosen":true}')
    assert [(request.method, request.path) for request in asked] == [("GET", "/healthz")]


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_every_way_in_answers_alike(world: World, way_in: Callable[[World], tuple[int, str]]) -> None:
    digest = world.http("GET", "/healthz").body["policy_digest"]
    assert way_in(world) == (200, f'{{"status":"ok","policy_digest":"{digest}"}}')


@pytest.mark.parametrize("shell", AUTHORIZERS, ids=["http", "rest"])
def test_an_authorizer_asks_the_choke_point(
    world: World, monkeypatch: pytest.MonkeyPatch, shell: handler.Shell
) -> None:
    asked: list[WebRequest] = []

    def serve(_verifier: object, request: WebRequest) -> Reply:
        asked.append(request)
        return CHOSEN

    monkeypatch.setattr(entry, "serve", serve)

    assert not admitted(answer(shell, world.verifier, authorizer_event(), principal="arn"))
    assert [(request.method, request.path, request.principal) for request in asked] == [
        ("POST", "/access/v1/evaluation", "arn")
    ]


@pytest.mark.parametrize("shell", AUTHORIZERS, ids=["http", "rest"])
def test_an_authorizer_admits_what_the_policy_allows_and_nothing_else(vouched: World, shell: handler.Shell) -> None:
    named = configured_principal(ROLE_ARN)

    assert admitted(answer(shell, vouched.verifier, authorizer_event(), principal=named))
    assert vouched.records("access.evaluated")[-1]["actor"] == "by-role"
    stepping_up = authorizer_event(route="POST /profile")
    assert not admitted(answer(shell, vouched.verifier, stepping_up, principal=named))
    assert not admitted(answer(shell, vouched.verifier, authorizer_event(route="GET /other"), principal=named))
    assert not admitted(answer(shell, vouched.verifier, authorizer_event(), principal=None))
    assert not admitted(answer(shell, vouched.verifier, {"Records": []}, principal=named))


def authorizer_event(route: str = "GET /accounts/{id}") -> dict[str, Any]:
    """Return an event that both kinds of authorizer can read."""
    certificate = {"clientCert": {"subjectDN": "CN=batch", "serialNumber": "a1"}}
    method, _, resource = route.partition(" ")
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeKey": route,
        "rawPath": "/accounts/7",
        "path": "/accounts/7",
        "httpMethod": method,
        "resource": resource,
        "methodArn": "arn:aws:execute-api:eu-central-1:123456789012:abcdefghij/live/GET/accounts/7",
        "requestContext": {"authentication": certificate, "identity": certificate},
    }


def admitted(said: dict[str, Any]) -> bool:
    if "isAuthorized" in said:
        return said["isAuthorized"] is True
    (statement,) = said["policyDocument"]["Statement"]
    return bool(statement["Effect"] == "Allow")


def test_only_the_shells_know_the_choke_point_and_no_other_way_to_the_verifier() -> None:
    sources = {
        str(path.relative_to(ROOT)): path.read_text()
        for root in ("infra", "policies", "provisioners")
        for path in (ROOT / root).rglob("*.py")
    }
    serving = {name for name, text in sources.items() if "keyrung_verifier.entry" in text}
    # What makes a `Verifier` must import it; who only wants to ask it uses the choke point.
    making = {name for name, text in sources.items() if "keyrung_verifier.service" in text}

    assert serving == SHELLS | EVENT_MODULES
    assert making == {
        "infra/keyrung_infra/serve/build.py",
        "infra/keyrung_verifier/entry.py",
        "infra/keyrung_verifier/aws/deployed.py",
        "infra/keyrung_verifier/handler.py",
    }
    for name in making - {"infra/keyrung_verifier/entry.py"}:
        assert _called(sources[name]).isdisjoint(
            {"evaluate", "create_challenge", "read_challenge", "respond", "spend", "authenticate"}
        )


def _called(text: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes}


def test_an_event_that_no_shell_can_read_is_refused_like_everything_else(world: World) -> None:
    for shell, member in [(handler.HTTP, "statusCode"), (handler.DIRECT, "status")]:
        said = answer(shell, world.verifier, {"Records": []})
        body: dict[str, Any] = json.loads(str(said["body"]))

        assert said[member] == 400
        assert body["error"] == "invalid_request"
        assert body["correlation_id"]


def test_a_call_signed_by_a_clients_role_is_answered(vouched: World) -> None:
    event = http_event("POST", "/access/v1/evaluation", evaluation("accounts.read"), principal=SESSION_ARN)
    said = answer(handler.HTTP, vouched.verifier, event)

    assert said["statusCode"] == 200
    assert json.loads(str(said["body"]))["decision"] is True
    assert vouched.records("access.evaluated")[-1]["actor"] == "by-role"


@pytest.mark.parametrize("principal", [None, SESSION_ARN.replace("sample-api", "other"), "arn:aws:iam::1:root"])
def test_a_call_by_anybody_else_is_refused_and_recorded(vouched: World, principal: str | None) -> None:
    event = http_event("POST", "/access/v1/evaluation", evaluation("accounts.read"), principal=principal)
    said = answer(handler.HTTP, vouched.verifier, event, principal=ROLE_ARN)

    assert said["statusCode"] == 401
    assert vouched.records()[-1]["event"] == "caller.refused"


def test_a_direct_invocation_is_made_by_whom_the_deployment_names(vouched: World) -> None:
    event = {"method": "POST", "path": "/access/v1/evaluation", "body": json.dumps(evaluation("accounts.read"))}

    named = configured_principal(ROLE_ARN)

    assert answer(handler.DIRECT, vouched.verifier, event, principal=named)["status"] == 200
    assert answer(handler.DIRECT, vouched.verifier, event)["status"] == 401
