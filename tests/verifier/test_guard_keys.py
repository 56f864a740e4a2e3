"""The guard's copy of the verifier's keys: renewed in time, never guessed, never used too long."""

from collections.abc import Callable

import httpx
import pytest
from support.guarded import Guarded, fails, replacing, says, shell, stepped_up
from support.verifier import Totp, UnsafeTestKey, World

from keyrung_verifier import assertion as assertions
from keyrung_verifier.guard import keys as guard_keys

JWKS = "/.well-known/jwks.json"


@pytest.fixture
def guarded(world: World) -> Guarded:
    return Guarded(world)


@pytest.fixture
def totp(world: World) -> Totp:
    return world.enrol_totp()


def test_the_key_set_is_fetched_once_for_many_assertions(guarded: Guarded, totp: Totp) -> None:
    for _ in range(3):
        assertion = stepped_up(guarded, totp)
        assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200
        guarded.world.clock.advance(31)

    assert guarded.called.count(JWKS) == 2  # 62 seconds: once at first, once when it was a minute old


def test_unknown_key_ids_cause_one_fetch_and_not_one_each(guarded: Guarded, totp: Totp) -> None:
    claims = assertions_claims(guarded, totp)
    strangers = [assertions.sign(claims, UnsafeTestKey(f"stranger-{number}")) for number in range(5)]
    guarded.world.clock.advance(guard_keys.JWKS_PAUSE_SECONDS)
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
    guarded.world.clock.advance(guard_keys.JWKS_PAUSE_SECONDS)

    assert guarded.request("POST", "/profile", assertion=assertion).status_code == 200


def test_the_last_good_set_is_kept_until_it_expires_and_not_longer(guarded: Guarded, totp: Totp) -> None:
    clock = guarded.world.clock
    used = stepped_up(guarded, totp)
    assert guarded.request("POST", "/profile", assertion=used).status_code == 200
    guarded.verifier = replacing(guarded.world, JWKS, fails(httpx.ConnectError("down")))

    clock.advance(guard_keys.JWKS_EXPIRY_SECONDS - 1)
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
    guarded.world.clock.advance(guard_keys.JWKS_PAUSE_SECONDS)

    forged = assertions.sign(claims, UnsafeTestKey("forger"))

    assert guarded.request("POST", "/profile", assertion=forged).status_code == 403
    assert guarded.app.bodies == []


def assertions_claims(guarded: Guarded, totp: Totp) -> assertions.Claims:
    """Return the claims of a good assertion, for a forger to sign."""
    world = guarded.world
    keys = {key["kid"]: key for key in world.verifier.jwks()["keys"]}
    good = stepped_up(guarded, totp)
    return assertions.verify(
        good, keys=keys, issuer=world.settings.issuer, audience="https://api.example", now=world.clock.now()
    )
