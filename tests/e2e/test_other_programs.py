"""Programs that are not ours see the keys, verify the signatures and make the codes: a deployed stack from outside."""

import base64
import json
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.project import Project, running_project
from support.secrets import files, leaks, secrets_of
from support.tools import required_tool

from keyrung_infra.demo.programs import Programs
from keyrung_infra.step_up_client import StepUpClient, StepUpRefusedError
from keyrung_infra.tools import Tools
from keyrung_verifier.assertion import request_digest

pytestmark = pytest.mark.xdist_group("e2e")

_BODY_SHA256 = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
_REQUEST = {"method": "POST", "uri": "https://bank.test/profile", "body_sha256": _BODY_SHA256}
_QUESTION: dict[str, Any] = {
    "subject": {"type": "user", "id": "carol", "properties": {"kind": "person"}},
    "action": {"name": "profile.update"},
    "resource": {"type": "route", "id": "/profile"},
    "context": {"session": {"id": "carols-session"}},
}


@pytest.fixture(scope="module")
def demo(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which `keyrung demo` ran once."""
    with running_project(tmp_path_factory.mktemp("demo") / "project", tools) as project:
        told = project.keyrung("demo")
        (project.state / "told.txt").write_text(told.stdout + told.stderr)
        yield project


@pytest.fixture(scope="module")
def verifier(demo: Project) -> Iterator[str]:
    """The demo's verifier, running again; yields its URL."""
    programs = Programs(root=demo.root, environment=demo.environment())
    with programs.server("keyrung_infra.cli", "serve", ready_on="stderr"):
        yield (demo.state / "verifier" / "address").read_text().strip()


@pytest.fixture(scope="module")
def seed_base32(demo: Project) -> str:
    """Carol's TOTP secret, from the otpauth URI that is shown once."""
    added = json.loads(demo.keyrung("credential", "add", "totp", "carol", "--json").stdout)
    return str(parse_qs(urlsplit(added["otpauth_uri"]).query)["secret"][0])


def _application(demo: Project, url: str) -> httpx.Client:
    secret = (demo.state / "clients" / "sample-api").read_text().strip()
    return httpx.Client(base_url=url, auth=("sample-api", secret), verify=_tls(demo))


def _tls(demo: Project) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(demo.stack.layout.openbao.ca))


def _challenge(demo: Project, url: str) -> str:
    with _application(demo, url) as http:
        answer = http.post("/stepup/v1/challenges", json={**_QUESTION, "request": _REQUEST})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["stepup_uri"])


