"""Rotations as a preview sees them, without any store: what is due by the clock, and which generation may follow."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pulumi.provider.experimental.provider import DiffRequest, DiffResponse
from support.provider_inputs import OUTPUTS, given, urn, values

from keyrung_infra.provider.key_line import rotation_advice
from keyrung_infra.provider.provider import KeyrungProvider
from keyrung_provisioners.errors import KeyRefusedError


@dataclass(frozen=True, kw_only=True)
class _Generation:
    """A generation by how long ago and how soon: a moment made when tests are collected is over when they run."""

    number: int
    state: str
    since_seconds: float
    used_in_seconds: float

    def output(self) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "generation": self.number,
            "state": self.state,
            "stateSince": (now - timedelta(seconds=self.since_seconds)).isoformat(),
            "useNotBefore": (now + timedelta(seconds=self.used_in_seconds)).isoformat(),
        }


def _generation(number: int, state: str, *, since_seconds: float = 0, used_in_seconds: float = 0) -> _Generation:
    return _Generation(number=number, state=state, since_seconds=since_seconds, used_in_seconds=used_in_seconds)


_OLD = _generation(1, "active", since_seconds=10_000, used_in_seconds=-10_000)
_WAITING = _generation(2, "active", used_in_seconds=600)
_TAKEN_OVER = _generation(2, "active", since_seconds=700, used_in_seconds=-100)
_ENDED = _generation(1, "deactivated", since_seconds=90_000)


def _diff(
    provider: KeyrungProvider, generations: list[_Generation], *, wanted: int, algorithm: str = "P-256"
) -> DiffResponse:
    signing = {"algorithm": algorithm, "purpose": "credential-seed" if algorithm == "AES-256" else "audit-signing"}
    newest = generations[-1].number
    old = given("Key", generation=newest, deletionProtection=True, **signing)
    state = {**old, **OUTPUTS["Key"], "generations": [each.output() for each in generations]}
    new = given("Key", generation=wanted, deletionProtection=True, **signing)
    return asyncio.run(provider.diff(DiffRequest(urn("Key"), "id", values(state), values(new), [])))


def test_a_raised_generation_is_an_update_in_place_of_a_protected_key_too(provider: KeyrungProvider) -> None:
    answer = _diff(provider, [_OLD], wanted=2)
    assert (answer.diffs, answer.replaces) == (["generation"], [])


@pytest.mark.parametrize(
    ("generations", "due"),
    [
        ([_OLD, _WAITING], False),
        ([_OLD, _TAKEN_OVER], True),
        ([_generation(1, "deactivated", since_seconds=100), _TAKEN_OVER], False),
        ([_ENDED, _TAKEN_OVER], True),
        ([_generation(1, "destroyed"), _TAKEN_OVER], False),
        ([_generation(1, "compromised", since_seconds=90_000), _TAKEN_OVER], True),
    ],
)
def test_the_clock_alone_makes_the_next_step_due(
    provider: KeyrungProvider, generations: list[_Generation], due: bool
) -> None:
    answer = _diff(provider, generations, wanted=2)
    assert answer.diffs == (["generations"] if due else [])


def test_a_sealing_generation_is_never_due_for_destruction(provider: KeyrungProvider) -> None:
    assert _diff(provider, [_OLD, _TAKEN_OVER], wanted=2, algorithm="AES-256").diffs == ["generations"]
    assert _diff(provider, [_ENDED, _TAKEN_OVER], wanted=2, algorithm="AES-256").diffs == []


@pytest.mark.parametrize(
    ("generations", "wanted", "sentence"),
    [
        ([_OLD], 3, "would skip one: set `generation` to 2"),
        ([_ENDED, _TAKEN_OVER], 1, "is over: the newest is 2"),
        ([_OLD, _WAITING], 3, "generation 2 is still taking over from generation 1: repeat this after "),
    ],
)
def test_a_generation_that_cannot_follow_is_refused_in_the_preview(
    provider: KeyrungProvider, generations: list[_Generation], wanted: int, sentence: str
) -> None:
    with pytest.raises(KeyRefusedError, match=sentence):
        _diff(provider, generations, wanted=wanted)


def test_the_next_rotation_may_begin_as_soon_as_the_last_one_is_over(provider: KeyrungProvider) -> None:
    answer = _diff(provider, [_OLD, _TAKEN_OVER], wanted=3)
    assert set(answer.diffs or []) == {"generation", "generations"}


def test_a_rotation_says_when_the_next_key_is_used_and_from_when_on_an_up_ends_the_old_one() -> None:
    known = given("Key", purpose="audit-signing", generation=1)
    wanted = {**known, "generation": 2, "publishSeconds": 600}
    (told,) = rotation_advice({**known, "generations": []}, wanted, datetime(2030, 1, 1, 12, tzinfo=UTC))
    assert "used from about 2030-01-01T12:10:00+00:00" in told
    assert told.endswith("a `pulumi up` after 12:11:00 ends generation 1")


def test_a_compromised_newest_generation_is_followed_at_once(provider: KeyrungProvider) -> None:
    assert _diff(provider, [_OLD, _generation(2, "compromised")], wanted=3).diffs == ["generation"]
