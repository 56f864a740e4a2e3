"""Programs that are not ours see the keys, verify the signatures and make the codes: a deployed stack from outside."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import jwt
import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.deployment import pkcs11_tool
from support.project import Project
from support.serving import (
    LARGE_TRANSFER,
    REQUEST,
    application,
    challenge,
    enrol_app,
    question,
    trust_of,
    unused_code,
    url_of,
)
from support.tools import required_tool

from keyrung_infra.step_up_client import StepUpClient, StepUpRefusedError
from keyrung_verifier.assertion import request_digest

pytestmark = pytest.mark.xdist_group("e2e")
_KEY = "assertion-signing-local"


def _answer(project: Project, subject: str, code: str) -> str:
    client = StepUpClient(project.stack.layout.openbao.ca)
    try:
        with application(project) as http:
            uri = challenge(http, subject)
        return client.answer_code(uri, code)
    finally:
        client.close()


def _oathtool_code(app: pyotp.TOTP) -> str:
    tool = str(required_tool(lambda tools: tools.oathtool))
    # The secret is read from standard input: arguments can be seen by every process.
    done = subprocess.run(
        [tool, "--totp", "--base32", "-"], input=app.secret, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _openssl_verifies(folder: Path, public_key: bytes, form: str, raw_signature: bytes, data: bytes) -> bool:
    """Ask openssl whether ``raw_signature`` (r||s) over ``data`` is by ``public_key``."""
    half = len(raw_signature) // 2
    r, s = int.from_bytes(raw_signature[:half]), int.from_bytes(raw_signature[half:])
    for name, content in {"key": public_key, "sig": encode_dss_signature(r, s), "data": data}.items():
        (folder / name).write_bytes(content)
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-keyform", form, "-verify", "key", "-signature", "sig", "data"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() in {"Verified OK", "Verification failure"}, done.stderr
    return done.returncode == 0


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _flipped(data: bytes) -> bytes:
    """Return the data with one bit of its middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _bao(demo: Project, verb: str, path: str) -> Any:
    token = demo.stack.layout.openbao.token("auditor").read_text().strip()
    return json.loads(demo.run("bao", verb, "-format=json", path, environment={"BAO_TOKEN": token}).stdout)


def test_pkcs11_tool_sees_the_assertion_key_which_never_was_extractable(demo: Project) -> None:
    listed = pkcs11_tool(demo, "--list-objects", "--type", "privkey")
    assert listed.count(f"label:      {_KEY}") == 1
    access = next(line for line in listed.splitlines() if "Access:" in line)
    assert {"sensitive", "always sensitive", "never extractable", "local"} <= set(
        access.partition(":")[2].strip().split(", ")
    )


def test_bao_sees_the_transit_keys_which_cannot_be_exported(demo: Project) -> None:
    names = [f"{purpose}-local" for purpose in ("audit-signing", "credential-seed", "policy-signing")]
    assert _bao(demo, "list", "keyrung/keys") == names
    for name in names:
        data = _bao(demo, "read", f"keyrung/keys/{name}")["data"]
        assert (data["exportable"], data["allow_plaintext_backup"]) == (False, False)


def test_openssl_verifies_the_policy_bundle_with_the_key_that_bao_shows(demo: Project, tmp_path: Path) -> None:
    public = _bao(demo, "read", "keyrung/keys/policy-signing-local")["data"]["keys"]["1"]["public_key"].encode()
    bundle = json.loads((demo.state / "verifier" / "policy-bundle.json").read_text())
    signed = f"{bundle['protected']}.{bundle['payload']}".encode()  # RFC 7515 section 5.2
    signature = _decoded(bundle["signature"])
    assert _openssl_verifies(tmp_path, public, "PEM", signature, signed)
    assert not _openssl_verifies(tmp_path, public, "PEM", signature, _flipped(signed))
    assert not _openssl_verifies(tmp_path, public, "PEM", _flipped(signature), signed)


def test_oathtool_makes_the_code_that_counts_once(verifier: Project) -> None:
    _, app = enrol_app(verifier, "carol")
    code = _oathtool_code(app)
    assert _answer(verifier, "carol", code)
    with pytest.raises(StepUpRefusedError):
        _answer(verifier, "carol", code)


def test_openssl_and_pyjwt_verify_an_assertion(verifier: Project, tmp_path: Path) -> None:
    _, app = enrol_app(verifier, "mike")
    assertion = _answer(verifier, "mike", unused_code(app))

    exported = tmp_path / "exported.der"
    pkcs11_tool(verifier, "--read-object", "--type", "pubkey", "--label", _KEY, "--output-file", str(exported))
    signed, _, signature = assertion.rpartition(".")
    assert _openssl_verifies(tmp_path, exported.read_bytes(), "DER", _decoded(signature), signed.encode())
    assert not _openssl_verifies(tmp_path, exported.read_bytes(), "DER", _decoded(signature), _flipped(signed.encode()))

    # And a JWT library that is not ours, over the published keys.
    with httpx.Client(verify=trust_of(verifier)) as http:
        keys = jwt.PyJWKSet.from_dict(http.get(f"{url_of(verifier)}/.well-known/jwks.json").json())
    header = jwt.get_unverified_header(assertion)
    claims = jwt.decode(
        assertion,
        keys[header["kid"]],
        algorithms=["ES256"],
        audience="https://sample-api.keyrung.test",
        issuer=url_of(verifier),
    )
    assert header.keys() == {"alg", "kid", "typ"}
    assert header["typ"] == "stepup+jwt"
    assert (claims["sub"], claims["sid"], claims["acr"]) == ("mike", "session of mike", "urn:keyrung:otp")
    assert claims["request_digest"] == request_digest(REQUEST["method"], REQUEST["uri"], REQUEST["body_sha256"])
    assert 0 < claims["exp"] - claims["iat"] <= 300


def test_a_plain_http_client_gets_the_documented_answers(verifier: Project) -> None:
    with application(verifier) as http:
        document = http.get("/openapi.json").json()
        assert document["openapi"].startswith("3.")
        configuration = http.get("/.well-known/authzen-configuration").json()
        evaluation = configuration["access_evaluation_endpoint"]
        assert evaluation == f"{url_of(verifier)}/access/v1/evaluation"
        assert http.get("/healthz").json()["status"] == "ok"

        allowed = http.post(evaluation, json=question("carol", "accounts.read")).json()
        assert (allowed["decision"], allowed["context"]["outcome"]) == (True, "allow")
        asked = http.post(evaluation, json=question("carol", "payments.transfer", **LARGE_TRANSFER)).json()
        assert asked["decision"] is False
        assert asked["context"]["outcome"] == "step_up"
        assert (asked["context"]["acr_values"], asked["context"]["max_age"]) == (["phr"], 300)
        unknown = http.post(evaluation, json=question("carol", "accounts.close")).json()
        assert (unknown["decision"], unknown["context"]["outcome"]) == (False, "deny")
        malformed = http.post(evaluation, content=b"{")
        assert (malformed.status_code, malformed.json()["error"]) == (400, "invalid_request")
        spent = http.post(
            "/stepup/v1/assertions/spend", json={**question("carol"), "assertion": "a.b.c", "request": REQUEST}
        )
        assert (spent.status_code, spent.json()["error"]) == (403, "assertion_refused")
        for path in ("/access/v1/evaluation", "/stepup/v1/challenges", "/stepup/v1/assertions/spend"):
            assert path in document["paths"]
            stranger = http.post(path, json=question("carol", "accounts.read"), auth=("sample-api", "guessed"))
            assert (stranger.status_code, stranger.json()["error"]) == (401, "invalid_client")
