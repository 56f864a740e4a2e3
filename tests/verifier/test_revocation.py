"""What a credential earned, and what is under way with it, ends with it."""

from typing import Any

import pytest
from support.verifier import Totp, World, at_once

from keyrung_verifier.errors import CredentialError, TicketRefusedError
from keyrung_verifier.factors import FACTOR_OF_ANSWER
from keyrung_verifier.factors.totp import OtpAnswer


def _after_revoking(world: World, totp: Totp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the credential revoked after the answer was checked and before it is written down."""
    factor = FACTOR_OF_ANSWER[OtpAnswer]
    check = type(factor).check

    def checked(self: Any, answer: Any, attempt: Any) -> Any:
        proof = check(self, answer, attempt)
        world.credentials.revoke(totp.credential_id)
        return proof

    monkeypatch.setattr(type(factor), "check", checked)


def test_an_open_challenge_is_not_answered_by_a_credential_revoked_since(world: World) -> None:
    totp = world.enrol_totp()
    world.enrol_totp()
    challenge_id = world.challenge_id()
    world.credentials.revoke(totp.credential_id)

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.records("assertion.issued") == []


def test_a_credential_revoked_while_its_answer_is_checked_earns_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    _after_revoking(world, totp, monkeypatch)

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "credential_revoked"
    assert world.records("assertion.issued") == []


def test_a_credential_revoked_while_the_assertion_is_signed_earns_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    signer = world.verifier._core.signers.current()
    sign = signer.sign

    def signing(data: bytes) -> bytes:
        world.credentials.revoke(totp.credential_id)
        return sign(data)

    monkeypatch.setattr(signer, "sign", signing)

    assert world.respond_code(challenge_id, totp.code(world.clock.now())).status == 403
    assert world.last_reason("assertion.issued") == "credential_revoked"


def test_an_unspent_assertion_dies_with_the_credential_that_earned_it(world: World) -> None:
    lost, kept = world.enrol_totp(), world.enrol_totp()
    first = world.step_up(lost)
    world.clock.advance(seconds=30)
    second = world.step_up(kept)
    world.credentials.revoke(lost.credential_id)

    refused = world.spend(first)
    assert (refused.status, refused.body["error"]) == (403, "assertion_refused")
    assert world.last_reason("assertion.spent") == "credential_revoked"
    assert world.spend(first).status == 403
    assert world.spend(second).status == 200


def test_of_revoking_and_spending_at_once_one_comes_first(world: World) -> None:
    totp = world.enrol_totp()
    assertion = world.step_up(totp)

    def work(number: int) -> int | None:
        if number:
            return world.spend(assertion).status
        world.credentials.revoke(totp.credential_id)
        return None

    statuses = at_once(8, work)[1:]
    assert statuses.count(200) <= 1
    assert {status for status in statuses if status != 200} <= {403}
    assert world.spend(assertion).status == 403
    order = [(record["event"], record["outcome"]) for record in world.records()]
    revoked = order.index(("credential.revoked", "success"))
    assert ("assertion.spent", "success") not in order[revoked:]


def test_when_a_credential_was_last_used_is_noted_with_the_right_answer_only(world: World) -> None:
    totp = world.enrol_totp()
    assert world.respond_code(world.challenge_id(), "000000").status == 403
    assert world.credentials.list("alice")[0].last_used_at_seconds is None

    world.step_up(totp)

    assert world.credentials.list("alice")[0].last_used_at_seconds == int(world.clock.now().timestamp())


def test_a_disabled_subject_loses_credentials_tickets_open_challenges_and_unspent_assertions_at_once(
    world: World,
) -> None:
    totp, other = world.enrol_totp(), world.enrol_totp("bob")
    world.enrol_token()
    order = world.tickets.order("alice")
    world.tickets.issue([order])
    unspent, open_id = world.step_up(totp), world.challenge_id()
    world.clock.advance(30)
    code = totp.code(world.clock.now())

    ended = world.credentials.revoke_all("alice")

    assert len(ended) == 3
    assert world.spend(unspent).status == 403
    assert world.respond_code(open_id, code).status == 403
    assert world.challenge().body["error"] == "unmet_authentication_requirements"
    with pytest.raises(TicketRefusedError):
        world.tickets.redeem(order.secret)
    assert world.records("assertion.issued")[-1]["outcome"] == "success", "only the one before"
    assert len(world.records("credential.revoked")) == 2
    assert world.spend(world.step_up(other, subject="bob"), asked={"subject": "bob"}).status == 200


def test_a_subject_who_enrols_again_revives_nothing_from_before(world: World) -> None:
    totp = world.enrol_totp()
    unspent, open_id = world.step_up(totp), world.challenge_id()
    world.credentials.revoke_all("alice")
    again = world.enrol_totp()
    world.clock.advance(30)

    assert world.respond_code(open_id, again.code(world.clock.now())).status == 403
    assert world.spend(unspent).status == 403
    assert world.spend(world.step_up(again)).status == 200


def test_a_credential_that_was_enrolled_after_a_challenge_does_not_answer_it(world: World) -> None:
    world.enrol_totp()
    challenge_id = world.challenge_id()
    late = world.enrol_totp()

    assert world.respond_code(challenge_id, late.code(world.clock.now())).status == 403
    assert world.last_reason("challenge.answered") == "wrong_code"


def test_a_subject_who_holds_nothing_is_named_as_such(world: World) -> None:
    with pytest.raises(CredentialError, match="no credential"):
        world.credentials.revoke_all("alcie")
