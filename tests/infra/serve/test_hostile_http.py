"""Hostile HTTP at a running verifier: refused as the client's mistake, never a failure, and nobody else notices."""

import base64
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from support.deployment import Template, running_deployment
from support.project import Project
from support.serving import application, events, log_report, question, serving, trust_of, url_of

from keyrung_infra.tools import Tools
from keyrung_verifier.limits import MAX_BODY_BYTES

pytestmark = pytest.mark.xdist_group("hostile-http")
_EVALUATION = "/access/v1/evaluation"
_SECONDS = 10


@pytest.fixture(scope="module")
def running(template: Template, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A deployed project whose verifier runs for all of these tests."""
    with (
        running_deployment(template, tmp_path_factory.mktemp("hostile") / "project", tools) as project,
        serving(project),
    ):
        yield project


@pytest.fixture
def http(running: Project) -> Iterator[httpx.Client]:
    """The application's connection; afterwards the verifier must still answer it, and the log be whole."""
    with application(running) as client:
        yield client
        assert client.get("/healthz").json()["status"] == "ok"
        assert client.post(_EVALUATION, json=question("eve", "accounts.read")).json()["decision"] is True
    assert log_report(running)["ok"]


def _raw(project: Project, data: bytes) -> bytes:
    """Send bytes over TLS; return all that comes back until the verifier ends the connection."""
    address = ("127.0.0.1", urlsplit(url_of(project)).port or 0)
    with (
        socket.create_connection(address, timeout=_SECONDS) as plain,
        trust_of(project).wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        answer = b""
        try:
            tls.sendall(data)
            while part := tls.recv(65536):
                answer += part
        except (ConnectionError, ssl.SSLError):
            pass
        return answer


def test_unknown_paths_and_methods_get_one_json_refusal(running: Project, http: httpx.Client) -> None:
    secret = running.stack.layout.sample_client_secret.read_text().strip()
    for method, path in [
        ("GET", "/"),
        ("GET", "/../etc/passwd"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "/healthz/"),
        ("GET", "/HEALTHZ"),
        ("GET", "//healthz"),
        ("GET", "/healthz%00"),
        ("GET", "/stepup/v1/challenges/"),
        ("GET", "/stepup/v1/challenges/a/b"),
        ("GET", f"/stepup/v1/challenges/{'a' * 5000}"),
        ("PUT", "/healthz"),
        ("DELETE", _EVALUATION),
        ("GET", _EVALUATION),
        ("OPTIONS", _EVALUATION),
    ]:
        refused = http.request(method, path)
        assert refused.status_code == 404, (method, path)
        assert refused.json()["error"] == "not_found"
        assert secret not in refused.text
    for method in ("TRACE", "HEAD", "BREW"):
        assert 400 <= http.request(method, "/nothing").status_code < 500


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Basic AAAA")],
        [("Authorization", "Basic")],
        [("Authorization", "Bearer token")],
        [("Authorization", "Basic " + base64.b64encode(b"sample-api:wrong").decode())],
        [("Authorization", "Basic " + "A" * 30_000)],
        [("Authorization", "Basic \u00e9")],
    ],
)
def test_only_the_registered_credentials_are_a_caller(
    running: Project, http: httpx.Client, headers: list[tuple[str, str]]
) -> None:
    with httpx.Client(base_url=url_of(running), verify=trust_of(running)) as stranger:
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        refused = stranger.post(_EVALUATION, json=question("eve", "accounts.read"), headers=sent)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert events(running)[-1] == "caller.refused"


def test_right_credentials_that_come_twice_are_refused(running: Project, http: httpx.Client) -> None:
    secret = running.stack.layout.sample_client_secret.read_text().strip()
    right = "Basic " + base64.b64encode(f"sample-api:{secret}".encode()).decode()
    with httpx.Client(base_url=url_of(running), verify=trust_of(running)) as client:
        body = question("eve", "accounts.read")
        once = client.post(_EVALUATION, json=body, headers=[("Authorization", right)])
        twice = client.post(_EVALUATION, json=body, headers=[("Authorization", right)] * 2)
    assert (once.status_code, twice.status_code) == (200, 401)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{",
        b"[" * 20_000,
        b'{"a":' * 5_000,
        b'{"subject":1}',
        b'{"a":"\\ud800"}',
        json.dumps({**question("eve"), "surprise": 1}).encode(),
        json.dumps({**question("eve"), "context": {"session": {"id": "x"}, "n": 10**400}}).encode(),
        json.dumps(question("\x00")).encode(),
        b"x" * MAX_BODY_BYTES * 40,
    ],
)
def test_a_hostile_body_is_the_callers_mistake(http: httpx.Client, body: bytes) -> None:
    for path in (
        _EVALUATION,
        "/stepup/v1/challenges",
        "/stepup/v1/assertions/spend",
        "/stepup/v1/challenges/x/response",
    ):
        assert 400 <= http.post(path, content=body).status_code < 500, path


def test_hostile_bytes_end_one_connection_and_nothing_else(running: Project, http: httpx.Client) -> None:
    host = b"Host: localhost\r\nConnection: close\r\n"
    for data in [
        b"\x16\x03\x01" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + host + b"\r\n",
        b"GET /\x00 HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"X: 1\r\n" * 20_000 + b"\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
    ]:
        assert not _raw(running, data).startswith(b"HTTP/1.1 5"), data[:80]


def test_a_client_that_leaves_in_the_middle_or_speaks_no_tls_is_nobodys_problem(
    running: Project, http: httpx.Client
) -> None:
    address = ("127.0.0.1", urlsplit(url_of(running)).port or 0)
    with ExitStack() as idle:
        for _ in range(50):
            idle.enter_context(socket.create_connection(address, timeout=_SECONDS)).sendall(b"GET / HTTP/1.1\r\n")
        assert http.get("/healthz").status_code == 200
    with (
        socket.create_connection(address, timeout=_SECONDS) as plain,
        trust_of(running).wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
