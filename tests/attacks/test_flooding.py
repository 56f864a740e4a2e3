"""A flood of requests that anybody can send: refused, counted, bounded in log and memory, felt by nobody else."""

import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.verifier import (
    AUDIT_KEY,
    CLIENT,
    SettableClock,
    UnsafeTestKey,
    World,
    at_once,
    b64,
    one_generation,
    unb64,
)

from keyrung_audit import Report, public_key_from_jwk, verify
from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.limits import MAX_UNSIGNED_SECONDS, SAMPLED_WHOLE, SAMPLING_SECONDS
from keyrung_verifier.sampling import EVENT

MANY = 500
UNKNOWN = "A" * 43


def report(world: World) -> Report:
    keys = [public_key_from_jwk(AUDIT_KEY.public_jwk)]
    return verify(world.lines(), world.checkpoint_path.read_bytes().splitlines(), keys)


def counted(world: World) -> dict[str, int]:
    """Return what the log says was only counted, by event and reason."""
    found: dict[str, int] = {}
    for record in world.records(EVENT):
        for kind, count in record["detail"].items():
            if kind not in {"since", "until"}:
                found[kind] = found.get(kind, 0) + int(count)
    return found


@pytest.mark.parametrize(
    ("event", "reason", "send"),
    [
        ("caller.refused", "no_credentials", lambda world: world.http("POST", "/access/v1/evaluation", b"{}")),
        (
            "caller.refused",
            "wrong_secret",
            lambda world: world.http("POST", "/access/v1/evaluation", authorization="Basic " + _basic("sample-api:x")),
        ),
        (
            "caller.refused",
            "unknown_client",
            lambda world: world.http("POST", "/access/v1/evaluation", authorization="Basic " + _basic("nobody:x")),
        ),
        ("challenge.answered", "unknown", lambda world: world.respond_code(UNKNOWN, "000000")),
        ("challenge.answered", "unknown", lambda world: world.view(UNKNOWN)),
        ("challenge.answered", "not_json", lambda world: world.respond(UNKNOWN, b"{")),
        ("assertion.spent", "not_compact", lambda world: world.spend("made up")),
    ],
)
def test_what_anybody_can_cause_is_recorded_whole_at_first_and_counted_then(
    world: World, event: str, reason: str, send: Callable[[World], Any]
) -> None:
    statuses = {send(world).status for _ in range(MANY)}

    assert statuses <= {400, 401, 403}
    assert len([record for record in world.records(event) if record["reason"] == reason]) == SAMPLED_WHOLE
    world.clock.advance(SAMPLING_SECONDS)
    world.verifier.maintain()
    assert counted(world) == {f"{event} {reason}": MANY - SAMPLED_WHOLE}
    world.verifier.stop()
    assert report(world).counted_refusals_count == MANY - SAMPLED_WHOLE
    assert report(world).ok


