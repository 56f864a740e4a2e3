"""Whatever route the guard takes a request for, a router takes it for the same one."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from keyrung_verifier.guard.asgi import Guard, Session, StepUpGuard, client_credentials
from keyrung_verifier.guard.model import Action, Head, Refusal
from keyrung_verifier.guard.routes import Routes, below

# The last of them is what a path of the one before it becomes below a root path of one segment.
PATHS = ["/reports/export", "/reports/{id}", "/reports/{id}/lines/{line}", "/x-{id}.json", "/{a}/export", "/export"]
GUARD = Routes({f"GET {path}": Action(name=path) for path in PATHS})
ROUTER = [Route(path, lambda _request: Response(), methods=["GET"]) for path in PATHS]
SEGMENTS = st.sampled_from(["reports", "export", "lines", "x-1.json", "x-.json", ".", "..", "", "Reports", "1", "{id}"])
NASTY = st.text(st.sampled_from("\n\r\t\0/\\%;?#. \x7f\x85\u2028é{}x1"), max_size=4)
# A path of the table with an end of its own, or segments of any kind.
NEAR = st.builds("{}{}".format, st.sampled_from(["reports/export", "reports/1", "a/export", "x-1.json"]), NASTY)
TARGETS = NEAR | st.lists(SEGMENTS | NASTY | st.builds("{}{}".format, SEGMENTS, NASTY), max_size=5).map("/".join)


ROOTS = st.sampled_from(["", "/api", "/api/v1", "/reports", "/api/", "/", "/e"])


def routed(path: str, root_path: str = "") -> str | None:
    """Return the route that Starlette serves, which is the first that fits."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path}
    return next((route.path for route in ROUTER if route.matches(scope)[0] is Match.FULL), None)


def guarded(path: str, root_path: str = "") -> str | None:
    try:
        action, _ = GUARD.find(Head(method="GET", path=below(root_path, path), target="/", headers=[]))
    except Refusal:
        return None
    return action.name


@settings(max_examples=1000)
@given(TARGETS.map("/{}".format))
def test_the_guard_never_takes_a_path_for_another_route_than_a_router_does(path: str) -> None:
    assert guarded(path) in {None, routed(path)}


@settings(max_examples=1000)
@given(ROOTS, st.booleans(), TARGETS.map("/{}".format))
def test_nor_below_the_root_path_of_an_application(root_path: str, is_inside: bool, path: str) -> None:
    asked = root_path + path if is_inside else path

    assert guarded(asked, root_path) in {None, routed(asked, root_path)}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/reports/export", "/reports/export"),
        ("/reports/1", "/reports/{id}"),
        ("/reports/1/lines/2", "/reports/{id}/lines/{line}"),
        ("/other/export", "/{a}/export"),
        ("/x-1.json", "/x-{id}.json"),
    ],
)
def test_an_ordinary_path_is_its_route_to_both(path: str, route: str) -> None:
    assert guarded(path) == routed(path) == route


@pytest.mark.parametrize("path", ["/api/export", "/export"])
def test_an_application_below_a_root_path_serves_what_was_decided(path: str) -> None:
    decided: list[str] = []

    def verifier(request: httpx.Request) -> httpx.Response:
        decided.append(json.loads(request.content)["action"]["name"])
        return httpx.Response(200, json={"decision": True, "context": {"outcome": "allow", "policy_digest": "d"}})

    guard = Guard(
        verifier_url="https://verifier.example",
        public_url="https://bank.example",
        authenticate=client_credentials("bank", "secret"),
        routes={f"GET {route}": Action(name=route) for route in PATHS},
        identify=lambda _scope: Session(subject_id="alice", session_id="s"),
    )
    served = Starlette(routes=[Route(each, _named(each), methods=["GET"]) for each in PATHS])

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.MockTransport(verifier)) as http:
            transport = httpx.ASGITransport(app=StepUpGuard(served, guard, http=http), root_path="/api")
            async with httpx.AsyncClient(transport=transport, base_url="https://bank.example") as client:
                return await client.get(path)

    assert asyncio.run(ask()).text == "/export"
    assert decided == ["/export"]


def _named(route: str) -> Callable[[Request], Response]:
    return lambda _request: Response(route)
