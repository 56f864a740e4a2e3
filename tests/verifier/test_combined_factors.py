"""Which factors an answer proves, and levels that ask for several of them: answers to one challenge add up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.verifier import (
    ORIGIN,
    TOKEN_FACTOR,
    Answer,
    Totp,
    UnsafeTestKey,
    World,
    at_once,
    b64,
    unb64,
)

from keyrung_verifier.errors import StoreUnavailableError

POSSESSION = "urn:keyrung:possession"
POLICY = b"""
keyrung: policy/v1
default: deny
levels:
  possession: {acr: "urn:keyrung:possession", any_of: [["urn:keyrung:possession"]]}
  otp: {acr: "urn:keyrung:otp", any_of: [[otp]]}
  both: {acr: both, any_of: [[otp, token-signature-origin-bound]], above: [otp, phr]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [possession]}
  phrh: {acr: phrh, any_of: [[token-signature-attested]], above: [phr]}
  top: {acr: top, any_of: [[otp, token-signature-attested]], above: [both, phrh]}
rules:
  - {id: paste, actions: [do.paste], require: {level: possession, max_age: 5m}}
  - {id: sign, actions: [do.sign], require: {level: phr, max_age: 5m}}
  - {id: attest, actions: [do.attest], require: {level: phrh, max_age: 5m}}
  - {id: combine, actions: [do.combine], require: {level: both, max_age: 5m}}
