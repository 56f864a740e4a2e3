"""An application behind the guard, in process, in front of a real verifier."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from support.verifier import CLIENT, ORIGIN, Totp, World

from keyrung_verifier.entry import WebRequest, serve
from keyrung_verifier.guard.asgi import (
    Action,
    Guard,
    GuardedRequest,
    Message,
    Receive,
    Scope,
    Send,
    Session,
    StepUpGuard,
    client_credentials,
)

PUBLIC_URL = "https://bank.example"
ALICE = {"Authorization": "Bearer alice"}
Handler = Callable[[httpx.Request], httpx.Response]


def shell(world: World) -> Handler:
    """Return the smallest shell around a verifier: what a web server would do, without one."""

    def handle(request: httpx.Request) -> httpx.Response:
        reply = serve(
            world.verifier,
            WebRequest(
                method=request.method,
                path=request.url.path,
                authorization=request.headers.get("Authorization"),
                body=request.content,
            ),
        )
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body)

    return handle


def identify(scope: Mapping[str, Any]) -> Session | None:
    names = {b"Bearer alice": "alice", b"Bearer bob": "bob", b"Bearer robot": "robot"}
    name = next((names.get(value) for header, value in scope["headers"] if header == b"authorization"), None)
    kind = "machine" if name == "robot" else "person"
    return None if name is None else Session(subject_id=name, session_id=f"sid-{name}", properties={"kind": kind})


def transfer(request: GuardedRequest) -> Mapping[str, str | int | bool]:
    body = request.json()
    return {"amount_minor": body["amount_minor"], "currency": body["currency"], "payee": body["payee"]}


ROUTES = {
    "GET /accounts": Action(name="accounts.read"),
    "GET /accounts/{id}": Action(name="accounts.read"),
    "POST /profile": Action(name="profile.update"),
    "POST /transfers": Action(name="payments.transfer", resource=transfer),
    "GET /customers/export": Action(name="customers.export"),
}


def guard_of(world: World, **changes: Any) -> Guard:
    """Return the guard of the application that the verifier knows."""
    settings: dict[str, Any] = {
        "verifier_url": ORIGIN,
        "public_url": PUBLIC_URL,
        "authenticate": client_credentials(CLIENT.client_id, CLIENT.secret),
        "audience": CLIENT.audience,
        "routes": ROUTES,
        "identify": identify,
        "now": world.clock.now,
    }
    return Guard(**settings | changes)


# What the catalogue has no example of: step-ups that pay more than once, and those that are always made anew.
MODES_POLICY = b"""
keyrung: policy/v1
default: deny
attributes:
  resource.year: {type: integer, min: 1900, max: 2100}
levels:
  otp: {acr: "urn:keyrung:otp", any_of: [[otp]]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [otp]}
rules:
  - {id: read, actions: [reports.read], require: {level: otp, max_age: 5m, bind: [method], single_use: false}}
  - {id: read-new, actions: [reports.read], when: {resource.year: {gte: 2026}},
     require: {level: otp, max_age: 10s, bind: [method], single_use: false}}
  - {id: read-old, actions: [reports.read], when: {resource.year: {lt: 1950}},
     require: {level: otp, max_age: 5m, bind: [method, uri], single_use: false}}
  - {id: read-secret, actions: [reports.read], when: {resource.year: {lt: 1945}},
     require: {level: phr, max_age: 5m, bind: [method], single_use: false}}
  - {id: read-once, actions: [reports.read], when: {resource.year: {eq: 2000}}, require: {level: otp, max_age: 5m}}
  - {id: approve, actions: [documents.approve],
     require: {level: otp, max_age: 5m, bind: [method], batch: {count: 10, within: 60s}}}
  - {id: open, actions: [vault.open], require: {level: otp, max_age: 0s}}
"""


def year(request: GuardedRequest) -> Mapping[str, int]:
    return {"year": int(request.params["year"])}


MODES_ROUTES = {
    "GET /reports/{year}": Action(name="reports.read", resource=year),
    "POST /reports/{year}": Action(name="reports.read", resource=year),
    "POST /documents/{id}": Action(name="documents.approve"),
    "POST /vault": Action(name="vault.open"),
}


class Recorder:
    """The application: it answers 200 and remembers what reached it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"passed"})


class Guarded:
    """The application with its guard; `verifier` may be replaced to break things on the way."""

    def __init__(self, world: World, **changes: Any) -> None:
        self.world = world
        self.verifier = shell(world)
        self.calls: list[httpx.Request] = []
        self.app = Recorder()
        self.decisions = guard_of(world, **changes)
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._carry))
        self.guard = StepUpGuard(self.app, self.decisions, http=http)

    def _carry(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        return self.verifier(request)

    @property
    def called(self) -> list[str]:
        """The paths that the verifier was asked for."""
        return [request.url.path for request in self.calls]

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | list[tuple[str, str]] = ALICE,
        body: object = None,
        assertion: str | None = None,
    ) -> httpx.Response:
        sent = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if assertion is not None:
            sent.append(("Step-Up-Assertion", assertion))
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.guard)
            async with httpx.AsyncClient(transport=transport, base_url="https://whatever.example") as client:
                return await client.request(method, path, headers=sent, content=content)

        return asyncio.run(send())

    def raw(self, scope: Mapping[str, Any], messages: list[Message]) -> list[Message]:
        """Send a hand-made ASGI exchange; return what the guard sent."""
        sent: list[Message] = []
        waiting = list(messages)

        async def receive() -> Message:
            return waiting.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.guard(dict(scope), receive, send))
        return sent

    def step_up(self, answer: httpx.Response, code: str) -> str:
        """Return the assertion that a code earns for the challenge of a refused request."""
        uri = challenge_of(answer)["stepup_uri"]
        earned = self.world.respond_code(uri.rpartition("/")[2], code)
        assert earned.status == 200, earned.body
        return str(earned.body["assertion"])


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    """Return the parameters of a step-up challenge."""
    return parameters_of(answer.headers["WWW-Authenticate"])


def parameters_of(header: str, *, scheme: str = "Bearer") -> dict[str, str]:
    """Return the parameters of the one challenge in a WWW-Authenticate header."""
    found, _, rest = header.partition(" ")
    assert found == scheme
    pairs = (part.partition("=") for part in rest.split(", "))
    return {name: value.strip('"') for name, _, value in pairs}


def earn(guarded: Guarded, totp: Totp, method: str, path: str) -> str:
    """Return an assertion earned with a code for a request without a body."""
    return guarded.step_up(guarded.request(method, path), totp.code(guarded.world.clock.now()))


def stepped_up(guarded: Guarded, totp: Totp, body: object = None) -> str:
    """Return an assertion earned for a change of the profile."""
    return guarded.step_up(guarded.request("POST", "/profile", body=body), totp.code(guarded.world.clock.now()))


def replacing(world: World, path: str, answer: Callable[[httpx.Request], httpx.Response]) -> Handler:
    """Return the real verifier with one path answered by something else."""
    real = shell(world)
    return lambda request: answer(request) if request.url.path == path else real(request)


def fails(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def says(status: int, body: object) -> Callable[[httpx.Request], httpx.Response]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _request: httpx.Response(status, content=content, headers={"Location": "https://evil.example/"})
