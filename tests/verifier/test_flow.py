"""The whole way of one step-up, in the order in which it happens."""

import json

import jwt
from support.verifier import (
    ASSERTION_KEY,
    AUDIT_KEY,
    CLIENT,
    LARGE_TRANSFER,
    ORIGIN,
    POLICY_KEY,
    TOKEN_FACTOR,
    World,
    b64,
    unb64,
)

from keyrung_audit import public_key_from_jwk, verify
from keyrung_policies.bundle import open_bundle

_POLICY_KEYS = {POLICY_KEY.key_id: POLICY_KEY.public_jwk}


def test_an_ordinary_request_is_allowed(world: World) -> None:
    answer = world.evaluate("accounts.read")

    assert answer.status == 200
    assert answer.body["decision"] is True
    assert answer.body["context"]["outcome"] == "allow"
    assert "acr_values" not in answer.body["context"]


def test_a_code_earns_an_assertion_that_is_spent_once(world: World) -> None:
    totp = world.enrol_totp()
    asked = world.evaluate("profile.update")
    assert asked.body["decision"] is False
    assert asked.body["context"]["outcome"] == "step_up"
    assert asked.body["context"]["acr_values"] == ["urn:keyrung:otp", "phr"]
    assert asked.body["context"]["max_age"] == 300

    made = world.challenge("profile.update")
    assert made.body["expires_at"] == int(world.clock.now().timestamp()) + 300
    assert made.body["stepup_uri"] == f"{ORIGIN}/stepup/v1/challenges/{made.body['challenge_id']}"
    seen = world.view(made.body["challenge_id"])
    assert seen.body["factors"] == [{"type": "otp"}]

    answer = world.respond_code(made.body["challenge_id"], totp.code(world.clock.now()))
    assert answer.status == 200
    assert answer.body["acr"] == "urn:keyrung:otp"
    assert answer.body["token_type"] == "stepup+jwt"
    assert answer.body["expires_in"] == 120

    spent = world.spend(answer.body["assertion"])
    assert spent.status == 200
    claims = json.loads(unb64(answer.body["assertion"].split(".")[1]))
    assert spent.body == {"spent": True} | {name: claims[name] for name in ("sub", "acr", "auth_time", "jti")}
    assert spent.body["sub"] == "alice"
    assert world.spend(answer.body["assertion"]).status == 403


def test_a_token_signature_earns_the_phishing_resistant_level(world: World) -> None:
    key = world.enrol_token(hardware=True)
    challenge_id = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)
    seen = world.view(challenge_id)
    assert seen.body["display"] == "Transfer 2 500.00 EUR to Bob"
    (offer,) = seen.body["factors"]
    assert offer["credential_id"] == key.key_id

    answer = world.respond(
        challenge_id,
        {
            "factor": TOKEN_FACTOR,
            "credential_id": key.key_id,
            "origin": seen.body["origin"],
            "signature": b64(key.sign(unb64(offer["signing_input"]))),
        },
    )

    assert answer.body["acr"] == "phr"
    payload = json.loads(unb64(answer.body["assertion"].split(".")[1]))
    assert payload["amr"] == ["hwk", "pop"]


def test_an_independent_library_verifies_the_assertion(world: World) -> None:
    assertion = world.step_up(world.enrol_totp())
    (key,) = world.http("GET", "/.well-known/jwks.json").body["keys"]

    claims = jwt.decode(
        assertion,
        key=jwt.PyJWK(key),
        algorithms=["ES256"],
        audience=CLIENT.audience,
        issuer=ORIGIN,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "iat", "jti"]},
    )

    assert jwt.get_unverified_header(assertion) == {"alg": "ES256", "kid": ASSERTION_KEY.key_id, "typ": "stepup+jwt"}
    assert claims["sub"] == "alice"
    assert claims["sid"] == "sid-1"
    assert claims["auth_time"] == claims["iat"] == claims["nbf"] == claims["exp"] - 120


def test_the_independent_reader_accepts_the_log_of_a_step_up(world: World) -> None:
    world.spend(world.step_up(world.enrol_totp()))
    world.verifier.stop()

    report = verify(
        world.lines(),
        world.checkpoint_path.read_bytes().splitlines(),
        [public_key_from_jwk(AUDIT_KEY.public_jwk)],
    )

    assert report.ok, report
    assert [record["event"] for record in world.records()] == [
        "log.opened",
        *["key.created", "key.activated"] * 2,
        "verifier.started",
        "credential.added",
        "policy.loaded",
        "challenge.created",
        "challenge.answered",
        "assertion.issued",
        "assertion.spent",
        "verifier.stopped",
    ]


def test_a_denied_request_gets_no_challenge(world: World) -> None:
    world.enrol_token()

    answer = world.challenge("customers.export", kind="machine")

    assert answer.status == 403
    assert answer.body["error"] == "access_denied"


def test_an_allowed_request_gets_no_challenge(world: World) -> None:
    answer = world.challenge("accounts.read")

    assert answer.status == 409
    assert answer.body["error"] == "step_up_not_required"


def test_a_level_out_of_reach_is_said_openly_and_nothing_weaker_is_offered(world: World) -> None:
    world.enrol_totp()

    answer = world.challenge("payments.transfer", resource=LARGE_TRANSFER)

    assert answer.status == 403
    assert answer.body["error"] == "unmet_authentication_requirements"


def test_a_stronger_factor_may_answer_a_weaker_requirement(world: World) -> None:
    world.enrol_token()
    world.enrol_totp()

    seen = world.view(world.challenge_id("profile.update"))

    assert {offer["type"] for offer in seen.body["factors"]} == {"otp", TOKEN_FACTOR}


def test_the_request_of_the_authzen_specification_is_answered(world: World) -> None:
    request = {
        "subject": {"type": "user", "id": "alice@acmecorp.com"},
        "resource": {"type": "account", "id": "123"},
        "action": {"name": "can_read", "properties": {"method": "GET"}},
        "context": {"time": "1985-10-26T01:22-07:00"},
    }

    answer = world.http("POST", "/access/v1/evaluation", request, client=CLIENT)

    assert answer.status == 200
    assert answer.body["decision"] is False


def test_an_attribute_of_a_wrong_type_denies(world: World) -> None:
    answer = world.evaluate("payments.transfer", resource=LARGE_TRANSFER | {"amount_minor": "1"})

    assert answer.body["context"]["outcome"] == "deny"


def test_a_declared_attribute_that_is_a_list_denies(world: World) -> None:
    answer = world.evaluate("payments.transfer", resource=LARGE_TRANSFER | {"amount_minor": [1]})

    assert answer.body["context"]["outcome"] == "deny"


def test_the_well_known_documents_are_served(world: World) -> None:
    assert world.http("GET", "/.well-known/authzen-configuration").body == {
        "policy_decision_point": ORIGIN,
        "access_evaluation_endpoint": f"{ORIGIN}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{ORIGIN}/access/v1/evaluations",
    }
    policy = open_bundle(world.bundle_path.read_bytes(), trusted_keys=_POLICY_KEYS, now=world.clock.now())
    assert world.http("GET", "/healthz").body == {"status": "ok", "policy_digest": policy.digest}
    assert world.http("GET", "/openapi.json").body["openapi"] == "3.1.0"
