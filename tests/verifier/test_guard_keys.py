"""The guard's copy of the verifier's keys: renewed in time, never guessed, never used too long."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.guarded import MODES_POLICY, MODES_ROUTES, Guarded, earn, fails, replacing, says, shell
from support.verifier import Totp, UnsafeTestKey, World

from keyrung_verifier import assertion as assertions
from keyrung_verifier.guard import keys as guard_keys

JWKS = "/.well-known/jwks.json"
REPORT = "/reports/1990"  # opened by an assertion that the verifier does not count


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    world = World(tmp_path, texts={"modes.yaml": MODES_POLICY})
    yield Guarded(world, routes=MODES_ROUTES)
    world.close()


@pytest.fixture
def totp(guarded: Guarded) -> Totp:
    return guarded.world.enrol_totp()


def read(guarded: Guarded, assertion: str) -> int:
    return guarded.request("GET", REPORT, assertion=assertion).status_code


def test_the_key_set_is_fetched_once_for_many_assertions(guarded: Guarded, totp: Totp) -> None:
    for _ in range(3):
        assert read(guarded, earn(guarded, totp, "GET", REPORT)) == 200
        guarded.world.clock.advance(31)

    assert guarded.called.count(JWKS) == 2  # 62 seconds: once at first, once when it was a minute old


def test_unknown_key_ids_cause_one_fetch_and_not_one_each(guarded: Guarded, totp: Totp) -> None:
    claims = claims_of(guarded, totp)
    read(guarded, earn(guarded, totp, "GET", REPORT))
    strangers = [assertions.sign(claims, UnsafeTestKey(f"stranger-{number}")) for number in range(5)]
    guarded.world.clock.advance(guard_keys.JWKS_PAUSE_SECONDS)
    before = guarded.called.count(JWKS)

    assert [read(guarded, stranger) for stranger in strangers] == [403] * 5
    assert guarded.called.count(JWKS) == before + 1


def test_a_key_that_is_newer_than_the_set_is_found(guarded: Guarded, totp: Totp) -> None:
    old = {"keys": [{**UnsafeTestKey("old").public_jwk, "kid": UnsafeTestKey("old").key_id}]}
    guarded.verifier = replacing(guarded.world, JWKS, says(200, old))
    assertion = earn(guarded, totp, "GET", REPORT)
    assert read(guarded, assertion) == 403
    guarded.verifier = shell(guarded.world)
    guarded.world.clock.advance(guard_keys.JWKS_PAUSE_SECONDS)

    assert read(guarded, assertion) == 200


def test_the_last_good_set_is_kept_until_it_expires_and_not_longer(guarded: Guarded, totp: Totp) -> None:
    clock = guarded.world.clock
    assert read(guarded, earn(guarded, totp, "GET", REPORT)) == 200
    guarded.verifier = replacing(guarded.world, JWKS, fails(httpx.ConnectError("down")))

    clock.advance(guard_keys.JWKS_EXPIRY_SECONDS - 1)
    fresh = earn(guarded, totp, "GET", REPORT)
    assert read(guarded, fresh) == 200
    clock.advance(1)
    assert read(guarded, fresh) == 503


def test_a_clock_that_is_set_back_expires_the_set_too(guarded: Guarded, totp: Totp) -> None:
    assertion = earn(guarded, totp, "GET", REPORT)
    assert read(guarded, assertion) == 200
    guarded.verifier = replacing(guarded.world, JWKS, fails(httpx.ConnectError("down")))
    guarded.world.clock.advance(-guard_keys.JWKS_EXPIRY_SECONDS)

    assert read(guarded, assertion) == 503


BROKEN = {
    "unreachable": fails(httpx.ConnectError("refused")),
    "slow": fails(httpx.ReadTimeout("slow")),
    "error": says(500, {"error": "server_error"}),
    "redirect": says(307, b""),
    "not JSON": says(200, b"<html>"),
    "wrong shape": says(200, {"keys": {"a": 1}}),
    "too long": says(200, b" " * 70_000 + b'{"keys": []}'),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_assertion_that_cannot_be_checked_does_not_pass_until_there_are_keys_again(
    guarded: Guarded, totp: Totp, broken: Callable[[httpx.Request], httpx.Response]
) -> None:
    assertion = earn(guarded, totp, "GET", REPORT)
    guarded.verifier = replacing(guarded.world, JWKS, broken)
    assert read(guarded, assertion) == 503
    assert guarded.app.bodies == []
    guarded.verifier = shell(guarded.world)

    assert read(guarded, assertion) == 200


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
    assertion = earn(guarded, totp, "GET", REPORT)
    keys = guarded.world.verifier.jwks()["keys"]
    guarded.verifier = replacing(guarded.world, JWKS, says(200, {"keys": change(keys)}))

    assert read(guarded, assertion) == 503


def test_a_key_that_is_in_the_assertion_only_is_never_used(guarded: Guarded, totp: Totp) -> None:
    claims = claims_of(guarded, totp)
    guarded.world.clock.advance(guard_keys.JWKS_PAUSE_SECONDS)

    assert read(guarded, assertions.sign(claims, UnsafeTestKey("forger"))) == 403
    assert guarded.app.bodies == []


def claims_of(guarded: Guarded, totp: Totp) -> assertions.Claims:
    """Return the claims of a good assertion, for a forger to sign."""
    world = guarded.world
    keys = {key["kid"]: key for key in world.verifier.jwks()["keys"]}
    good = earn(guarded, totp, "GET", REPORT)
    world.clock.advance(31)  # so that the next code is another one
    return assertions.verify(
        good, keys=keys, issuer=world.settings.issuer, audience="https://api.example", now=world.clock.now()
    )
