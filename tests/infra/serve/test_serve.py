"""`keyrung serve` and `keyrung credential` over a deployed stack: how they start, end, and meet what goes wrong."""

import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from support.deployment import Template, deploy_template, running_deployment
from support.openbao import kill_server
from support.project import Project

from keyrung_infra.step_up_client import StepUpClient, StepUpRefusedError
from keyrung_infra.tools import Tools

pytestmark = pytest.mark.xdist_group("serve")

_REQUEST = {
    "method": "POST",
    "uri": "https://bank.test/profile",
    "body_sha256": base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode(),
}


@pytest.fixture(scope="module")
def template(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return deploy_template(tmp_path_factory.mktemp("serve-template") / "project", tools)


@pytest.fixture
def deployed(template: Template, tools: Tools, tmp_path: Path) -> Iterator[Project]:
    with running_deployment(template, tmp_path / "project", tools) as project:
        # Copies run side by side, so each has a port of its own.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (project.state / "verifier" / "address").write_text(f"https://localhost:{port}\n")
        yield project


@contextmanager
def _serving(project: Project) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "keyrung_infra.cli", "serve"],
        cwd=project.root,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "verifier ready at https://localhost:" in line, line + process.stderr.read()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _url(project: Project) -> str:
    return (project.state / "verifier" / "address").read_text().strip()


def _http(project: Project) -> httpx.Client:
    secret = (project.state / "clients" / "sample-api").read_text().strip()
    context = ssl.create_default_context(cafile=str(project.stack.layout.openbao.ca))
    return httpx.Client(base_url=_url(project), auth=("sample-api", secret), verify=context, timeout=30)


def _question(subject: str) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": subject, "properties": {"kind": "person"}},
        "action": {"name": "profile.update"},
        "resource": {"type": "route", "id": "/profile"},
        "context": {"session": {"id": f"session of {subject}"}},
    }


def _challenge(http: httpx.Client, subject: str) -> str:
    answer = http.post("/stepup/v1/challenges", json={**_question(subject), "request": _REQUEST})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["stepup_uri"])


def _app(project: Project, subject: str) -> tuple[str, pyotp.TOTP]:
    added = json.loads(project.keyrung("credential", "add", "totp", subject, "--json").stdout)
    return added["credential_id"], pyotp.TOTP(parse_qs(urlsplit(added["otpauth_uri"]).query)["secret"][0])


