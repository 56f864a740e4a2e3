"""The README's lines that add step-up to an application, run as they stand in front of a real verifier."""

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from support.guarded import challenge_of
from support.project import REPOSITORY
from support.tls_server import make_certificates, running_verifier, serving_tls
from support.verifier import CLIENT, SettableClock, Totp, World, bundle_bytes

from keyrung_verifier.guard.asgi import Session


def lines() -> str:
    section = (REPOSITORY / "README.md").read_text().partition("## Step-up in your own API")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def session_of(scope: Mapping[str, Any]) -> Session | None:
    """Return the session of a request; this an application has already, in whatever form."""
    signed_in = (b"cookie", b"session=alice") in scope["headers"]
    return Session(subject_id="alice", session_id="sid-1", properties={"kind": "person"}) if signed_in else None


def of_starlette() -> Any:
    async def accounts(_request: Request) -> Response:
        return JSONResponse({"accounts": []})

    async def profile(request: Request) -> Response:
        return JSONResponse(await request.json())

    return Starlette(routes=[Route("/accounts", accounts), Route("/profile", profile, methods=["POST"])])


def of_fastapi() -> Any:
    app = fastapi.FastAPI()

    @app.get("/accounts")
    def accounts() -> dict[str, list[str]]:
        return {"accounts": []}

    @app.post("/profile")
    def profile(change: dict[str, str]) -> dict[str, str]:
        return change

    return app


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    now = datetime.now(UTC)
    folder = tmp_path / "verifier"
    folder.mkdir()
    day = timedelta(days=1)
    (folder / "policy-bundle.json").write_bytes(bundle_bytes(not_before=now - day, expires_at=now + day))
    made = World(folder, clock=SettableClock(now))
    yield made
    made.close()


@pytest.mark.parametrize("make", [of_starlette, of_fastapi])
def test_an_application_is_guarded_with_these_lines_and_no_others(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    authority = make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))  # the system trusts the authority of the verifier
    monkeypatch.setenv("STEPUP_SECRET", CLIENT.secret)
    app, totp = make(), world.enrol_totp()
    with running_verifier(world, tmp_path) as verifier_url:
        text = lines().replace("https://stepup.example.com", verifier_url).replace("my-api", CLIENT.client_id)
        exec(compile(text, "README.md", "exec"), {"app": app, "session_of": session_of, "os": os})  # noqa: S102
        tls = ssl.create_default_context(cafile=str(authority))
        with (
            serving_tls(app, tmp_path) as url,
            httpx.Client(base_url=url, verify=tls, headers={"Cookie": "session=alice"}) as client,
        ):
            check(client, world, totp)


def check(client: httpx.Client, world: World, totp: Totp) -> None:
    assert client.get("/accounts").json() == {"accounts": []}
    assert client.get("/accounts", headers={"Cookie": "session=bob"}).status_code == 401
    assert client.get("/openapi.json").status_code == 404

    asked = client.post("/profile", json={"name": "x"})
    challenge_id = challenge_of(asked)["stepup_uri"].rpartition("/")[2]
    earned = world.respond_code(challenge_id, totp.code(world.clock.now()))
    header = {"Step-Up-Assertion": earned.body["assertion"]}

    assert client.post("/profile", json={"name": "y"}, headers=header).status_code == 403
    assert client.post("/profile", json={"name": "x"}, headers=header).json() == {"name": "x"}
    assert client.post("/profile", json={"name": "x"}, headers=header).status_code == 403


def test_they_are_fewer_than_ten() -> None:
    assert len([line for line in lines().splitlines() if line.strip()]) < 10
