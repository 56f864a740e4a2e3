"""How often a step-up opens a guarded route: once, for a batch, or until it is too old."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.guarded import ALICE, MODES_POLICY, MODES_ROUTES, Guarded, challenge_of, earn
from support.verifier import Totp, World, bundle_bytes

SPEND = "/stepup/v1/assertions/spend"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    world = World(tmp_path, texts={"modes.yaml": MODES_POLICY})
    yield Guarded(world, routes=MODES_ROUTES)
    world.close()


@pytest.fixture
def totp(guarded: Guarded) -> Totp:
    return guarded.world.enrol_totp()


def test_a_batch_opens_exactly_its_count_of_requests_whoever_comes_at_once(guarded: Guarded, totp: Totp) -> None:
    headers = ALICE | {"Step-Up-Assertion": earn(guarded, totp, "POST", "/documents/0")}

    async def all_at_once() -> list[int]:
        transport = httpx.ASGITransport(app=guarded.guard)
        async with httpx.AsyncClient(transport=transport, base_url="https://x.example") as client:
            posts = (client.post(f"/documents/{number}", headers=headers) for number in range(50))
            return [answer.status_code for answer in await asyncio.gather(*posts)]

    assert sorted(asyncio.run(all_at_once())) == [200] * 10 + [403] * 40
    assert len(guarded.app.bodies) == 10


def test_a_batch_is_counted_at_the_verifier_and_refused_where_nobody_can_count(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "POST", "/documents/0")
    assert guarded.request("POST", "/documents/1", assertion=assertion).status_code == 200
    assert guarded.called.count(SPEND) == 1
    guarded.verifier = lambda _request: httpx.Response(503)

    assert guarded.request("POST", "/documents/2", assertion=assertion).status_code == 503


def test_a_reusable_assertion_opens_many_requests_without_being_spent(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", "/reports/1990")

    statuses = {
        guarded.request("GET", f"/reports/{year}", assertion=assertion).status_code for year in range(1990, 2000)
    }

    assert statuses == {200}
    assert SPEND not in guarded.called


def test_a_reusable_assertion_ends_with_its_life(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", "/reports/1990")
    guarded.world.clock.advance(299)
    assert guarded.request("GET", "/reports/1990", assertion=assertion).status_code == 200
    guarded.world.clock.advance(1)

    assert guarded.request("GET", "/reports/1990", assertion=assertion).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("POST", "/reports/1990", "the method is bound"),
        ("GET", "/reports/1949", "more is bound there"),
        ("GET", "/reports/1944", "a higher level is needed there"),
        ("GET", "/reports/2000", "it pays once there, and nobody counted it"),
        ("POST", "/vault", "another action"),
    ],
)
def test_a_reusable_assertion_opens_nothing_that_needs_more(
    guarded: Guarded, totp: Totp, method: str, path: str, why: str
) -> None:
    guarded.world.enrol_token()
    assertion = earn(guarded, totp, "GET", "/reports/1990")

    answer = guarded.request(method, path, assertion=assertion)

    assert (answer.status_code, answer.json()["error"]) == (403, "assertion_refused"), why
    assert "WWW-Authenticate" not in answer.headers


def test_a_reusable_assertion_opens_nothing_that_needs_a_younger_one(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", "/reports/1990")
    assert guarded.request("GET", "/reports/2026", assertion=assertion).status_code == 200
    guarded.world.clock.advance(71)  # ten seconds, and the difference that clocks may have

    assert guarded.request("GET", "/reports/2026", assertion=assertion).status_code == 403
    assert guarded.request("GET", "/reports/1990", assertion=assertion).status_code == 200


def test_a_reusable_assertion_of_another_subject_or_session_is_refused(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", "/reports/1990")

    answer = guarded.request("GET", "/reports/1990", headers={"Authorization": "Bearer bob"}, assertion=assertion)

    assert answer.status_code == 403


def test_an_assertion_that_pays_once_pays_once_where_others_are_reusable(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", "/reports/2000")

    assert guarded.request("GET", "/reports/2000", assertion=assertion).status_code == 200
    assert guarded.request("GET", "/reports/2000", assertion=assertion).status_code == 403


def test_a_max_age_of_zero_gets_a_new_challenge_each_time(guarded: Guarded, totp: Totp) -> None:
    first, second = guarded.request("POST", "/vault"), guarded.request("POST", "/vault")
    assert challenge_of(first)["max_age"] == "0"
    assert challenge_of(first)["stepup_uri"] != challenge_of(second)["stepup_uri"]
    assertion = guarded.step_up(first, totp.code(guarded.world.clock.now()))
    assert guarded.request("POST", "/vault", assertion=assertion).status_code == 200

    again = guarded.request("POST", "/vault")

    assert again.status_code == 401
    assert challenge_of(again)["stepup_uri"] not in {challenge_of(each)["stepup_uri"] for each in (first, second)}
    assert guarded.request("POST", "/vault", assertion=assertion).status_code == 403


def test_every_use_is_judged_by_the_policy_of_that_moment(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", "/reports/1990")
    changed = MODES_POLICY.replace(b"max_age: 10s", b"max_age: 11s")
    guarded.world.bundle_path.write_bytes(bundle_bytes(version=2, texts={"modes.yaml": changed}))
    guarded.world.clock.advance(30)

    assert guarded.request("GET", "/reports/1990", assertion=assertion).status_code == 403
