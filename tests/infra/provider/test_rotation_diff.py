"""Rotations as a preview sees them, without any store: what is due by the clock, and which generation may follow."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental.provider import DiffRequest, DiffResponse
from support.provider_inputs import OUTPUTS, given, urn, values

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.key import Key
from keyrung_infra.provider.key_line import rotation_advice
from keyrung_infra.provider.provider import KeyrungProvider
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


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


def _told(*generations: _Generation) -> str:
    """Return what a preview says of the rotation that follows these generations."""
    newest = generations[-1]
    known = given("Key", purpose="audit-signing", generation=newest.number)
    state = {**known, "state": newest.state, "generations": [each.output() for each in generations]}
    wanted = {**known, "generation": newest.number + 1, "publishSeconds": 600}
    (told,) = rotation_advice(state, wanted, datetime(2026, 1, 1, 12, tzinfo=UTC))  # nothing else is due so early
    return told


def test_a_rotation_says_when_the_next_key_is_used_and_from_when_on_an_up_ends_the_old_one() -> None:
    told = _told(_OLD)
    assert "generation 2 of seed is published now and used from about 2026-01-01T12:10:00+00:00" in told
    assert told.endswith("a `pulumi up` after 12:11:00 ends generation 1")


@pytest.mark.parametrize("state", ["compromised", "deactivated", "suspended"])
def test_a_rotation_after_a_key_that_nothing_uses_says_that_its_successor_is_used_at_once(state: str) -> None:
    assert _told(_generation(1, "deactivated"), _generation(2, state)) == (
        f"generation 3 of seed is published now and used at once: generation 2 is {state}, and nothing uses it"
    )


def test_a_rotation_ends_the_generation_that_is_in_use_and_not_the_one_that_was_compromised_before_its_use() -> None:
    assert _told(_OLD, _generation(2, "compromised")).endswith("ends generation 1")


def test_a_rotation_goes_by_the_inventory_where_a_key_was_compromised_since_the_last_refresh(tmp_path: Path) -> None:
    inventory, now = SqliteInventory(tmp_path / "inventory.db"), datetime.now(UTC)
    uri = KeyUri.parse(OUTPUTS["Key"]["uri"])
    claim = Claim(owner=urn("Key"), generation=1, uri=uri, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED)
    row, _ = inventory.claim(claim, claim_id=b"claim", now=now)
    inventory.transition(row, KeyState.COMPROMISED, now=now)
    backends = Backends(tmp_path, reached=lambda _point: None)
    state, wanted = {**given("Key"), **OUTPUTS["Key"]}, given("Key", generation=2)
    at_once = "generation 2 of seed is published now and used at once: generation 1 is compromised, and nothing uses it"

    backends.configure({"inventory": "inventory.db"})
    assert Key(backends).advice(wanted, state) == [at_once]

    backends.configure({"inventory": "elsewhere.db"})  # a preview makes nothing, and tells what the state has
    (told,) = Key(backends).advice(wanted, state)
    assert told.endswith("ends generation 1")
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_compromised_newest_generation_is_followed_at_once(provider: KeyrungProvider) -> None:
    assert _diff(provider, [_OLD, _generation(2, "compromised")], wanted=3).diffs == ["generation"]
