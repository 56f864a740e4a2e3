"""A verifier that runs over a deployed project, and what an application and a person say to it."""

import base64
import json
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
from support.deployment import openbao_of
from support.project import Project

START_SECONDS = 30
REQUEST = {
    "method": "POST",
    "uri": "https://bank.test/profile",
    "body_sha256": base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode(),
}
LARGE_TRANSFER = {"amount_minor": 250_000, "currency": "EUR", "payee": "Bob"}


@contextmanager
def serving(
    project: Project, *, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[str]]:
    """Run `keyrung serve` until the end of the block; yield it once it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keyrung_infra.cli", "serve"],
        cwd=project.root,
        env=project.environment() | dict(environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "verifier ready at https://localhost:" in line, line + process.stderr.read()
            yield process
        finally:
            process.kill()


def url_of(project: Project) -> str:
    """Return the verifier's public URL."""
    return (project.state / "verifier" / "address").read_text("ascii").strip()


def trust_of(project: Project) -> ssl.SSLContext:
    """Return a context that trusts the project's own authority."""
    return ssl.create_default_context(cafile=str(project.stack.layout.openbao.ca))


def application(project: Project) -> httpx.Client:
    """Return the sample application's connection to the verifier."""
    secret = project.stack.layout.sample_client_secret.read_text("ascii").strip()
    return httpx.Client(
        base_url=url_of(project), auth=("sample-api", secret), verify=trust_of(project), timeout=START_SECONDS
    )


def question(subject: str, action: str = "profile.update", **resource: object) -> dict[str, Any]:
    """Return the body of an evaluation (AuthZEN 1.0)."""
    return {
        "subject": {"type": "user", "id": subject, "properties": {"kind": "person"}},
        "action": {"name": action},
        "resource": {"type": "route", "id": "/", "properties": resource},
        "context": {"session": {"id": f"session of {subject}"}},
    }


def challenge(http: httpx.Client, subject: str, action: str = "profile.update", **resource: object) -> str:
    """Have a challenge made; return where the subject answers it."""
    made = http.post("/stepup/v1/challenges", json={**question(subject, action, **resource), "request": REQUEST})
    assert made.status_code == httpx.codes.CREATED, made.text
    return str(made.json()["stepup_uri"])


def enrol_app(project: Project, subject: str) -> tuple[str, pyotp.TOTP]:
    """Provision an authenticator app; return the credential's id and the app."""
    added = json.loads(project.keyrung("credential", "add", "totp", subject, "--json").stdout)
    return added["credential_id"], app_of(added["otpauth_uri"])


def app_of(otpauth_uri: str) -> pyotp.TOTP:
    """Return the authenticator app that was shown the QR code of the URI."""
    return pyotp.TOTP(parse_qs(urlsplit(otpauth_uri).query)["secret"][0])


def unused_code(app: pyotp.TOTP) -> str:
    """Return the code of the next step, which the verifier takes too, and once."""
    return app.at(int(time.time()) + app.interval)


def seal(project: Project) -> None:
    """Seal the vault, which keeps running; `Stack.up` opens it again."""
    server = openbao_of(project)
    with server.root() as root:
        root.call("POST", "auth/token/create-orphan", {"policies": ["root"], "id": "for-this-test"})
    server.client("deployer").with_token("for-this-test").call("POST", "sys/seal")


def events(project: Project) -> list[str]:
    """Return the events in the audit log, oldest first."""
    with closing(sqlite3.connect(project.state / "verifier" / "store.db")) as store:
        return [json.loads(line)["event"] for (line,) in store.execute("SELECT line FROM audit ORDER BY seq")]


def log_report(project: Project) -> dict[str, Any]:
    """Return what the independent reader says of the audit log."""
    report: dict[str, Any] = json.loads(project.keyrung("audit", "verify", "--json", check=False).stdout)
    return report


def check_one_sentence(done: subprocess.CompletedProcess[str], *names: str) -> None:
    """Check that a command failed with one sentence on standard error that contains ``names``, and nothing else."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("keyrung: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for name in names:
        assert name in done.stderr, done.stderr