def _oathtool_code(seed_base32: str) -> str:
    tool = str(required_tool(lambda tools: tools.oathtool))
    # The secret is read from standard input: arguments can be seen by every process.
    done = subprocess.run(
        [tool, "--totp", "--base32", "-"], input=seed_base32, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _openssl_verifies(folder: Path, public_key: bytes, form: str, raw_signature: bytes, data: bytes) -> bool:
    """Ask openssl whether ``raw_signature`` (r||s) over ``data`` is by ``public_key``."""
    half = len(raw_signature) // 2
    r, s = int.from_bytes(raw_signature[:half], "big"), int.from_bytes(raw_signature[half:], "big")
    for name, content in {"key": public_key, "sig": encode_dss_signature(r, s), "data": data}.items():
        (folder / name).write_bytes(content)
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-keyform", form, "-verify", "key", "-signature", "sig", "data"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _pkcs11_tool(demo: Project, *arguments: str) -> str:
    softhsm = demo.stack.layout.softhsm
    tool = str(required_tool(lambda tools: tools.pkcs11_tool))
    module = softhsm.module.read_text().strip()
    return demo.run(
        *(tool, "--module", module, "--token-label", "keyrung", "--login", "--pin", "env:TOKEN_PIN", *arguments),
        environment={"TOKEN_PIN": softhsm.pin.read_text().strip()},
    ).stdout


def _bao(demo: Project, verb: str, path: str) -> Any:
    token = demo.stack.layout.openbao.token("auditor").read_text().strip()
    return json.loads(demo.run("bao", verb, "-format=json", path, environment={"BAO_TOKEN": token}).stdout)


def test_the_demo_says_what_it_did(demo: Project) -> None:
    told = json.loads((demo.state / "demo.json").read_text())
    assert told["ok"] is True
    assert len(told["resources_created"]) == 8
    assert all(step["ok"] and step["seconds"] >= 0 for step in told["steps"])
    assert len(told["steps"]) >= 15
    assert len(told["audit"]["head"]) == 64


def test_a_second_demo_finds_its_stack_unchanged_and_shows_a_step_up_again(demo: Project) -> None:
    demo.keyrung("demo")
    told = json.loads((demo.state / "demo.json").read_text())
    assert told["ok"] is True
    assert told["resources_created"] == []
    assert len(told["resources"]["same"]) == 8


def test_pkcs11_tool_sees_the_assertion_key_which_never_was_extractable(demo: Project) -> None:
    listed = _pkcs11_tool(demo, "--list-objects", "--type", "privkey")
    assert listed.count("label:      assertion-signing-local") == 1
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
    signed = f"{bundle['protected']}.{bundle['payload']}".encode()
    signature = _decoded(bundle["signature"])
    assert _openssl_verifies(tmp_path, public, "PEM", signature, signed)
    assert not _openssl_verifies(tmp_path, public, "PEM", signature, signed[:-1] + b"~")


def test_oathtool_makes_the_code_and_openssl_verifies_the_assertion(
    demo: Project, verifier: str, seed_base32: str, tmp_path: Path
) -> None:
    client = StepUpClient(demo.stack.layout.openbao.ca)
    code = _oathtool_code(seed_base32)
    assertion = client.answer_code(_challenge(demo, verifier), code)
    with pytest.raises(StepUpRefusedError):
        client.answer_code(_challenge(demo, verifier), code)
    client.close()

    exported = tmp_path / "exported.der"
    _pkcs11_tool(
        demo, "--read-object", "--type", "pubkey", "--label", "assertion-signing-local", "--output-file", str(exported)
    )
    signed, _, signature = assertion.rpartition(".")
    assert _openssl_verifies(tmp_path, exported.read_bytes(), "DER", _decoded(signature), signed.encode())
    assert not _openssl_verifies(tmp_path, exported.read_bytes(), "DER", _decoded(signature), signed.encode() + b"~")

    # And a JWT library that is not ours, over the published keys.
    with httpx.Client(verify=_tls(demo)) as http:
        keys = jwt.PyJWKSet.from_dict(http.get(f"{verifier}/.well-known/jwks.json").json())
    header = jwt.get_unverified_header(assertion)
    claims = jwt.decode(
        assertion,
        keys[header["kid"]],
        algorithms=["ES256"],
        audience="https://sample-api.keyrung.test",
        issuer=verifier,
    )
    assert header["typ"] == "stepup+jwt"
    assert (claims["sub"], claims["sid"], claims["acr"]) == ("carol", "carols-session", "urn:keyrung:otp")
    assert claims["request_digest"] == request_digest(_REQUEST["method"], _REQUEST["uri"], _REQUEST["body_sha256"])


def test_the_log_of_the_demo_is_whole_and_a_changed_byte_in_a_copy_is_found(demo: Project, tmp_path: Path) -> None:
    assert "whole" in demo.keyrung("audit", "verify").stdout
    with sqlite3.connect(demo.state / "verifier" / "store.db") as store:
        lines = [bytes(row[0]) for row in store.execute("SELECT line FROM audit ORDER BY seq")]
    lines[5] = lines[5].replace(b'"seq":5', b'"seq":6')
    copy = tmp_path / "log.jsonl"
    copy.write_bytes(b"\n".join(lines) + b"\n")
    assert demo.keyrung("audit", "verify", "--log", str(copy), check=False).returncode == 1


def test_no_secret_of_the_run_stands_where_it_does_not_belong(demo: Project, seed_base32: str) -> None:
    """State, logs, outputs, the verifier's files and the story, against every secret in every usual encoding."""
    alice = demo.state / "demo" / "alice"
    seed = json.loads((alice / "app.json").read_text())["otpauth_uri"]
    secrets = secrets_of(demo.stack.layout) | {
        "Alice's PIN": (alice / "token" / "pin").read_bytes().strip(),
        "Alice's seed": parse_qs(urlsplit(seed).query)["secret"][0].encode(),
        "Alice's seed, decoded": base64.b32decode(parse_qs(urlsplit(seed).query)["secret"][0]),
        "Carol's seed": seed_base32.encode(),
        "Carol's seed, decoded": base64.b32decode(seed_base32),
        **{
            f"session of {session['subject_id']}": session["token"].encode()
            for session in json.loads((demo.state / "demo" / "sessions.json").read_text())
        },
    }
    searched = files(
        demo.state / "pulumi" / "state",
        demo.state / "pulumi" / "home",
        demo.state / "verifier",
        demo.state / "inventory.db",
        demo.state / "openbao" / "server.log",
        demo.state / "dev.json",
        demo.state / "demo.json",
        demo.state / "told.txt",
        demo.state / "demo" / "sample-api.json",
        demo.root / "infra" / "stacks",
    )
    assert len(searched) > 10
    assert leaks(secrets, searched) == []
    # The search itself finds what is there.
    assert leaks({"pin": secrets["Alice's PIN"]}, files(alice / "token" / "pin")) != []
