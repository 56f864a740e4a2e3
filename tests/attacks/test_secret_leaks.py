"""No code, seed, assertion, signature, challenge id or client secret in a log, an error, a repr or an audit line."""

import base64
import io
import logging
import traceback

import pytest
from support.verifier import CLIENT, LARGE_TRANSFER, ORIGIN, TOKEN_FACTOR, World, b64, evaluation, unb64

from keyrung_verifier.audit_writer import Entry
from keyrung_verifier.entry import WebRequest
from keyrung_verifier.errors import RefusedError
from keyrung_verifier.factors.protocol import Attempt


def _forms(secret: bytes) -> list[bytes]:
    return [
        secret,
        secret.hex().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        base64.b32encode(secret).rstrip(b"="),
    ]


def test_nothing_secret_reaches_the_log_the_store_or_the_checkpoints(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    totp = world.enrol_totp()
    key = world.enrol_token()
    code = totp.code(world.clock.now())
    wrong = next(text for text in ("482913", "591377") if text != code)
    challenge_id = world.challenge_id()
    world.respond_code(challenge_id, wrong)
    answer = world.respond_code(challenge_id, code)
    world.respond_code(challenge_id, code)
    assertion = str(answer.body["assertion"])
    world.spend(assertion)
    world.spend(assertion)
    second = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)
    signature = key.sign(unb64(world.view(second).body["factors"][0]["signing_input"]))
    signed = {"factor": TOKEN_FACTOR, "credential_id": key.key_id, "origin": ORIGIN, "signature": b64(signature)}
    assert world.respond(second, signed).status == 200
    world.http("POST", "/access/v1/evaluation", evaluation("accounts.read"), client=CLIENT, authorization="Basic xyz")
    world.verifier.stop()
    world.store.close()

    kept = b"".join(path.read_bytes() for path in sorted(world.folder.iterdir())) + caplog.text.encode()
    secrets = [totp.seed, unb64(challenge_id), unb64(second), CLIENT.secret.encode(), signature]
    secrets += [assertion.encode(), assertion.split(".")[2].encode(), code.encode(), wrong.encode()]
    secrets += [key.private.private_numbers().private_value.to_bytes(32)]
    for number, secret in enumerate(secrets):
        assert [form for form in _forms(secret) if form in kept] == [], number


def test_subjects_and_sessions_are_not_in_the_log_in_the_clear(world: World) -> None:
    world.spend(world.step_up(world.enrol_totp("alice@example.com"), subject="alice@example.com", session="mallory"))

    log = b"\n".join(world.lines())
    assert b"alice" not in log
    assert b"mallory" not in log


def test_an_attribute_whose_setting_is_hash_is_not_in_the_log_in_the_clear(world: World) -> None:
    world.enrol_token()
    world.challenge_id("payments.transfer", resource=LARGE_TRANSFER | {"payee": "Bob the Payee"})

    record = world.records("challenge.created")[-1]
    assert record["attributes"]["resource.amount_minor"] == 250000
    assert record["attributes"]["resource.payee"].startswith("sha-256:")
    assert b"Bob the Payee" not in b"\n".join(world.lines())


def test_an_undeclared_attribute_never_reaches_the_log(world: World) -> None:
    world.evaluate("accounts.read", resource={"iban": "DE02120300000000202051"}, note="remember me")

    log = b"\n".join(world.lines())
    assert b"DE0212" not in log
    assert b"remember me" not in log


def test_an_attribute_of_a_wrong_type_never_reaches_the_log(world: World) -> None:
    world.evaluate("payments.transfer", resource=LARGE_TRANSFER | {"amount_minor": "secret-in-the-wrong-place"})

    assert b"secret-in-the-wrong-place" not in b"\n".join(world.lines())


def test_no_repr_shows_a_secret(world: World) -> None:
    totp = world.enrol_totp()
    made = world.credentials.add_totp("bob", sealer=world.sealer, issuer_name="Sample Bank")
    (credential,) = world.credentials.list("alice")
    request = WebRequest(method="POST", path="/", authorization="Basic secret-1", body=b"secret-2")
    entry = Entry(event="x", subject_id="secret-3", session_id="secret-4", jti="secret-5")
    shown = "".join(map(repr, [CLIENT, made, credential, request, entry, world.settings, world.verifier, totp]))

    assert "secret-" not in shown
    assert CLIENT.secret not in shown
    assert made.secret_base32 not in shown
    assert str(credential.sealed_seed) not in shown


def test_no_error_text_shows_what_a_client_sent(world: World) -> None:
    texts = io.StringIO()
    bodies = [
        b'{"factor":"otp","code":"987654","extra":"987654"}',
        b'{"factor":"987654"}',
        b'{"factor":"otp","code":987654}',
        b'{"factor":"otp","code":"987654"',
        b'{"factor":"otp","code":"987654","code":"987654"}',
    ]
    header = _basic("sample-api", "987654")
    for body in bodies:
        with pytest.raises(RefusedError) as caught:
            world.verifier.respond("unknown", body)
        texts.write("".join(traceback.format_exception(caught.value)))
    with pytest.raises(RefusedError) as caught:
        world.verifier.authenticate(header)
    texts.write("".join(traceback.format_exception(caught.value)))

    assert "987654" not in texts.getvalue()
    assert Attempt.__dataclass_fields__["challenge_id"].repr is False


def test_no_answer_shows_why_a_caller_was_refused(world: World) -> None:
    unknown = world.http("POST", "/access/v1/evaluation", b"{}", authorization=_basic("nobody", "x" * 40))
    wrong = world.http("POST", "/access/v1/evaluation", b"{}", authorization=_basic("sample-api", "x" * 40))
    missing = world.http("POST", "/access/v1/evaluation", b"{}")

    assert {answer.status for answer in (unknown, wrong, missing)} == {401}
    assert len({answer.without_correlation() for answer in (unknown, wrong, missing)}) == 1
    assert [record["reason"] for record in world.records("caller.refused")] == [
        "unknown_client",
        "wrong_secret",
        "no_credentials",
    ]


def _basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
