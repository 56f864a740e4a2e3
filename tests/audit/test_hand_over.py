"""From one generation of the audit key to the next: any one of them is enough to verify the whole log."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from support.verifier import AUDIT_KEY, START, SettableClock, UnsafeTestKey, World, b64

from keyrung_audit import PublicKey, Report, public_key_from_jwk, read_checkpoints, read_log, verify
from keyrung_policies.canonical import canonical_bytes
from keyrung_verifier.generations import Generation, SigningLine
from keyrung_verifier.protocols import Signer

_NEXT = UnsafeTestKey("audit-2", generation=2)
_THIRD = UnsafeTestKey("audit-3", generation=3)
_STRANGER = UnsafeTestKey("stranger")


def _line(clock: SettableClock, *keys: tuple[UnsafeTestKey, str, int]) -> SigningLine:
    generations: list[Generation[Signer]] = []
    for key, state, wait_seconds in keys:
        signer = UnsafeTestKey(key.key_uri.removeprefix("software:name="), generation=key.generation)
        signer.state = state
        generations.append(Generation(key=signer, use_not_before=START + timedelta(seconds=wait_seconds)))
    return SigningLine(generations, clock=clock)


def _public(*keys: UnsafeTestKey) -> list[PublicKey]:
    return [public_key_from_jwk(key.public_jwk) for key in keys]


def _check(world: World, *keys: UnsafeTestKey, changed: Sequence[bytes] | None = None) -> Report:
    checkpoints = read_checkpoints(world.checkpoint_path)
    lines = read_log(world.folder / "store.db") if changed is None else changed
    return verify(lines, checkpoints, _public(*keys))


def _codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.fixture
def rotated(tmp_path: Path) -> World:
    """A log that went from one generation to the next while its verifier was at work."""
    clock = SettableClock()
    line = _line(clock, (AUDIT_KEY, "active", 0), (_NEXT, "active", 600))
    world = World(tmp_path, clock=clock, audit_signers=line)
    for _ in range(3):
        world.evaluate("payments.transfer")
        clock.advance(400)
        world.audit.checkpoint()
    return world


def test_each_generation_alone_vouches_for_the_whole_log(rotated: World) -> None:
    assert len(rotated.records("audit-key.handed-over")) == 1
    for keys in ([AUDIT_KEY], [_NEXT], [AUDIT_KEY, _NEXT]):
        report = _check(rotated, *keys)
        assert (report.findings, report.unsigned_count) == ((), 0), keys
    assert "wrong-genesis-key" in _codes(_check(rotated, _STRANGER))


def test_the_hand_over_is_signed_by_the_old_generation_and_then_by_the_new_one(rotated: World) -> None:
    (record,) = rotated.records("audit-key.handed-over")
    assert json.loads(record["detail"]["from"]) == AUDIT_KEY.public_jwk
    assert json.loads(record["detail"]["to"]) == _NEXT.public_jwk
    signed = [_parts(line) for line in rotated.checkpoint_path.read_text().splitlines()]
    at = [kid for kid, seq in signed if seq == record["seq"]]
    assert at == [AUDIT_KEY.key_id, _NEXT.key_id]
    assert {kid for kid, seq in signed if seq > record["seq"]} == {_NEXT.key_id}


def test_a_log_whose_old_key_was_destroyed_meanwhile_needs_no_old_key_by_hand(tmp_path: Path) -> None:
    clock = SettableClock()
    world = World(tmp_path, clock=clock)
    world.evaluate("payments.transfer")
    world.verifier.stop()
    world.close()
    line = _line(clock, (AUDIT_KEY, "destroyed", 0), (_THIRD, "active", 0))
    world = World(tmp_path, clock=clock, audit_signers=line)
    world.verifier.stop()

    assert _check(world, _THIRD).findings == ()
    assert _check(world, AUDIT_KEY, _THIRD).findings == ()
    # The old key could vouch for nothing any more, so it does not lead to the new one.
    assert "unknown-signer" in _codes(_check(world, AUDIT_KEY))


def test_a_hand_over_that_no_trusted_key_covers_counts_for_nothing(rotated: World) -> None:
    """A thief of the log's place, who has no audit key, hands over to a key of their own."""
    lines = rotated.lines()
    last = json.loads(lines[-1])
    detail = {"from": canonical_bytes(_NEXT.public_jwk).decode(), "to": canonical_bytes(_STRANGER.public_jwk).decode()}
    forged = last | {"event": "audit-key.handed-over", "outcome": "success", "seq": last["seq"], "detail": detail}
    changed = [*lines[:-1], canonical_bytes(forged | {"key": None})]
    rotated.checkpoint_path.write_bytes(
        b"".join(line for line in rotated.checkpoint_path.read_bytes().splitlines(keepends=True)[:-1])
        + _signed(_STRANGER, last["seq"], changed[-1])
    )
    for keys in ([AUDIT_KEY], [_NEXT]):
        assert "unknown-signer" in _codes(_check(rotated, *keys, changed=changed))


@pytest.mark.parametrize("detail", [{}, {"to": "{"}, {"to": 1}, {"from": "{}"}, {"to": "{}", "more": "x"}])
def test_a_hand_over_of_another_form_is_found(rotated: World, detail: dict[str, object]) -> None:
    changed = []
    for line in rotated.lines():
        record = json.loads(line)
        handed = record["event"] == "audit-key.handed-over"
        changed.append(canonical_bytes(record | {"detail": detail}) if handed else line)
    assert "bad-hand-over" in _codes(_check(rotated, AUDIT_KEY, changed=changed))


def _parts(line: str) -> tuple[str, int]:
    header, payload = (
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in line.split(".")[:2]
    )
    return header["kid"], payload["seq"]


def _signed(key: UnsafeTestKey, seq: int, line: bytes) -> bytes:
    header = canonical_bytes({"alg": key.algorithm, "kid": key.key_id, "typ": "audit-checkpoint+jws"})
    payload = canonical_bytes(
        {
            "v": 1,
            "shard": "main",
            "seq": seq,
            "head": hashlib.sha256(line).hexdigest(),
            "time": "2026-11-25T13:00:00.000000Z",
        }
    )
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(key.sign(text.encode()))}\n".encode()
