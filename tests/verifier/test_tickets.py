"""Enrolment tickets: issued to one subject, redeemed once, within their time, unless revoked."""

import hashlib
import sqlite3
from pathlib import Path

import pytest
from support.verifier import OPERATOR, World, at_once

from keyrung_verifier.errors import CredentialError, TicketRefusedError, UnavailableError
from keyrung_verifier.store import sqlite_audit
from keyrung_verifier.store.protocol import Ticket
from keyrung_verifier.tickets import TicketOrder


def _issued(world: World, subject: str = "alice", *, ttl_seconds: int = 3600) -> tuple[TicketOrder, Ticket]:
    order = world.tickets.order(subject)
    (ticket,) = world.tickets.issue([order], ttl_seconds=ttl_seconds)
    return order, ticket


def _reason(world: World, secret: str) -> str | None:
    """Return why redeeming is refused, as the log has it."""
    with pytest.raises(TicketRefusedError) as caught:
        world.tickets.redeem(secret)
    assert (caught.value.status, caught.value.error) == (403, "ticket_refused")
    assert len(secret) < 2 or secret not in str(caught.value)
    return world.last_reason("ticket.redeemed")


def test_a_ticket_has_256_random_bits_and_lies_nowhere_in_the_clear(world: World) -> None:
    order, ticket = _issued(world)
    assert len(order.secret) == 43
    assert order.secret not in repr(order)
    assert ticket.ticket_hash == hashlib.sha256(order.secret.encode()).hexdigest()
    world.store.close()
    assert order.secret.encode() not in b"".join(path.read_bytes() for path in world.folder.iterdir())


def test_a_ticket_is_redeemed_once_for_the_subject_it_was_issued_to(world: World) -> None:
    order, ticket = _issued(world)
    assert world.tickets.redeem(order.secret).subject_id == "alice"
    assert _reason(world, order.secret) == "used"
    assert [record["outcome"] for record in world.records("ticket.redeemed")] == ["success", "refused"]
    assert {record["credential_id"] for record in world.records("ticket.redeemed")} == {ticket.ticket_id}


def test_of_50_redeems_at_once_exactly_one_succeeds(world: World) -> None:
    order, _ticket = _issued(world)

    def redeem(_number: int) -> bool:
        try:
            world.tickets.redeem(order.secret)
        except TicketRefusedError:
            return False
        return True

    assert sum(at_once(50, redeem)) == 1
    assert len(world.records("ticket.redeemed")) == 50


def test_of_redeems_in_two_processes_on_one_store_one_succeeds(world: World, tmp_path: Path) -> None:
    order, _ticket = _issued(world)
    other = World(tmp_path)
    assert other.tickets.redeem(order.secret).subject_id == "alice"
    assert _reason(world, order.secret) == "used"
    other.close()


@pytest.mark.parametrize(("seconds", "redeemed"), [(3599, True), (3600, False), (10**6, False)])
def test_a_ticket_at_its_end_is_over(world: World, seconds: int, redeemed: bool) -> None:
    order, _ticket = _issued(world)
    world.clock.advance(seconds=seconds)
    if redeemed:
        world.tickets.redeem(order.secret)
    else:
        assert _reason(world, order.secret) == "expired"


def test_a_ticket_past_its_end_is_forgotten_and_a_clock_set_back_revives_none(world: World) -> None:
    order, _ticket = _issued(world)
    world.clock.advance(seconds=4000)
    world.verifier.maintain()
    assert world.tickets.list() == []
    world.clock.advance(seconds=-4000)
    assert _reason(world, order.secret) == "unknown"


def test_a_revoked_ticket_is_refused_and_a_used_one_cannot_be_revoked(world: World) -> None:
    order, ticket = _issued(world)
    world.tickets.revoke(ticket.ticket_id)
    assert _reason(world, order.secret) == "revoked"
    with pytest.raises(CredentialError, match="redeemed or revoked before"):
        world.tickets.revoke(ticket.ticket_id)

    used, used_ticket = _issued(world)
    world.tickets.redeem(used.secret)
    with pytest.raises(CredentialError, match="redeemed or revoked before"):
        world.tickets.revoke(used_ticket.ticket_id)
    with pytest.raises(CredentialError, match="keyrung credential list"):
        world.tickets.revoke("absent")


@pytest.mark.parametrize(
    "secret", ["", "a", "A" * 43 + "=", "A" * 42 + "B", "\u0661" * 43, "A" * 100_000, "../" * 14 + "a"]
)
def test_what_is_no_ticket_is_refused_like_an_unknown_one(world: World, secret: str) -> None:
    assert _reason(world, secret) == "malformed"
    assert _reason(world, "A" * 43) == "unknown"


@pytest.mark.parametrize("ttl_seconds", [0, -1, 59, 7 * 24 * 3600 + 1])
def test_a_life_out_of_bounds_is_refused(world: World, ttl_seconds: int) -> None:
    with pytest.raises(CredentialError, match="60 to 604800 seconds"):
        _issued(world, ttl_seconds=ttl_seconds)
    assert world.tickets.list() == []


def test_a_subject_has_a_bounded_number_of_open_tickets(world: World) -> None:
    for _ in range(5):
        _issued(world)
    with pytest.raises(CredentialError, match="'alice' has too many open tickets"):
        _issued(world)
    _issued(world, "bob")
    world.clock.advance(seconds=3600)
    _issued(world)


def test_several_tickets_are_issued_together_or_not_at_all(world: World) -> None:
    orders = [world.tickets.order(subject) for subject in ("alice", "bob", "a\nb")]
    with pytest.raises(CredentialError, match="subject id"):
        world.tickets.issue(orders)
    with pytest.raises(CredentialError, match="too many"):
        world.tickets.issue([world.tickets.order("carol") for _ in range(6)])
    assert world.tickets.list() == []
    assert world.records("ticket.issued") == []


def test_a_store_out_of_reach_refuses_for_now_and_uses_nothing_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, _ticket = _issued(world)

    def full(*_arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite_audit, "append", full)
        with pytest.raises(UnavailableError):
            world.tickets.redeem(order.secret)
    assert world.tickets.redeem(order.secret).subject_id == "alice"


def test_each_change_names_the_operator_by_a_keyed_hash_alone(world: World) -> None:
    _order, ticket = _issued(world)
    world.tickets.revoke(ticket.ticket_id)
    totp = world.enrol_totp()
    world.credentials.revoke(totp.credential_id)

    changes = [record for record in world.records() if record["event"].startswith(("ticket.", "credential."))]
    assert [record["event"] for record in changes] == [
        "ticket.issued",
        "ticket.revoked",
        "credential.added",
        "credential.revoked",
    ]
    assert {record["actor"] for record in changes} == {"operator"}
    (operator,) = {record["detail"]["operator"] for record in changes}
    assert len(bytes.fromhex(operator)) == 32
    assert OPERATOR.encode() not in b"".join(world.lines())
