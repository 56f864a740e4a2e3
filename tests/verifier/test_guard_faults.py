"""Whatever breaks between the guard and the verifier, the request does not pass."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from support.guarded import ALICE, Guarded, fails, replacing, says, shell, stepped_up
from support.verifier import Totp, World, bundle_bytes, catalog_texts

from keyrung_verifier.guard.asgi import Session, verifier_client

EVALUATION = "/access/v1/evaluation"
CHALLENGES = "/stepup/v1/challenges"
SPEND = "/stepup/v1/assertions/spend"
ALLOW = {"decision": True, "context": {"outcome": "allow", "policy_digest": "d"}}
STEP_UP = {
    "decision": False,
    "context": {"outcome": "step_up", "policy_digest": "d", "acr_values": ["phr"], "max_age": 300},
}


@pytest.fixture
def guarded(world: World) -> Guarded:
    return Guarded(world)


BROKEN = {
    "unreachable": fails(httpx.ConnectError("refused")),
    "wrong certificate": fails(httpx.ConnectError("certificate verify failed")),
    "slow": fails(httpx.ReadTimeout("slow")),
    "cut off": fails(httpx.RemoteProtocolError("closed")),
    "error": says(500, {"error": "server_error"}),
    "unavailable": says(503, {"error": "temporarily_unavailable"}),
    "unknown client": says(401, {"error": "invalid_client"}),
    "redirect": says(307, b""),
    "no content": says(204, b""),
    "not JSON": says(200, b"<html>"),
    "wrong shape": says(200, [1]),
    "too long": says(200, b" " * 70_000 + json.dumps(ALLOW).encode()),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_verifier_that_cannot_decide_means_503_and_no_pass(
    guarded: Guarded, broken: Callable[[httpx.Request], httpx.Response]
) -> None:
    guarded.verifier = replacing(guarded.world, EVALUATION, broken)

    answer = guarded.request("GET", "/accounts")

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert guarded.app.bodies == []


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_assertion_that_cannot_be_spent_does_not_pass(
    guarded: Guarded, totp: Totp, broken: Callable[[httpx.Request], httpx.Response]
) -> None:
    assertion = stepped_up(guarded, totp)
    guarded.verifier = replacing(guarded.world, SPEND, broken)

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 503
    assert guarded.app.bodies == []


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_challenge_that_cannot_be_made_means_503(
    guarded: Guarded, totp: Totp, broken: Callable[[httpx.Request], httpx.Response]
) -> None:
    guarded.verifier = replacing(guarded.world, CHALLENGES, broken)

    assert guarded.request("POST", "/profile").status_code == 503


def context(**changes: object) -> dict[str, object]:
    return STEP_UP | {"context": dict(STEP_UP["context"]) | changes}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "decision",
    [
        ALLOW | {"decision": False},
        ALLOW | {"decision": "true"},
        ALLOW | {"decision": 1},
        STEP_UP | {"decision": True},
        {"decision": True},
        {"decision": True, "context": {}},
        {"decision": True, "context": {"outcome": "permit", "policy_digest": "d"}},
        context(acr_values=[]),
        context(max_age=None),
        context(max_age=-1),
        context(acr_values=['phr" , error="x']),
        context(acr_values=["phr\r\nSet-Cookie: a=b"]),
    ],
)
def test_an_answer_that_contradicts_itself_or_could_split_a_header_never_passes(
    guarded: Guarded, decision: dict[str, Any]
) -> None:
    guarded.verifier = replacing(guarded.world, EVALUATION, says(200, decision))

    assert guarded.request("GET", "/accounts").status_code in {403, 503}
    assert guarded.app.bodies == []


def test_a_step_up_address_that_could_split_the_header_is_not_passed_on(guarded: Guarded, totp: Totp) -> None:
    guarded.verifier = replacing(guarded.world, CHALLENGES, says(201, {"stepup_uri": 'https://x", error="y'}))

    assert guarded.request("POST", "/profile").status_code == 503


@pytest.mark.parametrize("changes", [{"spent": False}, {"sub": "bob"}])
def test_an_answer_about_another_assertion_does_not_pass(
    guarded: Guarded, totp: Totp, changes: dict[str, object]
) -> None:
    assertion = stepped_up(guarded, totp)
    real = shell(guarded.world)

    def changed(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=real(request).json() | changes)

    guarded.verifier = replacing(guarded.world, SPEND, changed)

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 503
    assert guarded.app.bodies == []


def test_a_lost_reply_counts_as_spent(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp)
    real = shell(guarded.world)

    def lose(request: httpx.Request) -> httpx.Response:
        real(request)
        raise httpx.ReadError("connection lost")

    guarded.verifier = replacing(guarded.world, SPEND, lose)
    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 503
    guarded.verifier = real

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 403
    assert guarded.app.bodies == []


def test_fifty_requests_at_once_with_one_assertion_let_exactly_one_pass(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp)
    transport = httpx.ASGITransport(app=guarded.guard)
    headers = ALICE | {"Step-Up-Assertion": assertion}

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(transport=transport, base_url="https://x.example") as client:
            answers = await asyncio.gather(*(client.post("/profile", headers=headers) for _ in range(50)))
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(all_at_once())

    assert sorted(statuses) == [200] + [403] * 49
    assert len(guarded.app.bodies) == 1


def test_a_policy_that_changed_after_the_step_up_refuses_the_assertion(guarded: Guarded, totp: Totp) -> None:
    assertion = stepped_up(guarded, totp)
    catalogue = {name: text.replace(b"max_age: 5m", b"max_age: 4m") for name, text in catalog_texts().items()}
    guarded.world.bundle_path.write_bytes(bundle_bytes(version=2, texts=catalogue))
    guarded.world.clock.advance(30)

    answer = guarded.request("POST", "/profile", assertion=assertion)

    assert (answer.status_code, answer.json()["error"]) == (403, "assertion_refused")


def test_an_unforeseen_error_is_a_generic_refusal(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_scope: Mapping[str, Any]) -> Session | None:
        raise RuntimeError("secret detail")

    guarded.decisions.identify = broken
    with caplog.at_level(logging.INFO):
        answer = guarded.request("GET", "/accounts")

    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    assert answer.json()["correlation_id"] in caplog.text
    assert "secret detail" not in answer.text + caplog.text


def test_an_error_of_the_application_itself_is_not_hidden(guarded: Guarded) -> None:
    async def broken(*_anything: object) -> None:
        raise LookupError("application")

    guarded.guard._app = broken

    with pytest.raises(LookupError, match="application"):
        guarded.request("GET", "/accounts")


def test_no_log_line_holds_the_secret_or_the_assertion(
    guarded: Guarded, totp: Totp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assertion = stepped_up(guarded, totp)
        guarded.request("POST", "/profile", assertion=assertion)
        guarded.request("POST", "/profile", assertion=assertion)

    assert "s" * 40 not in caplog.text
    assert assertion not in caplog.text


def test_the_environment_cannot_redirect_the_verifier_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    client = verifier_client()

    assert client._mounts == {}
    assert client.follow_redirects is False
