"""What an import does about what people hold already."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from support.verifier import UnsafeTestKey, World

from keyrung_infra.credentials.csv_file import Problem, Row
from keyrung_infra.credentials.plan import IMPORTED, make_plan
from keyrung_verifier.credentials import PublicKey, Seed

SEED = bytes(range(20))
KEY = UnsafeTestKey("token")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _plan(world: World, *rows: Row) -> tuple[list[int], list[tuple[int, str | None]]]:
    """Return the lines to be done, and where the problems are."""
    now_seconds = int(world.clock.now().timestamp())
    plan, problems = make_plan(rows, world.credentials.list(), world.tickets.list(), now_seconds=now_seconds)
    return [row.line for row in plan.rows], [_place(problem) for problem in problems]


def _place(problem: Problem) -> tuple[int, str | None]:
    return problem.line, problem.column


def _totp(line: int, subject: str, serial: str | None = None, *, seed: bytes | None = None) -> Row:
    return Row(line=line, subject=subject, kind="totp", serial=serial, seed=seed)


def _token(line: int, subject: str, key: Mapping[str, str]) -> Row:
    return Row(line=line, subject=subject, kind="token", public_jwk=key)


def _hold(world: World, subject: str, serial: str | None = None) -> str:
    """Have the subject hold an imported authenticator; return its id."""
    evidence: dict[str, str | int | bool] = {IMPORTED: True}
    if serial is not None:
        evidence["serial"] = serial
    (added,) = world.credentials.add_seeds(
        [Seed(subject_id=subject, seed=SEED, evidence=evidence)], sealer=world.sealer
    )
    return added.credential_id


def test_a_row_that_is_fulfilled_is_left_alone(world: World) -> None:
    _hold(world, "alice")
    _hold(world, "bob", "HW-1")
    world.credentials.add_keys([PublicKey(subject_id="carol", public_jwk=KEY.public_jwk)])
    world.tickets.issue([world.tickets.order("dave")])
    rows = [
        _totp(2, "alice"),
        _totp(3, "bob", "HW-1", seed=SEED),
        _token(4, "carol", KEY.public_jwk),
        Row(line=5, subject="dave", kind="webauthn"),
    ]
    assert _plan(world, *rows) == ([], [])
    assert _plan(world, _totp(2, "bob"), _totp(3, "bob", "HW-2", seed=SEED)) == ([2, 3], [])


def test_what_was_added_singly_fulfils_no_row(world: World) -> None:
    world.enrol_totp("alice")
    assert _plan(world, _totp(2, "alice")) == ([2], [])


def test_a_device_that_was_revoked_stays_revoked_for_its_subject_and_may_go_to_another(world: World) -> None:
    world.credentials.revoke(_hold(world, "alice", "HW-1"))
    assert _plan(world, _totp(2, "alice", "HW-1", seed=SEED))[1] == [(2, "serial")]
    assert _plan(world, _totp(2, "bob", "HW-1", seed=SEED)) == ([2], [])
    # A seed made here is a new one, whatever was revoked.
    assert _plan(world, _totp(2, "alice", "HW-1")) == ([2], [])


def test_a_serial_number_of_somebody_else_is_refused(world: World) -> None:
    _hold(world, "alice", "HW-1")
    assert _plan(world, _totp(2, "bob", "HW-1", seed=SEED))[1] == [(2, "serial")]


def test_a_key_of_somebody_else_or_a_revoked_one_is_refused(world: World) -> None:
    (added,) = world.credentials.add_keys([PublicKey(subject_id="alice", public_jwk=KEY.public_jwk)])
    assert _plan(world, _token(2, "bob", KEY.public_jwk))[1] == [(2, "public_key")]
    world.credentials.revoke(added.credential_id)
    assert _plan(world, _token(2, "alice", KEY.public_jwk))[1] == [(2, "public_key")]


def test_a_subject_is_not_given_more_than_it_may_hold(world: World) -> None:
    for _ in range(3):
        world.enrol_totp("alice")
    rows = [_totp(line, "alice", f"HW-{line}", seed=bytes([line]) * 20) for line in range(2, 6)]
    assert _plan(world, *rows)[1] == [(4, "subject"), (5, "subject")]


def test_a_ticket_past_its_time_or_revoked_fulfils_nothing(world: World) -> None:
    row = Row(line=2, subject="dave", kind="webauthn")
    (ticket,) = world.tickets.issue([world.tickets.order("dave")])
    world.tickets.revoke(ticket.ticket_id)
    assert _plan(world, row) == ([2], [])
    world.tickets.issue([world.tickets.order("dave")])
    assert _plan(world, row) == ([], [])
    world.clock.advance(seconds=24 * 3600)
    assert _plan(world, row) == ([2], [])


def test_rows_that_say_the_same_or_share_a_device_are_told_with_the_first_of_them(world: World) -> None:
    rows = [
        _totp(2, "alice"),
        _totp(3, "alice"),
        _totp(4, "bob", "HW-1", seed=SEED),
        _totp(5, "carol", "HW-1", seed=bytes(20)),
        _totp(6, "dave", "HW-2", seed=SEED),
        _token(7, "erin", KEY.public_jwk),
        _token(8, "frank", KEY.public_jwk),
    ]
    assert _plan(world, *rows)[1] == [(3, "subject"), (5, "serial"), (6, "seed"), (8, "public_key")]
