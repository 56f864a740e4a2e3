"""Programs and libraries that nobody here wrote make what the verifier takes, and read what it gives."""

import hashlib
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet
from support.softhsm import SoftHsmToken, pkcs11_tool
from support.tools import required_tool
from support.verifier import CLIENT, LARGE_TRANSFER, ORIGIN, TOKEN_FACTOR, SettableClock, World, b64, unb64

from keyrung_verifier.credentials import PublicKey


def test_joserfc_verifies_an_assertion_with_the_published_keys(world: World) -> None:
    assertion = world.step_up(world.enrol_totp())
    keys = KeySet([JWKRegistry.import_key(key) for key in world.http("GET", "/.well-known/jwks.json").body["keys"]])

    claims = jwt.decode(assertion, keys, algorithms=["ES256"]).claims

    rules = jwt.JWTClaimsRegistry(
        now=lambda: int(world.clock.now().timestamp()),
        iss={"essential": True, "value": ORIGIN},
        aud={"essential": True, "value": CLIENT.audience},
        exp={"essential": True},
        auth_time={"essential": True},
        acr={"essential": True, "value": "urn:keyrung:otp"},
    )
    rules.validate(claims)
    assert claims["sub"] == "alice"
    head = assertion.rpartition(".")[0]
    with pytest.raises(JoseError):
        jwt.decode(f"{head}.{b64(bytes(64))}", keys, algorithms=["ES256"])


def test_a_code_that_oathtool_makes_is_taken_once(tmp_path: Path) -> None:
    tool = required_tool(lambda tools: tools.oathtool)
    world = World(tmp_path, clock=SettableClock())
    totp = world.enrol_totp()
    now = (world.clock.now() + timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S UTC")

    # The seed is read from standard input: arguments can be seen by every process.
    done = subprocess.run(
        [tool, "--totp", "--now", now, "-"], input=totp.seed.hex(), capture_output=True, text=True, check=True
    )
    code = done.stdout.strip()

    assert world.respond_code(world.challenge_id(), code).status == 200
    assert world.respond_code(world.challenge_id(), code).status == 403
    world.close()


def test_a_signature_that_pkcs11_tool_makes_in_a_token_is_taken(world: World, softhsm_token: SoftHsmToken) -> None:
    def tool(*arguments: str) -> str:
        return pkcs11_tool(softhsm_token.layout, softhsm_token.label, *arguments)

    folder = softhsm_token.layout.folder
    tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "person", "--usage-sign")
    tool("--read-object", "--type", "pubkey", "--id", "01", "--output-file", str(folder / "public.der"))
    public = load_der_public_key((folder / "public.der").read_bytes())
    assert isinstance(public, EllipticCurvePublicKey)
    numbers = public.public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
    (credential,) = world.credentials.add_keys([PublicKey(subject_id="alice", public_jwk=jwk)])
    challenge_id = world.challenge_id("payments.transfer", resource=LARGE_TRANSFER)
    text = unb64(world.view(challenge_id).body["factors"][0]["signing_input"])

    def answer(digest: bytes) -> int:
        (folder / "digest").write_bytes(digest)
        tool("--sign", "--id", "01", "--mechanism", "ECDSA", "--signature-format", "rs",
             "--input-file", str(folder / "digest"), "--output-file", str(folder / "signature"))  # fmt: skip
        return world.respond(
            challenge_id,
            {
                "factor": TOKEN_FACTOR,
                "credential_id": credential.credential_id,
                "origin": ORIGIN,
                "signature": b64((folder / "signature").read_bytes()),
            },
        ).status

    assert answer(hashlib.sha256(text + b"!").digest()) == 403
    assert answer(hashlib.sha256(text).digest()) == 200


# Retyped from the OpenID AuthZEN Authorization API 1.0, sections 6.1 and 7.1 (and 5.1 to 5.4 for the entities).
SPECIFICATION_REQUESTS = {
    "6.1 single": {
        "subject": {"type": "user", "id": "alice@acmecorp.com"},
        "resource": {"type": "account", "id": "123"},
        "action": {"name": "can_read", "properties": {"method": "GET"}},
        "context": {"time": "1985-10-26T01:22-07:00"},
    },
    "5 entities with properties": {
        "subject": {
            "type": "user",
            "id": "alice@acmecorp.com",
            "properties": {"department": "Sales", "ip_address": "172.217.22.14", "device_id": "8:65:ee:17:7e:0b"},
        },
        "resource": {
            "type": "book",
            "id": "123",
            "properties": {"library_record": {"title": "AuthZEN in Action", "isbn": "978-0593383322"}},
        },
        "action": {"name": "can_read"},
    },
}


@pytest.mark.parametrize("name", SPECIFICATION_REQUESTS)
def test_a_request_of_the_authzen_specification_gets_a_well_formed_answer(world: World, name: str) -> None:
    answer = world.http("POST", "/access/v1/evaluation", SPECIFICATION_REQUESTS[name], client=CLIENT)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body["decision"] is False
    assert answer.body["context"]["outcome"] == "deny"