"""
# What a token reports of a key that it made itself and never let out.
MADE_IN_HARDWARE = {
    "hardware": True,
    "CKA_LOCAL": True,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_NEVER_EXTRACTABLE": True,
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, texts={"levels.yaml": POLICY})
    yield made
    made.close()


@pytest.fixture
def key(world: World) -> UnsafeTestKey:
    return enrol(world)


def enrol(world: World, **evidence: bool) -> UnsafeTestKey:
    key = UnsafeTestKey("token")
    world.credentials.add_token("alice", public_jwk=key.public_jwk, evidence=evidence, prove=key.sign)
    return key


def offers(answer: Answer) -> dict[str, Any]:
    return {offer["type"]: offer for offer in answer.body["factors"]}


def sign(world: World, challenge_id: str, key: UnsafeTestKey, factor: str = TOKEN_FACTOR) -> Answer:
    text = unb64(offers(world.view(challenge_id))[factor]["signing_input"])
    return world.respond(challenge_id, signature_answer(key, text, factor))


def signature_answer(key: UnsafeTestKey, text: bytes, factor: str) -> dict[str, str]:
    origin = {"origin": ORIGIN} if factor == TOKEN_FACTOR else {}
    return {"factor": factor, "credential_id": key.key_id, "signature": b64(key.sign(text))} | origin


def code(world: World, challenge_id: str, totp: Totp) -> Answer:
    return world.respond_code(challenge_id, totp.code(world.clock.now()))


def claims(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(unb64(answer.body["assertion"].split(".")[1]))
    return found


# -- what one answer proves ---------------------------------------------------------------------------------------


def test_a_pasted_signature_reaches_possession_and_nothing_above(world: World, key: UnsafeTestKey) -> None:
    challenge_id = world.challenge_id("do.paste")
    assert set(offers(world.view(challenge_id))) == {POSSESSION, TOKEN_FACTOR}

    assert claims(sign(world, challenge_id, key, POSSESSION))["acr"] == POSSESSION


def test_an_origin_bound_signature_is_worth_more_than_the_possession_that_was_asked_for(
    world: World, key: UnsafeTestKey
) -> None:
    assert claims(sign(world, world.challenge_id("do.paste"), key))["acr"] == "phr"


def test_a_pasted_signature_does_not_answer_where_the_origin_has_to_be_bound(world: World, key: UnsafeTestKey) -> None:
    challenge_id = world.challenge_id("do.sign")
    text = unb64(offers(world.view(challenge_id))[TOKEN_FACTOR]["signing_input"])

    assert set(offers(world.view(challenge_id))) == {TOKEN_FACTOR}
    assert world.respond(challenge_id, signature_answer(key, text, POSSESSION)).status == 403
    assert world.last_reason("challenge.answered") == "factor_not_accepted"


@pytest.mark.parametrize(("signed", "claimed"), [(POSSESSION, TOKEN_FACTOR), (TOKEN_FACTOR, POSSESSION)])
def test_a_signature_of_one_form_is_no_signature_of_the_other(
    world: World, key: UnsafeTestKey, signed: str, claimed: str
) -> None:
    challenge_id = world.challenge_id("do.paste")
    text = unb64(offers(world.view(challenge_id))[signed]["signing_input"])

    assert world.respond(challenge_id, signature_answer(key, text, claimed)).status == 403
    assert world.last_reason("challenge.answered") == "wrong_signature"


def test_a_key_that_a_token_made_with_evidence_reaches_the_attested_level(world: World) -> None:
    key = enrol(world, **MADE_IN_HARDWARE)

    found = claims(sign(world, world.challenge_id("do.attest"), key))

    assert (found["acr"], found["amr"]) == ("phrh", ["hwk", "pop"])


@pytest.mark.parametrize("name", MADE_IN_HARDWARE)
@pytest.mark.parametrize("value", [False, None])
def test_a_key_whose_evidence_lacks_one_word_does_not_reach_the_attested_level(
    world: World, name: str, value: bool | None
) -> None:
    evidence = MADE_IN_HARDWARE | ({} if value is None else {name: value})
    if value is None:
        del evidence[name]
    enrol(world, **evidence)

    assert world.challenge("do.attest").body["error"] == "unmet_authentication_requirements"


def test_a_good_signature_of_a_key_that_does_not_help_is_refused_and_in_nobodys_way(world: World) -> None:
    attested = enrol(world, **MADE_IN_HARDWARE)
    plain = world.enrol_token(name="plain")
    challenge_id = world.challenge_id("do.attest")
    (offer,) = world.view(challenge_id).body["factors"]
    assert offer["credential_id"] == attested.key_id, "the other one is not offered"

    answer = signature_answer(plain, unb64(offer["signing_input"]), TOKEN_FACTOR)
    assert world.respond(challenge_id, answer).status == 403
    assert world.last_reason("challenge.answered") == "factor_not_accepted"
    assert claims(sign(world, challenge_id, attested))["acr"] == "phrh"


def test_evidence_that_says_yes_in_another_type_is_none(world: World) -> None:
    key = UnsafeTestKey("token")
    evidence: dict[str, str | int | bool] = dict.fromkeys(MADE_IN_HARDWARE, 1)
    world.credentials.add_token("alice", public_jwk=key.public_jwk, evidence=evidence, prove=key.sign)

    assert world.challenge("do.attest").body["error"] == "unmet_authentication_requirements"


def test_an_attested_key_answers_for_the_level_below_with_the_level_it_reaches(world: World) -> None:
    key = enrol(world, **MADE_IN_HARDWARE)

    assert claims(sign(world, world.challenge_id("do.sign"), key))["acr"] == "phrh"


# -- several answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code_first", [True, False])
def test_answers_add_up_in_any_order_and_the_last_one_gives_the_assertion(
    world: World, totp: Totp, key: UnsafeTestKey, code_first: bool
) -> None:
    challenge_id = world.challenge_id("do.combine")
    assert set(offers(world.view(challenge_id))) == {"otp", TOKEN_FACTOR}
    began = int(world.clock.now().timestamp())

    kept = code(world, challenge_id, totp) if code_first else sign(world, challenge_id, key)
    assert kept.status == 202
    assert "assertion" not in kept.body
    assert set(offers(kept)) == set(offers(world.view(challenge_id))) == {TOKEN_FACTOR if code_first else "otp"}
    assert world.last_reason("challenge.answered") == "more_needed"
    assert world.records("assertion.issued") == []
    world.clock.advance(5)
    found = claims(sign(world, challenge_id, key) if code_first else code(world, challenge_id, totp))

    assert found["acr"] == "both"
    assert sorted(found["amr"]) == ["otp", "pop", "swk"]
    assert found["auth_time"] == began, "as old as its oldest part"


def test_one_factor_of_two_never_gives_an_assertion_however_often_it_is_answered(
    world: World, totp: Totp, key: UnsafeTestKey
) -> None:
    challenge_id = world.challenge_id("do.combine")
    assert code(world, challenge_id, totp).status == 202
    world.clock.advance(30)

    assert code(world, challenge_id, totp).status == 403
    assert world.records("assertion.issued") == []


def test_an_answer_to_one_challenge_does_not_count_for_another(world: World, totp: Totp, key: UnsafeTestKey) -> None:
    first, second = world.challenge_id("do.combine"), world.challenge_id("do.combine")
    assert code(world, first, totp).status == 202

    assert sign(world, second, key).status == 202
    assert world.records("assertion.issued") == []


def test_a_subject_who_lacks_one_factor_of_two_is_told_so_before_anything_is_asked(world: World, totp: Totp) -> None:
    assert world.challenge("do.combine").body["error"] == "unmet_authentication_requirements"


def test_two_right_answers_at_once_give_one_assertion(world: World, totp: Totp, key: UnsafeTestKey) -> None:
    for _ in range(10):
        challenge_id = world.challenge_id("do.combine")
        before = len(world.records("assertion.issued"))
        text = unb64(offers(world.view(challenge_id))[TOKEN_FACTOR]["signing_input"])
        signed = signature_answer(key, text, TOKEN_FACTOR)
        now = {"factor": "otp", "code": totp.code(world.clock.now())}

        answers = at_once(2, lambda number: world.respond(challenge_id, (signed, now)[number]))  # noqa: B023 - at once

        assert [answer.status for answer in answers].count(200) == 1, [answer.body for answer in answers]
        assert len(world.records("assertion.issued")) == before + 1
        world.clock.advance(30)


def test_an_answer_that_was_kept_before_the_store_failed_counts_when_it_is_back(
    world: World, totp: Totp, key: UnsafeTestKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge_id = world.challenge_id("do.combine")
    text = unb64(offers(world.view(challenge_id))[TOKEN_FACTOR]["signing_input"])
    read, reads = world.store.challenge, iter([True, False])

    def failing(challenge_hash: str) -> Any:
        if next(reads):
            return read(challenge_hash)
        raise StoreUnavailableError("out of reach")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "challenge", failing)
        assert code(world, challenge_id, totp).status == 503
    assert world.records("assertion.issued") == []

    assert claims(world.respond(challenge_id, signature_answer(key, text, TOKEN_FACTOR)))["acr"] == "both"


def test_a_kept_answer_dies_with_its_challenge(world: World, totp: Totp, key: UnsafeTestKey) -> None:
    challenge_id = world.challenge_id("do.combine")
    assert code(world, challenge_id, totp).status == 202
    text = unb64(offers(world.view(challenge_id))[TOKEN_FACTOR]["signing_input"])
    world.clock.advance(300)

    assert world.respond(challenge_id, signature_answer(key, text, TOKEN_FACTOR)).status == 403
    assert world.last_reason("challenge.answered") == "expired"


def test_wrong_answers_end_the_challenge_with_what_it_has_collected(
    world: World, totp: Totp, key: UnsafeTestKey
) -> None:
    challenge_id = world.challenge_id("do.combine")
    text = unb64(offers(world.view(challenge_id))[TOKEN_FACTOR]["signing_input"])
    assert code(world, challenge_id, totp).status == 202
    for _ in range(5):
        assert world.respond(challenge_id, signature_answer(key, b"another text", TOKEN_FACTOR)).status == 403

    assert world.respond(challenge_id, signature_answer(key, text, TOKEN_FACTOR)).status == 403
    assert world.last_reason("challenge.answered") == "exhausted"


def test_an_answer_given_with_a_credential_that_was_revoked_since_earns_nothing(
    world: World, totp: Totp, key: UnsafeTestKey
) -> None:
    challenge_id = world.challenge_id("do.combine")
    assert code(world, challenge_id, totp).status == 202
    world.credentials.revoke(totp.credential_id)

    assert sign(world, challenge_id, key).status == 403
    assert world.last_reason("assertion.issued") == "credential_revoked"


@pytest.mark.parametrize("which", [0, 1])
def test_an_assertion_dies_with_any_credential_that_earned_it(
    world: World, totp: Totp, key: UnsafeTestKey, which: int
) -> None:
    challenge_id = world.challenge_id("do.combine")
    code(world, challenge_id, totp)
    assertion = sign(world, challenge_id, key).body["assertion"]
    world.credentials.revoke((totp.credential_id, key.key_id)[which])

    assert world.spend(assertion, asked={"action": "do.combine"}).status == 403
    assert world.last_reason("assertion.spent") == "credential_revoked"


def test_the_highest_level_that_the_answers_reach_is_the_one_that_is_stated(world: World, totp: Totp) -> None:
    key = enrol(world, **MADE_IN_HARDWARE)
    challenge_id = world.challenge_id("do.combine")
    code(world, challenge_id, totp)

    assert claims(sign(world, challenge_id, key))["acr"] == "top"
