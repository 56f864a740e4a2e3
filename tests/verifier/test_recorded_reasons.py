"""The log tells refusals apart by a short code, while the outside hears one sentence."""

from typing import Any

import pytest
from support.dpop import DpopClient
from support.verifier import LARGE_TRANSFER, World

from keyrung_policies.model import Decision
from keyrung_verifier import dpop
from keyrung_verifier.assertion import request_digest
from keyrung_verifier.errors import DpopInvalidError, MalformedRequestError
from keyrung_verifier.judging import first_reason

URI = "https://api.example/"
BODY_SHA256 = "A" * 43


@pytest.mark.parametrize(
    ("action", "changes", "reason"),
    [
        ("accounts.read", {}, "rule-allows"),
        ("profile.update", {}, "rule-requires"),
        ("customers.export", {"kind": "machine"}, "rule-denies"),
        ("accounts.close", {}, "default-deny"),
        ("payments.transfer", {"resource": {"amount_minor": 250000}}, "attribute-missing"),
    ],
)
def test_a_decision_is_recorded_with_the_code_of_its_reason(
    world: World, action: str, changes: dict[str, Any], reason: str
) -> None:
    world.evaluate(action, **changes)

    assert world.last_reason("access.evaluated") == reason


def test_the_code_of_a_reason_ends_at_its_first_colon_though_the_sentence_names_a_urn() -> None:
    reasons = ("attribute-mismatch: context.network must be one of urn:example:home, urn:example:away",)
    decision = Decision(outcome="deny", requirement=None, rule_ids=(), reasons=reasons)

    assert first_reason(decision) == "attribute-mismatch"


@pytest.mark.parametrize(
    ("action", "changes", "reason"),
    [
        ("accounts.read", {}, "policy_allow"),
        ("customers.export", {"kind": "machine"}, "rule-denies"),
        ("payments.transfer", {"resource": LARGE_TRANSFER}, "no_credential"),
    ],
)
def test_a_challenge_that_is_not_made_is_recorded_with_a_reason(
    world: World, action: str, changes: dict[str, Any], reason: str
) -> None:
    assert world.challenge(action, **changes).status in {403, 409}

    assert world.last_reason("challenge.created") == reason


@pytest.mark.parametrize(
    ("session", "reason"), [(None, "no_session"), ({"id": "sid-1", "colour": "red"}, "wrong_shape")]
)
def test_a_challenge_without_a_session_is_recorded_as_that(
    world: World, session: dict[str, str] | None, reason: str
) -> None:
    assert world.challenge("profile.update", session=session).status == 400

    assert world.last_reason("challenge.created") == reason


def test_a_use_is_recorded_as_what_it_was(world: World) -> None:
    totp = world.enrol_totp()
    assertion = world.step_up(totp)
    world.spend(assertion)
    world.spend(assertion)
    world.credentials.revoke(totp.credential_id)
    world.spend(assertion)  # used, and its credential is gone: the use comes first

    assert [(record["outcome"], record["reason"]) for record in world.records("assertion.spent")] == [
        ("success", None),
        ("refused", "used"),
        ("refused", "used"),
    ]


def test_a_use_that_fails_its_first_check_is_recorded_with_what_was_asked(world: World) -> None:
    world.enrol_totp()
    world.challenge_id()
    world.spend("a.b.c")

    record, created = world.records("assertion.spent")[-1], world.records("challenge.created")[-1]
    assert (record["subject"], record["action"]) == (created["subject"], "profile.update")
    assert record["outcome"] == "refused"


def test_an_unspent_assertion_of_a_revoked_credential_is_recorded_so(world: World) -> None:
    totp = world.enrol_totp()
    assertion = world.step_up(totp)
    world.credentials.revoke(totp.credential_id)
    world.spend(assertion)

    assert world.last_reason("assertion.spent") == "credential_revoked"


def test_a_use_without_the_proof_that_its_session_needs_is_recorded_so(world: World) -> None:
    client, totp = DpopClient(world), world.enrol_totp()
    challenge_id = world.challenge_id(session=client.session())
    code = totp.code(world.clock.now())
    assertion = client.respond(challenge_id, code, client.answer_proof(challenge_id)).body["assertion"]

    world.spend(assertion, asked={"session": client.session()})

    assert world.last_reason("assertion.spent") == "dpop_missing"


@pytest.mark.parametrize("authorization", ["Bearer a", "Basic a", "DPoP", "DPoP a b", ""])
def test_a_bound_token_under_anything_but_its_scheme_is_refused_as_such(authorization: str) -> None:
    with pytest.raises(DpopInvalidError) as refused:
        dpop.presented_token(authorization, bound=True)

    assert refused.value.reason == "scheme"


@pytest.mark.parametrize(
    ("method", "uri", "body_sha256", "reason"),
    [
        ("post", URI, BODY_SHA256, "method_form"),
        ("P" * 33, URI, BODY_SHA256, "method_form"),
        ("POST", f"{URI}#part", BODY_SHA256, "uri_form"),
        ("POST", URI.ljust(8001, "a"), BODY_SHA256, "uri_form"),
        ("POST", URI, BODY_SHA256 + "=", "body_digest_form"),
        ("POST", URI, "AAAA", "body_digest_form"),
    ],
)
def test_a_request_without_its_one_form_is_refused_by_the_part_that_lacks_it(
    method: str, uri: str, body_sha256: str, reason: str
) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        request_digest(method, uri, body_sha256)

    assert refused.value.reason == reason


def test_a_uri_may_be_as_long_as_a_request_line_allows() -> None:
    assert request_digest("P" * 32, URI.ljust(8000, "a"), BODY_SHA256)
