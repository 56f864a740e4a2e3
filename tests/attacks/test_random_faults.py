"""A random source that fails, is stuck or repeats: nothing starts on it, and nothing is granted by it."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from support.faulty_random import FaultyRandom
from support.verifier import World

from keyrung_verifier.errors import ConfigurationError


def fail(_size_bytes: int) -> bytes:
    raise OSError("no entropy")


def of_period(length: int) -> Callable[[int], bytes]:
    numbers = cycle(range(length))
    return lambda size_bytes: bytes([next(numbers)]) * size_bytes


@pytest.mark.parametrize(
    "draw",
    [fail, bytes, of_period(8), lambda _size_bytes: b"short"],
    ids=["fails", "stuck", "of a short period", "short"],
)
def test_a_verifier_does_not_start_on_a_bad_random_source(tmp_path: Path, draw: Callable[[int], bytes]) -> None:
    random = FaultyRandom()
    random.draw = draw

    with pytest.raises(ConfigurationError, match="random source"):
        World(tmp_path, random=random)


def test_a_random_source_that_fails_later_grants_nothing_and_works_again(tmp_path: Path) -> None:
    random = FaultyRandom()
    world = World(tmp_path, random=random)
    totp = world.enrol_totp()
    challenge_id, assertion = world.challenge_id(), world.step_up(totp)
    world.clock.advance(30)
    code = totp.code(world.clock.now())
    written = len(world.records())
    random.draw = fail

    answers = [
        world.evaluate("accounts.read"),
        world.challenge(),
        world.respond_code(challenge_id, code),
        world.spend(assertion),
        world.http("GET", "/nowhere"),
    ]

    assert [answer.status for answer in answers] == [500, 500, 500, 500, 404]
    assert {answer.body.get("decision") for answer in answers} == {None}
    assert len(world.records()) == written
    random.draw = FaultyRandom().draw
    assert world.respond_code(challenge_id, code).status == 200
    assert world.spend(assertion).status == 200
    world.close()


def test_an_assertion_id_that_repeats_is_not_handed_out_twice(tmp_path: Path) -> None:
    random = FaultyRandom()
    world = World(tmp_path, random=random)
    totp = world.enrol_totp()
    first, second = world.challenge_id(), world.challenge_id()
    random.draw = lambda size_bytes: b"\7" * size_bytes
    assert world.respond_code(first, totp.code(world.clock.now())).status == 200
    world.clock.advance(30)

    again = world.respond_code(second, totp.code(world.clock.now()))

    assert again.status == 403
    assert "assertion" not in again.body
    world.close()