def test_no_count_is_lost_when_many_are_refused_at_once_over_several_windows(world: World) -> None:
    for _ in range(3):
        at_once(8, lambda _: [world.respond_code(UNKNOWN, "000000") for _ in range(MANY // 10)])
        world.clock.advance(SAMPLING_SECONDS)
    world.verifier.stop()

    whole = [record for record in world.records("challenge.answered") if record["reason"] == "unknown"]
    assert len(whole) + counted(world)["challenge.answered unknown"] == 3 * 8 * (MANY // 10)
    assert len(whole) == 3 * SAMPLED_WHOLE
    times = [(record["detail"]["since"], record["detail"]["until"]) for record in world.records(EVENT)]
    assert all(since < until for since, until in times)


def test_counts_that_cannot_be_written_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(MANY):
        world.respond_code(UNKNOWN, "000000")
    world.clock.advance(SAMPLING_SECONDS)

    def full(*_arguments: object) -> None:
        raise StoreUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr(world.audit, "commit", full)
        assert world.respond_code(UNKNOWN, "000000").status == 503
        with pytest.raises(StoreUnavailableError):
            world.verifier.maintain()
    world.verifier.stop()

    assert counted(world) == {"challenge.answered unknown": MANY - SAMPLED_WHOLE}


def test_refusals_about_a_known_challenge_an_earned_assertion_and_by_a_known_application_are_all_recorded(
    world: World,
) -> None:
    assertion, challenge_id = world.step_up(world.enrol_totp()), world.challenge_id()
    count = 3 * SAMPLED_WHOLE
    before = len(world.records())

    for _ in range(count):
        world.respond_code(challenge_id, "000000")
        world.spend(assertion, asked={"subject": "bob"})
        world.http("POST", "/access/v1/evaluation", b"{", client=CLIENT)

    assert len(world.records()) - before == 3 * count


def _basic(text: str) -> str:
    return b64(text.encode()) + "=" * (-len(text) % 3)


def _bad_tokens(world: World, assertion: str) -> list[Callable[[], Any]]:
    """Return ways to send a bad token; the last one is one that was paid with already."""
    header, payload, signature = assertion.split(".")
    other = b64(json.dumps({**json.loads(unb64(header)), "alg": "HS256"}).encode())
    expired = b64(json.dumps({**json.loads(unb64(payload)), "exp": 1}).encode())
    forged = [
        "",
        "a.b.c",
        "x" * 10_000,
        f"{header}.{payload}.{b64(bytes(64))}",
        f"{header}.{expired}.{signature}",
        f"{other}.{payload}.{signature}",
        f"{header}.{payload}.",
    ]
    return [lambda text=text: world.spend(text) for text in forged]  # type: ignore[misc]


def test_ten_thousand_bad_tokens_are_refused_in_flat_memory_with_a_bounded_log_and_lock_nobody_out(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    totp = world.enrol_totp()
    assertion = world.step_up(totp)
    assert world.spend(assertion).status == 200
    sends = _bad_tokens(world, assertion)
    before = len(world.lines())
    tracemalloc.start()
    traced = []
    for _ in range(5):
        for number in range(2000):
            assert sends[number % len(sends)]().status in {400, 403}
        gc.collect()
        traced.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert world.spend(assertion).status == 403
    world.clock.advance(SAMPLING_SECONDS)
    world.verifier.maintain()

    kinds = counted(world)
    assert len(world.lines()) - before <= (len(kinds) + 1) * SAMPLED_WHOLE + 2
    assert sum(kinds.values()) + len(kinds) * SAMPLED_WHOLE == 10_000
    assert (traced[-1] - traced[1]) / 6000 < 1, traced  # not a byte for each request
    assert world.step_up(totp)
    world.verifier.stop()
    assert report(world).ok
    world.close()


def test_good_requests_are_as_fast_between_bad_ones_as_alone(world: World) -> None:
    sends = _bad_tokens(world, world.step_up(world.enrol_totp()))

    def good() -> float:
        began = time.perf_counter()
        assert world.evaluate("accounts.read").status == 200
        return time.perf_counter() - began

    alone, between = [], []
    for _ in range(100):
        alone.append(good())
        for send in sends:
            send()
        between.append(good())

    assert statistics.median(between) < 2 * statistics.median(alone)


class GoneKey(UnsafeTestKey):
    """An audit key that can be taken out of reach."""

    gone = False

    def sign(self, data: bytes) -> bytes:
        if self.gone:
            raise RuntimeError("the vault is sealed")
        return super().sign(data)


def test_without_the_audit_key_answers_end_before_the_unsigned_log_grows_for_ever(tmp_path: Path) -> None:
    clock, key = SettableClock(), GoneKey("audit")
    world = World(tmp_path, clock=clock, audit_signers=one_generation(key, clock))
    key.gone = True
    assert world.evaluate("accounts.read").status == 200
    clock.advance(MAX_UNSIGNED_SECONDS)
    assert world.evaluate("accounts.read").status == 200
    clock.advance(1)
    before = len(world.lines())

    refused = world.evaluate("accounts.read")

    assert refused.status == 503
    assert "decision" not in refused.body
    assert len(world.lines()) == before
    key.gone = False
    clock.advance(60)
    assert world.evaluate("accounts.read").status == 200
    assert report(world).ok
    world.close()


def test_a_log_that_was_idle_is_not_taken_for_one_that_waits(tmp_path: Path) -> None:
    clock, key = SettableClock(), GoneKey("audit")
    world = World(tmp_path, clock=clock, audit_signers=one_generation(key, clock))
    clock.advance(10 * MAX_UNSIGNED_SECONDS)
    key.gone = True

    assert [world.evaluate("accounts.read").status for _ in range(3)] == [200] * 3
    world.close()


def test_an_audit_key_that_was_replaced_ends_the_wait(tmp_path: Path) -> None:
    clock, key = SettableClock(), GoneKey("audit")
    line = one_generation(key, clock)
    world = World(tmp_path, clock=clock, audit_signers=line)
    key.gone = True
    world.evaluate("accounts.read")
    clock.advance(MAX_UNSIGNED_SECONDS + 1)
    assert world.evaluate("accounts.read").status == 503

    key.state = "deactivated"
    later = UnsafeTestKey("audit 2", generation=2)
    line.renew([*line._generations, *one_generation(later, clock)._generations])
    clock.advance(60)

    assert world.evaluate("accounts.read").status == 200
    assert len(world.records("audit-key.handed-over")) == 1
    world.close()