def _one_sentence(done: subprocess.CompletedProcess[str], *, names: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("keyrung: ")
    assert names in done.stderr, done.stderr


def test_a_taken_port_is_one_sentence(deployed: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (deployed.state / "verifier" / "address").write_text(f"https://localhost:{taken.getsockname()[1]}\n")
        _one_sentence(deployed.keyrung("serve", check=False), names="is taken")


def test_without_a_deployment_it_names_pulumi_up(local_stack: Project) -> None:
    _one_sentence(local_stack.keyrung("serve", check=False), names="pulumi up")
    _one_sentence(local_stack.keyrung("credential", "list", check=False), names="pulumi up")


def test_a_vault_that_is_down_is_one_sentence_and_the_next_start_works(deployed: Project) -> None:
    kill_server(deployed.stack.layout.openbao)
    _one_sentence(deployed.keyrung("serve", check=False), names="keyrung dev up")
    _one_sentence(deployed.keyrung("credential", "add", "totp", "eve", check=False), names="keyrung dev up")
    deployed.stack.up()
    with _serving(deployed):
        assert deployed.keyrung("credential", "list").stdout == ""


def test_a_configuration_that_names_another_key_refuses_with_both_thumbprints(deployed: Project) -> None:
    path = deployed.state / "verifier" / "config.json"
    document = json.loads(path.read_text())
    recorded = document["assertion_key"]["thumbprint"]
    document["assertion_key"]["thumbprint"] = document["audit_key"]["thumbprint"]
    path.write_text(json.dumps(document))
    done = deployed.keyrung("serve", check=False)
    _one_sentence(done, names=recorded)
    assert document["audit_key"]["thumbprint"] in done.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_on_a_signal(deployed: Project, end: signal.Signals) -> None:
    with _serving(deployed) as process:
        process.send_signal(end)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        process.wait(timeout=30)
    report = json.loads(deployed.keyrung("audit", "verify", "--json").stdout)
    assert report["ok"]
    assert report["unsigned_records"] == 0


def test_after_kill_9_the_log_goes_on_whole(deployed: Project) -> None:
    with _serving(deployed) as process:
        with _http(deployed) as http:
            assert http.post("/access/v1/evaluation", json=_question("eve")).json()["context"]["outcome"] == "step_up"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    with _serving(deployed), _http(deployed) as http:
        http.post("/access/v1/evaluation", json=_question("eve")).raise_for_status()
        report = json.loads(deployed.keyrung("audit", "verify", "--json").stdout)
    assert report["ok"]


def test_a_vault_that_goes_down_refuses_the_code_and_mints_nothing_until_it_is_open_again(deployed: Project) -> None:
    _, app = _app(deployed, "eve")
    with _serving(deployed), _http(deployed) as http:
        uri = _challenge(http, "eve")
        kill_server(deployed.stack.layout.openbao)
        answer = http.post(f"{uri}/response", json={"factor": "otp", "code": app.now()})
        assert answer.status_code == 503, answer.text
        assert "assertion" not in answer.json()
        assert "Retry-After" in answer.headers
        deployed.stack.up()
        uri = _challenge(http, "eve")
        assert http.post(f"{uri}/response", json={"factor": "otp", "code": app.now()}).status_code in {200, 403}


def test_a_credential_added_while_serving_counts_and_a_revoked_one_does_not(deployed: Project) -> None:
    with _serving(deployed), _http(deployed) as http:
        first, app = _app(deployed, "eve")
        client = StepUpClient(deployed.stack.layout.openbao.ca)
        try:
            assert client.answer_code(_challenge(http, "eve"), app.now())
            uri = _challenge(http, "eve")
            deployed.keyrung("credential", "revoke", first)
            time.sleep(30 - time.time() % 30 + 0.5)  # a code that was not used yet
            with pytest.raises(StepUpRefusedError):
                client.answer_code(uri, app.now())
        finally:
            client.close()
    assert json.loads(deployed.keyrung("audit", "verify", "--json").stdout)["ok"]


def test_a_deleted_bundle_denies_and_a_redeployed_one_serves_again(deployed: Project) -> None:
    bundle = deployed.state / "verifier" / "policy-bundle.json"
    kept = bundle.read_bytes()
    bundle.unlink()
    with _serving(deployed), _http(deployed) as http:
        assert http.post("/access/v1/evaluation", json=_question("eve")).status_code == 503
        bundle.write_bytes(kept)
        deadline = time.monotonic() + 30
        while http.post("/access/v1/evaluation", json=_question("eve")).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_hostile_http_gets_a_generic_refusal_and_the_next_request_works(deployed: Project) -> None:
    with _serving(deployed), _http(deployed) as http:
        secret = (deployed.state / "clients" / "sample-api").read_text().strip()
        for method, path in [
            ("GET", "/"),
            ("GET", "/../etc/passwd"),
            ("DELETE", "/access/v1/evaluation"),
            ("PUT", "/x"),
        ]:
            refused = http.request(method, path)
            assert refused.status_code == 404
            assert refused.json()["error"]
            assert secret not in refused.text
        big = http.post("/access/v1/evaluation", content=b"[" * 100_000)
        assert 400 <= big.status_code < 500
        twice = [("Authorization", "Basic AAAA"), ("Authorization", "Basic AAAA")]
        with httpx.Client(verify=False) as bare:  # noqa: S501 - what is asked here needs no trust
            refused = bare.post(f"{_url(deployed)}/access/v1/evaluation", json=_question("eve"), headers=twice)
        assert refused.status_code == 401
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/openapi.json").json()["openapi"].startswith("3.")
        configuration = http.get("/.well-known/authzen-configuration").json()
        assert configuration["policy_decision_point"] == _url(deployed)
