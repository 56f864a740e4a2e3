"""What somebody may try with the spelling of a path: be decided as one route and be served as another."""

import asyncio
from typing import cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.asgi_shell import asgi_shell
from support.guarded import ALICE, guard_of, shell
from support.verifier import World

from keyrung_verifier.guard.asgi import Action, App, StepUpGuard


async def _export(_request: Request) -> Response:
    return PlainTextResponse("export")


async def _report(_request: Request) -> Response:
    return PlainTextResponse("report")


def _reports(world: World) -> StepUpGuard:
    """Return an application whose open and guarded routes lie side by side."""
    routes = [
        Route("/reports/export", _export, methods=["GET"]),
        Route("/reports/{id}", _report, methods=["GET"]),
    ]
    actions = {
        "GET /reports/export": Action(name="customers.export"),
        "GET /reports/{id}": Action(name="accounts.read"),
    }
    return StepUpGuard(
        cast(App, Starlette(routes=routes)),
        guard_of(world, routes=actions),
        http=httpx.AsyncClient(transport=httpx.MockTransport(shell(world))),
    )


def _get(app: App, path: str, method: str = "GET") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="https://whatever.example") as client:
            return await client.request(method, path, headers=ALICE)

    return asyncio.run(send())


def test_the_open_route_beside_the_guarded_one_passes(world: World) -> None:
    assert _get(_reports(world), "/reports/1").text == "report"


@pytest.mark.parametrize("end", ["%0A", "%0D", "%00", "%09", "%7F", "%0D%0A", "1%0A"])
def test_a_control_character_never_makes_one_route_of_two(world: World, end: str) -> None:
    # Starlette's patterns end in `$`, which matches before a final line feed as well.
    answer = _get(_reports(world), f"/reports/export{end}")

    assert answer.status_code == 404
    assert world.records("access.evaluated") == []


@pytest.mark.parametrize(
    "path",
    [
        *("/reports/export", "/reports/ex%70ort", "/reports%2Fexport", "/reports/export/", "//reports/export"),
        *("/reports/%2e/export", "/reports/export%2F", "/x/..%2Freports%2Fexport", "/reports/export?id=1"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_spelling_of_a_guarded_path_reaches_it_without_a_step_up(world: World, method: str, path: str) -> None:
    assert _get(_reports(world), path, method).status_code in {403, 404}


@pytest.mark.parametrize("path", ["/healthz%0A", "/heal%09thz", "/healthz%3F", "/healthz%23x", "/healthz%0D"])
def test_the_verifier_takes_only_the_exact_path(world: World, path: str) -> None:
    # A gateway in front that lets some paths pass must mean the same paths as the verifier.
    app = asgi_shell(world.verifier)

    assert _get(cast(App, app), "/healthz").status_code == 200
    assert _get(cast(App, app), path).status_code == 404
