"""A step-up that was made before: it decays, it is for one request, and nothing makes it stronger."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrung_policies.errors import EvaluationError
from keyrung_policies.model import BINDINGS, Batch, Requirement
from keyrung_policies.satisfaction import Held, satisfaction

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SKEW = 60
NEEDED = Requirement(
    level="phr",
    acr="phr",
    acr_values=("phr", "phrh"),
    any_of=(("token-signature-origin-bound",),),
    max_age_seconds=300,
    bind=("uri", "body"),
    display=None,
)
REUSABLE = msgspec.structs.replace(NEEDED, single_use=False)
BATCH = msgspec.structs.replace(REUSABLE, batch=Batch(count=3, within_seconds=120))


def held(acr: str = "phr", *, age: float = 10, same: tuple[str, ...] = BINDINGS, used: int = 0) -> Held:
    parts = tuple(part for part in BINDINGS if part in same)
    return Held(acr=acr, auth_time=NOW - timedelta(seconds=age), same=parts, used_count=used)


def missing(requirement: Requirement, made: Held, *, skew: int = SKEW) -> list[str]:
    return [text.partition(":")[0] for text in satisfaction(requirement, made, NOW, skew_seconds=skew).missing]


def test_fresh_unused_step_up_for_this_request_is_enough_at_the_level_and_above() -> None:
    assert satisfaction(NEEDED, held(), NOW, skew_seconds=SKEW).satisfied
    assert satisfaction(NEEDED, held("phrh"), NOW, skew_seconds=SKEW).satisfied


@pytest.mark.parametrize("acr", ["", "otp", "PHR", "phr ", "phr phrh", "urn:unknown"])
def test_unknown_or_lower_acr_is_never_enough(acr: str) -> None:
    assert missing(NEEDED, held(acr)) == ["level"]


def test_requirement_that_accepts_no_acr_is_never_met() -> None:
    with_none = msgspec.structs.replace(NEEDED, acr_values=("none-of-ours",))
    assert missing(with_none, held()) == ["level"]


@pytest.mark.parametrize(("age", "codes"), [(300, []), (360, []), (360.5, ["age"]), (-60, []), (-61, ["age"])])
def test_age_counts_up_to_the_limit_and_the_skew_of_clocks(age: float, codes: list[str]) -> None:
    assert missing(NEEDED, held(age=age)) == codes


def test_zero_age_leaves_the_skew_of_clocks_and_this_request_only() -> None:
    now_only = msgspec.structs.replace(NEEDED, max_age_seconds=0, bind=BINDINGS)
    assert missing(now_only, held(age=30)) == []
    assert missing(now_only, held(age=61)) == ["age"]
    assert missing(now_only, held(age=1), skew=0) == ["age"]
    assert missing(now_only, held(age=30, same=("uri", "body"))) == ["binding"]
    assert missing(now_only, held(age=30, used=1)) == ["use"]


def test_step_up_for_another_request_is_told_by_part() -> None:
    verdict = satisfaction(NEEDED, held(same=("method", "uri")), NOW, skew_seconds=SKEW)
    assert verdict.missing == ("binding: it was made for another body",)


def test_step_up_pays_once_or_for_its_batch_or_for_any_number() -> None:
    assert missing(NEEDED, held(used=1)) == ["use"]
    assert missing(BATCH, held(used=2)) == []
    assert missing(BATCH, held(used=3)) == ["use"]
    assert missing(REUSABLE, held(used=1000)) == []


def test_batch_ends_before_the_step_up_is_too_old() -> None:
    assert missing(BATCH, held(age=181)) == ["age"]
    assert satisfaction(BATCH, held(age=20), NOW, skew_seconds=0).good_until == NOW + timedelta(seconds=100)


def test_everything_that_is_missing_is_told_at_once() -> None:
    verdict = satisfaction(NEEDED, held("otp", age=1000, same=(), used=1), NOW, skew_seconds=0)
    assert verdict.missing == (
        "level: otp is not phr or phrh",
        "age: it is 1000s old, and at most 5m is accepted",
        "binding: it was made for another uri and body",
        "use: it has paid for a request already",
    )


def test_time_without_a_zone_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        satisfaction(NEEDED, held(), NOW.replace(tzinfo=None), skew_seconds=0)


@given(st.floats(0, 10_000), st.floats(0, 10_000))
def test_freshness_only_decays(age: float, later: float) -> None:
    made = held(age=age)
    after = satisfaction(NEEDED, made, NOW + timedelta(seconds=later), skew_seconds=0)
    if after.satisfied:
        assert satisfaction(NEEDED, made, NOW, skew_seconds=0).satisfied
