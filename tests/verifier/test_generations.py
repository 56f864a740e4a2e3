"""Several generations of a key at run time: the clock chooses, every one that counts verifies, none comes back."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from support.guarded import Guarded, stepped_up
from support.verifier import START, SettableClock, UnsafeTestKey, UnsafeTestSealer, World, key_events

from keyrung_verifier.errors import SigningFailedError, StrictFormError
from keyrung_verifier.generations import Generation, SealingLine, SigningLine
from keyrung_verifier.protocols import Sealer, Signer

_WAIT_SECONDS = 600


def _key(generation: int, state: str = "active") -> UnsafeTestKey:
    key = UnsafeTestKey(f"assertion-{generation}", generation=generation)
    key.state = state
    return key


def _line(clock: SettableClock, *keys: UnsafeTestKey) -> SigningLine:
    """Return a line whose first generation is in use and whose second is so after the wait."""
    waits = [timedelta(days=-1), *[timedelta(seconds=_WAIT_SECONDS)] * (len(keys) - 1)]
    generations: list[Generation[Signer]] = [
        Generation(key=key, use_not_before=START + wait) for key, wait in zip(keys, waits, strict=True)
    ]
    return SigningLine(generations, clock=clock)


def test_the_clock_alone_switches_to_the_next_generation() -> None:
    clock = SettableClock()
    line = _line(clock, _key(1), _key(2))
    clock.advance(_WAIT_SECONDS - 1)
    assert line.current().generation == 1
    clock.advance(1)
    assert line.current().generation == 2


@pytest.mark.parametrize("back_seconds", [3600, 86_400, 10 * 365 * 86_400])
def test_a_clock_that_is_set_back_brings_no_earlier_generation_back(back_seconds: int) -> None:
    clock = SettableClock()
    old, new = _key(1), _key(2)
    line = _line(clock, old, new)
    clock.advance(_WAIT_SECONDS)
    assert line.current() is new
    clock.advance(-back_seconds)
    assert line.current() is new

    old.state = "deactivated"  # as a deployment finds it later; a process that starts with the wrong clock sees this
    assert _line(clock, old, new).current() is new


@pytest.mark.parametrize("state", ["pre-activation", "suspended", "deactivated", "compromised", "destroyed"])
def test_only_an_active_generation_signs_and_a_compromised_one_is_followed_at_once(state: str) -> None:
    clock = SettableClock()
    assert _line(clock, _key(1, state), _key(2)).current().generation == 2
    with pytest.raises(SigningFailedError, match="no generation of the key is active"):
        _line(clock, _key(1, state)).current()


def test_a_compromised_newest_generation_gives_way_to_one_that_is_still_active() -> None:
    clock = SettableClock()
    line = _line(clock, _key(1), newest := _key(2))
    clock.advance(_WAIT_SECONDS)
    assert line.current() is newest
    newest.state = "compromised"
    assert line.current().generation == 1


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("active", True),
        ("deactivated", True),
        ("suspended", False),
        ("compromised", False),
        ("destroyed", False),
        ("pre-activation", False),
    ],
)
def test_the_key_set_has_each_generation_that_verifies_and_no_other(state: str, counts: bool) -> None:
    other = _key(1, state)
    line = _line(SettableClock(), other, _key(2))
    assert (other.key_id in line.verifying()) is counts


def test_requests_pass_through_a_whole_rotation_without_one_failure(tmp_path: Path) -> None:
    clock = SettableClock()
    old, new = UnsafeTestKey("assertion"), _key(2)
    line = _line(clock, old)
    world = World(tmp_path, clock=clock, signers=line)
    totp, guarded = world.enrol_totp(), Guarded(world)
    generations = []

    def step(*more: Callable[[], object]) -> None:
        held = stepped_up(guarded, totp)  # earned before what happens now, used after it
        for happens in more:
            happens()
        assert guarded.request("POST", "/profile", assertion=held).status_code == 200
        keys = {key["kid"] for key in world.verifier.jwks()["keys"]}
        assert jwt.get_unverified_header(held)["kid"] in keys
        generations.append(world.records("assertion.issued")[-1]["key"]["generation"])
        clock.advance(31)

    step()
    step(
        lambda: [world.audit.append_key_event(event) for event in key_events(new)],
        lambda: line.renew(_line(clock, old, new)._generations),
    )
    for _ in range(_WAIT_SECONDS // 31 + 2):
        step()
    old.state = "deactivated"
    step()
    step(lambda: line.renew(_line(clock, new)._generations))
    assert generations == sorted(generations)
    assert set(generations) == {1, 2}


def test_what_was_sealed_opens_after_the_rotation_and_not_after_a_compromise() -> None:
    clock = SettableClock()
    first, second = UnsafeTestSealer(), UnsafeTestSealer()
    second.generation = 2
    old: Generation[Sealer] = Generation(key=first, use_not_before=START)
    new: Generation[Sealer] = Generation(key=second, use_not_before=START + timedelta(seconds=_WAIT_SECONDS))
    line = SealingLine([old], clock=clock)
    (before,), (bare,) = line.seal_many([(b"seed", b"c")]), first.seal_many([(b"seed", b"c")])
    line.renew([old, new])
    clock.advance(_WAIT_SECONDS)
    (after,) = line.seal_many([(b"seed", b"c")])
    assert (before[:3], after[:3]) == ("g1:", "g2:")
    first.state = "deactivated"
    assert [line.open(sealed, context=b"c") for sealed in (before, bare, after)] == [b"seed"] * 3
    assert (first.opened, second.opened) == (2, 1)
    first.state = "compromised"
    with pytest.raises(StrictFormError):
        line.open(before, context=b"c")
    with pytest.raises(StrictFormError):
        line.open("g3:x", context=b"c")
