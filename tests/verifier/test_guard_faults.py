"""Whatever breaks between the guard and the verifier, the request does not pass."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.guarded import ALICE, Guarded, Handler, shell
from support.verifier import Totp, UnsafeTestKey, World, bundle_bytes, catalog_texts

from keyrung_verifier import assertion as assertions
from keyrung_verifier.guard import Session, calls
from keyrung_verifier.guard.model import Scope

JWKS = "/.well-known/jwks.json"
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


@pytest.fixture
def totp(world: World) -> Totp:
    return world.enrol_totp()


def stepped_up(guarded: Guarded, totp: Totp) -> str:
    return guarded.step_up(guarded.request("POST", "/profile"), totp.code(guarded.world.clock.now()))


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
@pytest.mark.parametrize("path", [JWKS, SPEND])
def test_an_assertion_that_cannot_be_checked_or_spent_does_not_pass(
    guarded: Guarded, totp: Totp, broken: Callable[[httpx.Request], httpx.Response], path: str
) -> None:
    assertion = stepped_up(guarded, totp)
    guarded.verifier = replacing(guarded.world, path, broken)

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


@pytest.mark.parametrize("changes", [{"spent": False}, {"sub": "bob"}, {"jti": "another"}])
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


# -- the key set ----------------------------------------------------------------------------------------------------


def test_the_key_set_is_fetched_once_for_many_assertions(guarded: Guarded, totp: Totp) -> None:
    for _ in range(3):
        assertion = stepped_up(guarded, totp)
        assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200
        guarded.world.clock.advance(31)

    assert guarded.called.count(JWKS) == 2  # 62 seconds: once at first, once when it was a minute old


def test_unknown_key_ids_cause_one_fetch_and_not_one_each(guarded: Guarded, totp: Totp) -> None:
    claims = assertions_claims(guarded, totp)
    strangers = [assertions.sign(claims, UnsafeTestKey(f"stranger-{number}")) for number in range(5)]
    guarded.world.clock.advance(calls.JWKS_PAUSE_SECONDS)
    before = guarded.called.count(JWKS)

    statuses = [guarded.request("POST", "/profile", assertion=stranger).status_code for stranger in strangers]

    assert statuses == [403] * 5
    assert guarded.called.count(JWKS) == before + 1


def test_a_key_that_is_newer_than_the_set_is_found(guarded: Guarded, totp: Totp) -> None:
    old = {"keys": [{**UnsafeTestKey("old").public_jwk, "kid": UnsafeTestKey("old").key_id}]}
    guarded.verifier = replacing(guarded.world, JWKS, says(200, old))
    assertion = stepped_up(guarded, totp)
    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 403
    guarded.verifier = shell(guarded.world)
    guarded.world.clock.advance(calls.JWKS_PAUSE_SECONDS)

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200


def test_the_last_good_set_is_kept_until_it_expires_and_not_longer(guarded: Guarded, totp: Totp) -> None:
    clock = guarded.world.clock
    used = stepped_up(guarded, totp)
    assert guarded.request("POST", "/profile", assertion=used).status_code == 200
    guarded.verifier = replacing(guarded.world, JWKS, fails(httpx.ConnectError("down")))

    clock.advance(calls.JWKS_EXPIRY_SECONDS - 1)
    fresh = stepped_up(guarded, totp)
    assert guarded.request("POST", "/profile", assertion=fresh).status_code == 200
    clock.advance(31)
    late = stepped_up(guarded, totp)
    assert guarded.request("POST", "/profile", assertion=late).status_code == 503


def double_kid(keys: list[dict[str, str]]) -> list[dict[str, str]]:
    return [*keys, {**UnsafeTestKey("other").public_jwk, "kid": keys[0]["kid"]}]


@pytest.mark.parametrize(
    "change",
    [
        double_kid,
        lambda keys: [*keys, *keys],
        lambda keys: [{name: value for name, value in key.items() if name != "kid"} for key in keys],
        lambda keys: [{**key, "kid": ["a"]} for key in keys],
    ],
)
def test_a_key_set_with_repeated_or_missing_key_ids_is_not_used(
    guarded: Guarded, totp: Totp, change: Callable[[list[dict[str, str]]], object]
) -> None:
    assertion = stepped_up(guarded, totp)
    keys = guarded.world.verifier.jwks()["keys"]
    guarded.verifier = replacing(guarded.world, JWKS, says(200, {"keys": change(keys)}))

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 503


def test_a_key_that_is_in_the_assertion_only_is_never_used(guarded: Guarded, totp: Totp) -> None:
    claims = assertions_claims(guarded, totp)
    guarded.world.clock.advance(calls.JWKS_PAUSE_SECONDS)

    forged = assertions.sign(claims, UnsafeTestKey("forger"))

    assert guarded.request("POST", "/profile", assertion=forged).status_code == 403
    assert guarded.app.bodies == []


# -- what leaks ------------------------------------------------------------------------------------------------------


def test_an_unforeseen_error_is_a_generic_refusal(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_scope: Scope) -> Session | None:
        raise RuntimeError("secret detail")

    guarded.guard._identify = broken
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

    client = calls.verifier_client()

    assert client._mounts == {}
    assert client.follow_redirects is False


def assertions_claims(guarded: Guarded, totp: Totp) -> assertions.Claims:
    """Return the claims of a good assertion, for a forger to sign."""
    world = guarded.world
    keys = {key["kid"]: key for key in world.verifier.jwks()["keys"]}
    good = stepped_up(guarded, totp)
    return assertions.verify(
        good, keys=keys, issuer=world.settings.issuer, audience="https://api.example", now=world.clock.now()
    )
