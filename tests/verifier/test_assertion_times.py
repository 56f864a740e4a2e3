"""The life of an assertion, at its edges: to the second, and with exactly the skew that the reader allows."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from support.verifier import ASSERTION_KEY, CLIENT, ORIGIN, b64

from keyrung_verifier import assertion
from keyrung_verifier.errors import AssertionInvalidError, SigningFailedError
from keyrung_verifier.limits import CLOCK_SKEW_SECONDS, MAX_ASSERTION_TTL_SECONDS

NOW = 1_800_000_000


@dataclass(frozen=True, kw_only=True)
class Times:
    iat: int = NOW
    nbf: int = NOW
    auth_time: int = NOW
    exp: int = NOW + 120


def claims_at(times: Times) -> assertion.Claims:
    return assertion.Claims(
        iss=ORIGIN,
        aud=CLIENT.audience,
        sub="alice",
        sid="sid-1",
        jti="j",
        acr="phr",
        amr=("swk", "pop"),
        request_digest="r",
        bind=("method", "uri", "body"),
        single_use=True,
        policy_digest="p",
        action="profile.update",
        iat=times.iat,
        nbf=times.nbf,
        exp=times.exp,
        auth_time=times.auth_time,
    )


def read(text: str, *, now: float = NOW, skew_seconds: int = CLOCK_SKEW_SECONDS) -> str | None:
    """Return why an assertion is refused, or None."""
    try:
        assertion.verify(
            text,
            keys={ASSERTION_KEY.key_id: ASSERTION_KEY.public_jwk},
            issuer=ORIGIN,
            audience=CLIENT.audience,
            now=datetime.fromtimestamp(now, UTC),
            skew_seconds=skew_seconds,
        )
    except AssertionInvalidError as error:
        return error.reason
    return None


def signed(times: Times) -> str:
    return assertion.sign(claims_at(times), ASSERTION_KEY)


@pytest.mark.parametrize("seconds", [1, 120, MAX_ASSERTION_TTL_SECONDS])
def test_a_life_within_the_bounds_is_signed_and_read(seconds: int) -> None:
    assert read(signed(Times(exp=NOW + seconds))) is None


@pytest.mark.parametrize("seconds", [0, -1, MAX_ASSERTION_TTL_SECONDS + 1])
def test_a_life_out_of_bounds_is_neither_signed_nor_read(seconds: int) -> None:
    times = Times(exp=NOW + seconds)
    header = {"alg": "ES256", "kid": ASSERTION_KEY.key_id, "typ": assertion.TYPE}
    by_somebody_else = ".".join(b64(msgspec.json.encode(part)) for part in (header, claims_at(times)))
    text = f"{by_somebody_else}.{b64(ASSERTION_KEY.sign(by_somebody_else.encode()))}"

    with pytest.raises(SigningFailedError, match=r"^the assertion's life is out of bounds"):
        signed(times)
    assert read(text) == "life"


@pytest.mark.parametrize(("now", "reason"), [(NOW + 119.999, None), (NOW + 120, "expired"), (NOW + 121, "expired")])
def test_the_last_second_does_not_count(now: float, reason: str | None) -> None:
    assert read(signed(Times()), now=now) == reason


@pytest.mark.parametrize("name", ["iat", "nbf", "auth_time"])
@pytest.mark.parametrize(
    ("skew_seconds", "ahead_seconds", "reason"),
    [
        (CLOCK_SKEW_SECONDS, CLOCK_SKEW_SECONDS, None),
        (CLOCK_SKEW_SECONDS, CLOCK_SKEW_SECONDS + 1, "not_yet_valid"),
        (1, 1, None),
        (1, 2, "not_yet_valid"),
        (0, 0, None),
        (0, 1, "not_yet_valid"),
    ],
)
def test_a_time_ahead_of_the_readers_clock_is_borne_up_to_the_skew(
    name: str, skew_seconds: int, ahead_seconds: int, reason: str | None
) -> None:
    times = Times(**{name: NOW + ahead_seconds})

    assert read(signed(times), skew_seconds=skew_seconds) == reason


def test_the_skew_is_the_one_of_the_project_unless_it_is_smaller() -> None:
    ahead = signed(Times(iat=NOW + CLOCK_SKEW_SECONDS, exp=NOW + 120))

    assert read(ahead) is None
    for skew_seconds in (CLOCK_SKEW_SECONDS + 1, -1):
        assert read(signed(Times()), skew_seconds=skew_seconds) == "skew_setting"


def test_an_assertion_that_pays_once_says_so() -> None:
    claims = claims_at(Times())

    assert claims.uses() == 1
    assert msgspec.structs.replace(claims, single_use=False).uses() is None


@pytest.mark.parametrize(("length", "reason"), [(8 * 1024, "not_compact"), (8 * 1024 + 1, "too_long")])
def test_length_ends_at_8_kib(length: int, reason: str) -> None:
    assert read("x" * length) == reason
